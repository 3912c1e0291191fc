// The exact float32 pass around cuBLAS's products. Every step is rounded on its own, in the order in which PyTorch's
// kernels add, so that the hidden states have the reference's bits. Nothing here may be contracted or reordered.

// The orders of torch up to 2.9 and from 2.10 on differ in the tree over a warp, and in which elements a lane takes of
// a row of 128.
#define TORCH_2_8 0
#define TORCH_2_10 1

template <int PROFILE>
__device__ __forceinline__ float tree_sum(float sum) {
    if (PROFILE == TORCH_2_8) {
        for (int offset = 1; offset < 32; offset <<= 1) sum = __fadd_rn(sum, __shfl_down_sync(ALL_LANES, sum, offset));
    } else {
        for (int offset = 16; offset > 0; offset >>= 1) sum = __fadd_rn(sum, __shfl_down_sync(ALL_LANES, sum, offset));
    }
    return __shfl_sync(ALL_LANES, sum, 0);
}

__device__ __forceinline__ float square_onto(float sum, float x) { return __fadd_rn(sum, __fmul_rn(x, x)); }

__device__ __forceinline__ float combined(float4 sums) {
    return __fadd_rn(__fadd_rn(__fadd_rn(sums.x, sums.y), sums.z), sums.w);
}

__device__ __forceinline__ float inverse_root(float sum, float reciprocal_size, float epsilon) {
    return rsqrtf(__fadd_rn(__fmul_rn(sum, reciprocal_size), epsilon));
}

__device__ __forceinline__ float4 added(float4 a, float4 b) {
    return make_float4(__fadd_rn(a.x, b.x), __fadd_rn(a.y, b.y), __fadd_rn(a.z, b.z), __fadd_rn(a.w, b.w));
}

__device__ __forceinline__ float4 normed(float4 x, float4 weight, float root) {
    return make_float4(__fmul_rn(weight.x, __fmul_rn(x.x, root)), __fmul_rn(weight.y, __fmul_rn(x.y, root)),
                       __fmul_rn(weight.z, __fmul_rn(x.z, root)), __fmul_rn(weight.w, __fmul_rn(x.w, root)));
}

__device__ __forceinline__ float scaled(float hidden) { return rintf(__fmul_rn(hidden, 1024.0f)); }

// cosine and sine of every position: [tokens, frequencies].
KERNEL proof_rotation(const float* inverse_frequencies, float* cosines, float* sines, u32 frequencies) {
    u32 at = blockIdx.x * frequencies + threadIdx.x;
    float angle = __fmul_rn(inverse_frequencies[threadIdx.x], (float)blockIdx.x);
    cosines[at] = cosf(angle);
    sines[at] = sinf(angle);
}

// One warp a row: states += update (if there is one), out = weight * norm(states). Where `sketch_input` is given it
// gets round(out * 1024). VECTORS is the row's length in float4 divided by 32, so that a row stays in registers.
template <int PROFILE, int VECTORS>
__device__ __forceinline__ void add_norm(float4* states, const float4* update, const float4* weight, float4* out,
                                         float4* sketch_input, u32 rows, float reciprocal_size, float epsilon) {
    u32 row = blockIdx.x * blockDim.y + threadIdx.y, lane = threadIdx.x;
    if (row >= rows) return;
    u64 start = (u64)row * (VECTORS * 32);
    float4 held[VECTORS], sums = make_float4(0.0f, 0.0f, 0.0f, 0.0f);
#pragma unroll
    for (int i = 0; i < VECTORS; i++) held[i] = states[start + lane + 32 * i];
    if (update) {
#pragma unroll
        for (int i = 0; i < VECTORS; i++) {
            held[i] = added(held[i], update[start + lane + 32 * i]);
            states[start + lane + 32 * i] = held[i];
        }
    }
    if (VECTORS == 1 && PROFILE == TORCH_2_8) {
        // A row of 128 is read element by element: lane l takes l, l + 32, l + 64, l + 96.
        const float* row_start = (const float*)(states + start);
        __syncwarp();
        float* sum = &sums.x;
        for (int i = 0; i < 4; i++) sum[i] = square_onto(0.0f, row_start[lane + 32 * i]);
    } else {
#pragma unroll
        for (int i = 0; i < VECTORS; i++) {
            sums.x = square_onto(sums.x, held[i].x);
            sums.y = square_onto(sums.y, held[i].y);
            sums.z = square_onto(sums.z, held[i].z);
            sums.w = square_onto(sums.w, held[i].w);
        }
    }
    float root = inverse_root(tree_sum<PROFILE>(combined(sums)), reciprocal_size, epsilon);
#pragma unroll
    for (int i = 0; i < VECTORS; i++) {
        float4 value = normed(held[i], weight[lane + 32 * i], root);
        out[start + lane + 32 * i] = value;
        if (sketch_input) {
            sketch_input[start + lane + 32 * i] =
                make_float4(scaled(value.x), scaled(value.y), scaled(value.z), scaled(value.w));
        }
    }
}

