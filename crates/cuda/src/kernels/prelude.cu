// What every other source file uses; all files are compiled as one program, this one first.

typedef unsigned char u8;
typedef unsigned short u16;
typedef unsigned int u32;
typedef unsigned long long u64;

#define ALL_LANES 0xffffffffu
#define NEGATIVE_INFINITY __int_as_float(0xff800000)

// A kernel that the host finds by name.
#define KERNEL extern "C" __global__ void

__device__ __forceinline__ float widen(u16 bits) { return __uint_as_float((u32)bits << 16); }

// The two bfloat16 of a word; the lower half comes first in memory.
__device__ __forceinline__ float widen_low(u32 pair) { return __uint_as_float(pair << 16); }
__device__ __forceinline__ float widen_high(u32 pair) { return __uint_as_float(pair & 0xffff0000u); }

// Two float32 rounded to nearest even bfloat16; `low` comes first in memory.
__device__ __forceinline__ u32 narrow(float low, float high) {
    u32 pair;
    asm("cvt.rn.bf16x2.f32 %0, %1, %2;" : "=r"(pair) : "f"(high), "f"(low));
    return pair;
}

__device__ __forceinline__ u16 narrow(float value) { return (u16)narrow(value, 0.0f); }

__device__ __forceinline__ float sum_of_warp(float value) {
    for (int offset = 16; offset > 0; offset >>= 1) value += __shfl_xor_sync(ALL_LANES, value, offset);
    return value;
}

__device__ __forceinline__ float largest_of_warp(float value) {
    for (int offset = 16; offset > 0; offset >>= 1) value = fmaxf(value, __shfl_xor_sync(ALL_LANES, value, offset));
    return value;
}
