// Weights into device memory: by formula, or widened and narrowed from what a file holds.

// Element i of a synthetic tensor, by SplitMix64 over a counter; see synthetic.rs, which does the same on the host.
KERNEL fill_synthetic(float* out, u64 count, u64 stream, u32 is_norm) {
    u64 stride = (u64)gridDim.x * blockDim.x;
    for (u64 i = (u64)blockIdx.x * blockDim.x + threadIdx.x; i < count; i += stride) {
        u64 z = stream + (i + 1) * 0x9E3779B97F4A7C15ull;
        z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9ull;
        z = (z ^ (z >> 27)) * 0x94D049BB133111EBull;
        z ^= z >> 31;
        float centered = __fsub_rn(__fmul_rn((float)(u32)(z >> 40), 1.0f / 16777216.0f), 0.5f);
        out[i] = is_norm ? __fadd_rn(1.0f, __fmul_rn(centered, 0.4f)) : __fmul_rn(centered, 0.07f);
    }
}

KERNEL widen_bfloat16(const u16* in, float* out, u64 count) {
    u64 stride = (u64)gridDim.x * blockDim.x;
    for (u64 i = (u64)blockIdx.x * blockDim.x + threadIdx.x; i < count; i += stride) out[i] = widen(in[i]);
}

KERNEL widen_float16(const u16* in, float* out, u64 count) {
    u64 stride = (u64)gridDim.x * blockDim.x;
    for (u64 i = (u64)blockIdx.x * blockDim.x + threadIdx.x; i < count; i += stride) {
        float wide;
        asm("cvt.f32.f16 %0, %1;" : "=f"(wide) : "h"(in[i]));
        out[i] = wide;
    }
}

// `count` is even: every matrix has an even number of elements.
KERNEL narrow_float32(const float2* in, u32* out, u64 pairs) {
    u64 stride = (u64)gridDim.x * blockDim.x;
    for (u64 i = (u64)blockIdx.x * blockDim.x + threadIdx.x; i < pairs; i += stride) out[i] = narrow(in[i].x, in[i].y);
}