#define ADD_NORM(NAME, PROFILE, VECTORS)                                                                               \
    KERNEL NAME(float4* states, const float4* update, const float4* weight, float4* out, float4* sketch_input,         \
                u32 rows, float reciprocal_size, float epsilon) {                                                      \
        add_norm<PROFILE, VECTORS>(states, update, weight, out, sketch_input, rows, reciprocal_size, epsilon);         \
    }
ADD_NORM(proof_add_norm_2560_torch_2_8, TORCH_2_8, 20)
ADD_NORM(proof_add_norm_2560_torch_2_10, TORCH_2_10, 20)
ADD_NORM(proof_add_norm_128_torch_2_8, TORCH_2_8, 1)
ADD_NORM(proof_add_norm_128_torch_2_10, TORCH_2_10, 1)

// Where a sequence's rows are: the first `shared` follow `lead`, the others `first`.
__device__ __forceinline__ u32 row_of(u32 token, u32 shared, u32 lead, u32 first) {
    return token < shared ? lead + token : first + token - shared;
}

// One warp a head of 128 of one sequence. The heads of its own `queries` [rows, heads, 128] are normed, rotated and scaled
// in place; those of all its `keys` [rows, key_heads, 128] likewise, into `keys_out` [heads, tokens, 128], once for each
// query head that reads them; `values` are copied to `values_out` the same way.
template <int PROFILE>
__device__ __forceinline__ void heads(float* queries, float* keys, const float* values, const float* query_norm,
                                      const float* key_norm, const float* cosines, const float* sines, float* keys_out,
                                      float* values_out, u32 tokens, u32 shared, u32 lead, u32 first,
                                      u32 query_heads, u32 key_heads, float scale, float epsilon) {
    u32 token = blockIdx.x, row = row_of(token, shared, lead, first);
    u32 head = blockIdx.y * blockDim.y + threadIdx.y, lane = threadIdx.x;
    if (head >= query_heads + 2 * key_heads) return;
    u32 group = query_heads / key_heads;
    if (head >= query_heads + key_heads) {
        u32 key_head = head - query_heads - key_heads;
        float4 value = ((const float4*)(values + ((u64)row * key_heads + key_head) * 128))[lane];
        for (u32 i = 0; i < group; i++) {
            ((float4*)(values_out + ((u64)(key_head * group + i) * tokens + token) * 128))[lane] = value;
        }
        return;
    }
    bool is_query = head < query_heads;
    if (is_query && token < shared) return;
    u32 key_head = head - query_heads;
    float* in = is_query ? queries + ((u64)row * query_heads + head) * 128
                         : keys + ((u64)row * key_heads + key_head) * 128;
    const float* weight = is_query ? query_norm : key_norm;
    float x[4], squares[4], out[4];
#pragma unroll
    for (int i = 0; i < 4; i++) x[i] = in[lane + 32 * i];
    if (PROFILE == TORCH_2_8) {
#pragma unroll
        for (int i = 0; i < 4; i++) squares[i] = __fmul_rn(x[i], x[i]);
    } else {
        float4 four = ((const float4*)in)[lane];
        squares[0] = __fmul_rn(four.x, four.x);
        squares[1] = __fmul_rn(four.y, four.y);
        squares[2] = __fmul_rn(four.z, four.z);
        squares[3] = __fmul_rn(four.w, four.w);
    }
    float sum = __fadd_rn(__fadd_rn(__fadd_rn(squares[0], squares[1]), squares[2]), squares[3]);
    float root = inverse_root(tree_sum<PROFILE>(sum), 1.0f / 128.0f, epsilon);
#pragma unroll
    for (int i = 0; i < 4; i++) x[i] = __fmul_rn(weight[lane + 32 * i], __fmul_rn(x[i], root));
#pragma unroll
    for (int i = 0; i < 2; i++) {
        float cosine = cosines[token * 64 + lane + 32 * i], sine = sines[token * 64 + lane + 32 * i];
        out[i] = __fmul_rn(__fadd_rn(__fmul_rn(x[i], cosine), __fmul_rn(-x[i + 2], sine)), scale);
        out[i + 2] = __fmul_rn(__fadd_rn(__fmul_rn(x[i + 2], cosine), __fmul_rn(x[i], sine)), scale);
    }
    for (u32 copy = 0; copy < (is_query ? 1 : group); copy++) {
        float* to = is_query ? in : keys_out + ((u64)(key_head * group + copy) * tokens + token) * 128;
#pragma unroll
        for (int i = 0; i < 4; i++) to[lane + 32 * i] = out[i];
    }
}

