// Linear layers for one to four rows, where reading the weights is all the work: one output a warp, 16 bytes a load, many
// loads in flight.

__device__ __forceinline__ float dot_of_eight(uint4 weights, uint4 values, float sum) {
    const u32* w = &weights.x;
    const u32* v = &values.x;
#pragma unroll
    for (int i = 0; i < 4; i++) {
        sum = fmaf(widen_low(w[i]), widen_low(v[i]), sum);
        sum = fmaf(widen_high(w[i]), widen_high(v[i]), sum);
    }
    return sum;
}

// MODE 0: out is float32; 1: it is added to. `vectors` is a row's length in 16 bytes; it is a multiple
// of 32 except perhaps in small models.
template <int ROWS, int MODE>
__device__ __forceinline__ void few_rows(const uint4* weights, const uint4* values, float* out, u32 vectors, u32 outputs) {
    const int UNROLLED = 10;
    u32 lane = threadIdx.x, output = blockIdx.x * blockDim.y + threadIdx.y;
    if (output >= outputs) return;
    const uint4* row = weights + (u64)output * vectors;
    float sums[ROWS] = {};
    u32 start = lane;
    for (; start + 32 * (UNROLLED - 1) < vectors; start += 32 * UNROLLED) {
        uint4 held[UNROLLED];
        // Weights are read once: they need not push anything else out of the caches.
#pragma unroll
        for (int i = 0; i < UNROLLED; i++) held[i] = __ldcs(row + start + 32 * i);
#pragma unroll
        for (int i = 0; i < UNROLLED; i++) {
#pragma unroll
            for (int r = 0; r < ROWS; r++) sums[r] = dot_of_eight(held[i], values[r * vectors + start + 32 * i], sums[r]);
        }
    }
#pragma unroll 4
    for (; start < vectors; start += 32) {
        uint4 held = __ldcs(row + start);
#pragma unroll
        for (int r = 0; r < ROWS; r++) sums[r] = dot_of_eight(held, values[r * vectors + start], sums[r]);
    }
#pragma unroll
    for (int r = 0; r < ROWS; r++) {
        float sum = sum_of_warp(sums[r]);
        u64 at = (u64)r * outputs + output;
        if (lane == 0) out[at] = MODE == 0 ? sum : out[at] + sum;
    }
}

#define FEW_ROWS(ROWS, MODE, NAME)                                                                                     \
    extern "C" __global__ void __launch_bounds__(128, 7)                                                               \
    few_rows_##ROWS##_##NAME(const uint4* weights, const uint4* values, float* out, u32 vectors, u32 outputs) {        \
        few_rows<ROWS, MODE>(weights, values, out, vectors, outputs);                                                  \
    }
FEW_ROWS(1, 0, single)
FEW_ROWS(1, 1, added)
FEW_ROWS(2, 0, single)
FEW_ROWS(2, 1, added)
FEW_ROWS(4, 0, single)
FEW_ROWS(4, 1, added)

// Gates and values of the feed-forward layer together: out = silu(gate) * value. `weights` holds the `inner` rows of the
// gates, then those of the values; a warp takes a row of each.
template <int ROWS>
__device__ __forceinline__ void few_rows_gated(const uint4* weights, const uint4* values, u16* out, u32 vectors,
                                               u32 inner) {
    const int UNROLLED = 5;
    u32 lane = threadIdx.x, output = blockIdx.x * blockDim.y + threadIdx.y;
    if (output >= inner) return;
    const uint4* rows[2] = {weights + (u64)output * vectors, weights + ((u64)inner + output) * vectors};
    float sums[2][ROWS] = {};
    u32 start = lane;
    for (; start + 32 * (UNROLLED - 1) < vectors; start += 32 * UNROLLED) {
        uint4 held[2][UNROLLED];
#pragma unroll
        for (int i = 0; i < UNROLLED; i++) {
            held[0][i] = __ldcs(rows[0] + start + 32 * i);
            held[1][i] = __ldcs(rows[1] + start + 32 * i);
        }
#pragma unroll
        for (int i = 0; i < UNROLLED; i++) {
#pragma unroll
            for (int r = 0; r < ROWS; r++) {
                uint4 value = values[r * vectors + start + 32 * i];
                sums[0][r] = dot_of_eight(held[0][i], value, sums[0][r]);
                sums[1][r] = dot_of_eight(held[1][i], value, sums[1][r]);
            }
        }
    }
    for (; start < vectors; start += 32) {
#pragma unroll
        for (int r = 0; r < ROWS; r++) {
            uint4 value = values[r * vectors + start];
            sums[0][r] = dot_of_eight(__ldcs(rows[0] + start), value, sums[0][r]);
            sums[1][r] = dot_of_eight(__ldcs(rows[1] + start), value, sums[1][r]);
        }
    }
#pragma unroll
    for (int r = 0; r < ROWS; r++) {
        float gate = sum_of_warp(sums[0][r]), value = sum_of_warp(sums[1][r]);
        if (lane == 0) out[(u64)r * inner + output] = narrow(half_gated(gate, value));
    }
}

#define FEW_ROWS_GATED(ROWS)                                                                                           \
    extern "C" __global__ void __launch_bounds__(128, 7)                                                               \
    few_rows_##ROWS##_gated(const uint4* weights, const uint4* values, u16* out, u32 vectors, u32 inner) {             \
        few_rows_gated<ROWS>(weights, values, out, vectors, inner);                                                    \
    }
FEW_ROWS_GATED(1)
FEW_ROWS_GATED(2)
FEW_ROWS_GATED(4)