#define HEADS(NAME, PROFILE)                                                                                           \
    KERNEL NAME(float* queries, float* keys, const float* values, const float* query_norm, const float* key_norm,      \
                const float* cosines, const float* sines, float* keys_out, float* values_out, u32 tokens, u32 shared,  \
                u32 lead, u32 first, u32 query_heads, u32 key_heads, float scale, float epsilon) {                     \
        heads<PROFILE>(queries, keys, values, query_norm, key_norm, cosines, sines, keys_out, values_out, tokens,      \
                       shared, lead, first, query_heads, key_heads, scale, epsilon);                                   \
    }
HEADS(proof_heads_torch_2_8, TORCH_2_8)
HEADS(proof_heads_torch_2_10, TORCH_2_10)

// Causal softmax in place, one warp a row of [heads, tokens - shared, tokens], whose first row is that of position
// `shared`; a row stays in registers between its two passes.
template <int PER_LANE>
__device__ __forceinline__ void softmax(float* scores, u32 tokens, u32 shared, u64 rows) {
    u64 row = (u64)blockIdx.x * blockDim.y + threadIdx.y;
    if (row >= rows) return;
    int last = (int)(shared + row % (tokens - shared)), lane = threadIdx.x;
    float* values = scores + row * tokens;
    float held[PER_LANE], largest = NEGATIVE_INFINITY, sum = 0.0f;
#pragma unroll
    for (int i = 0; i < PER_LANE; i++) {
        int column = lane + 32 * i;
        held[i] = column <= last ? values[column] : NEGATIVE_INFINITY;
    }
#pragma unroll
    for (int i = 0; i < PER_LANE; i++) largest = fmaxf(largest, held[i]);
    largest = largest_of_warp(largest);
#pragma unroll
    for (int i = 0; i < PER_LANE; i++) {
        if (32 * i <= last) {
            held[i] = lane + 32 * i <= last ? expf(__fsub_rn(held[i], largest)) : 0.0f;
            sum = __fadd_rn(sum, held[i]);
        }
    }
    for (int offset = 16; offset > 0; offset >>= 1) sum = __fadd_rn(sum, __shfl_xor_sync(ALL_LANES, sum, offset));
#pragma unroll
    for (int i = 0; i < PER_LANE; i++) {
        int column = lane + 32 * i;
        if (column < (int)tokens) values[column] = column <= last ? __fdiv_rn(held[i], sum) : 0.0f;
    }
}

#define SOFTMAX(PER_LANE)                                                                                              \
    KERNEL proof_softmax_##PER_LANE(float* scores, u32 tokens, u32 shared, u64 rows) {                                 \
        softmax<PER_LANE>(scores, tokens, shared, rows);                                                               \
    }
SOFTMAX(4)
SOFTMAX(8)
SOFTMAX(12)
SOFTMAX(16)
SOFTMAX(20)
SOFTMAX(24)
SOFTMAX(28)
SOFTMAX(32)
SOFTMAX(40)
SOFTMAX(48)
SOFTMAX(64)

// The sum over a block of 128 threads, in its first warp.
__device__ __forceinline__ float sum_of_block_of_128(float value) {
    __shared__ float of_warp[4];
    value = sum_of_warp(value);
    if (threadIdx.x % 32 == 0) of_warp[threadIdx.x / 32] = value;
    __syncthreads();
    return of_warp[0] + of_warp[1] + of_warp[2] + of_warp[3];
}

// The rows of `in` that `rows` names, one behind the other.
KERNEL proof_take_rows(const float4* in, const u32* rows, float4* out, u32 vectors) {
    const float4* row = in + (u64)rows[blockIdx.x] * vectors;
    for (u32 i = threadIdx.x; i < vectors; i += blockDim.x) out[(u64)blockIdx.x * vectors + i] = row[i];
}

// The rows of `in` that `rows` names, each as the sum of two bfloat16 rows, and its norm.
KERNEL proof_split_rows(const float2* in, const u32* rows, u32* high, u32* low, float* norms, u32 pairs) {
    const float2* row = in + (u64)rows[blockIdx.x] * pairs;
    float sum = 0.0f;
    for (u32 i = threadIdx.x; i < pairs; i += blockDim.x) {
        float2 x = row[i];
        u32 rounded = narrow(x.x, x.y);
        high[(u64)blockIdx.x * pairs + i] = rounded;
        low[(u64)blockIdx.x * pairs + i] = narrow(x.x - widen_low(rounded), x.y - widen_high(rounded));
        sum += x.x * x.x + x.y * x.y;
    }
    sum = sum_of_block_of_128(sum);
    if (threadIdx.x == 0) norms[blockIdx.x] = sqrtf(sum);
}

// One block a row of the output layer: the largest norm of a row, as bits, and how many elements are not bfloat16.
KERNEL proof_head_facts(const float2* weights, u32 pairs, u32* facts) {
    const float2* row = weights + (u64)blockIdx.x * pairs;
    float sum = 0.0f;
    u32 odd = 0;
    for (u32 i = threadIdx.x; i < pairs; i += blockDim.x) {
        float2 x = row[i];
        odd += (__float_as_uint(x.x) & 0xffff) != 0;
        odd += (__float_as_uint(x.y) & 0xffff) != 0;
        sum += x.x * x.x + x.y * x.y;
    }
    if (odd) atomicAdd(facts + 1, odd);
    sum = sum_of_block_of_128(sum);
    // The bits of numbers that are not negative have their order.
    if (threadIdx.x == 0) atomicMax(facts, __float_as_uint(sqrtf(sum)));
}

// Adds to `differences` in how many places the bits of two arrays differ.
KERNEL proof_differences(const u32* a, const u32* b, u64 count, u32* differences) {
    u64 stride = (u64)gridDim.x * blockDim.x;
    u32 found = 0;
    for (u64 i = (u64)blockIdx.x * blockDim.x + threadIdx.x; i < count; i += stride) found += a[i] != b[i];
    if (found) atomicAdd(differences, found);
}

__device__ __forceinline__ float gated(float gate, float value) {
    return __fmul_rn(__fdiv_rn(gate, __fadd_rn(1.0f, expf(-gate))), value);
}

// out = silu(gates) * values.
KERNEL proof_gate(const float4* gates, const float4* values, float4* out, u32 vectors) {
    u32 column = blockIdx.x * blockDim.x + threadIdx.x;
    if (column >= vectors) return;
    u64 at = (u64)blockIdx.y * vectors + column;
    float4 gate = gates[at], value = values[at];
    out[at] = make_float4(gated(gate.x, value.x), gated(gate.y, value.y), gated(gate.z, value.z),
                          gated(gate.w, value.w));
}

// One block a row of logits: the raw probability of `chosen[row]` and of `eos`. NaN where the logits are no numbers.
KERNEL proof_probabilities(const float* logits, const u32* chosen, u32 eos, u32 vocabulary, float2* out) {
    const float* row = logits + (u64)blockIdx.x * vocabulary;
    __shared__ float warp_largest[32], warp_sum[32];
    float largest = NEGATIVE_INFINITY, sum = 0.0f;
    bool is_number = true;
    for (u32 i = threadIdx.x; i < vocabulary; i += blockDim.x) {
        float x = row[i];
        is_number &= x < __int_as_float(0x7f800000);
        if (x > largest) {
            sum *= expf(largest - x);
            largest = x;
        }
        sum += x == NEGATIVE_INFINITY ? 0.0f : expf(x - largest);
    }
    float warp_max = largest_of_warp(largest);
    sum = sum_of_warp(largest == NEGATIVE_INFINITY ? 0.0f : sum * expf(largest - warp_max));
    if (threadIdx.x % 32 == 0) {
        warp_largest[threadIdx.x / 32] = warp_max;
        warp_sum[threadIdx.x / 32] = sum;
    }
    bool all_numbers = __syncthreads_and(is_number);
    if (threadIdx.x >= 32) return;
    u32 warps = blockDim.x / 32;
    float mine = threadIdx.x < warps ? warp_largest[threadIdx.x] : NEGATIVE_INFINITY;
    float all_largest = largest_of_warp(mine);
    float total = sum_of_warp(mine == NEGATIVE_INFINITY ? 0.0f : warp_sum[threadIdx.x] * expf(mine - all_largest));
    if (threadIdx.x == 0) {
        float nan = __int_as_float(0x7fffffff);
        out[blockIdx.x] = all_numbers ? make_float2(expf(row[chosen[blockIdx.x]] - all_largest) / total,
                                                    expf(row[eos] - all_largest) / total)
                                      : make_float2(nan, nan);
    }
}
