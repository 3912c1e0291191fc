// Decoding in bfloat16 around cuBLAS's products: one row is one token of one sequence, whether of a prompt or the last of
// a rollout. What a row gives depends on its own sequence alone.

// A row that only fills the batch up.
#define NO_SLOT 0xffffffffu
// Tokens of a page of keys and values. A page holds, for each of keys and values, [key heads, PAGE, 128].
#define PAGE 32

KERNEL half_embed(const u32* tokens, const u16* embedding, float* states, u32 hidden) {
    const u16* row = embedding + (u64)tokens[blockIdx.x] * hidden;
    for (u32 i = threadIdx.x; i < hidden; i += blockDim.x) states[(u64)blockIdx.x * hidden + i] = widen(row[i]);
}

// One block of 256 a row of up to 4096.
KERNEL half_norm(const float4* states, const float4* weight, uint2* out, u32 vectors, float epsilon) {
    __shared__ float partial[8];
    u64 start = (u64)blockIdx.x * vectors;
    float4 held[4];
    float sum = 0.0f;
#pragma unroll
    for (int i = 0; i < 4; i++) {
        u32 at = threadIdx.x + 256 * i;
        if (at < vectors) {
            float4 x = held[i] = states[start + at];
            sum += x.x * x.x + x.y * x.y + x.z * x.z + x.w * x.w;
        }
    }
    sum = sum_of_warp(sum);
    if (threadIdx.x % 32 == 0) partial[threadIdx.x / 32] = sum;
    __syncthreads();
    float total = 0.0f;
#pragma unroll
    for (int i = 0; i < 8; i++) total += partial[i];
    float root = rsqrtf(total / (4 * vectors) + epsilon);
#pragma unroll
    for (int i = 0; i < 4; i++) {
        u32 at = threadIdx.x + 256 * i;
        if (at < vectors) {
            float4 x = held[i], w = weight[at];
            out[start + at] = make_uint2(narrow(x.x * root * w.x, x.y * root * w.y),
                                         narrow(x.z * root * w.z, x.w * root * w.w));
        }
    }
}

// One warp a head of a row of [queries, keys, values]: queries and keys are normed and rotated, queries also scaled;
// keys and values go to their sequence's page.
KERNEL half_heads(const float* in, const float* query_norm, const float* key_norm, const float* cosines,
                  const float* sines, float* queries, u16* pages, const u32* tables, const u32* slots,
                  const u32* positions, u32 query_heads, u32 key_heads, u32 pages_per_slot, float scale,
                  float epsilon) {
    u32 row = blockIdx.x, head = blockIdx.y * blockDim.y + threadIdx.y, lane = threadIdx.x;
    u32 slot = slots[row];
    if (head >= query_heads + 2 * key_heads || slot == NO_SLOT) return;
    u32 position = positions[row];
    bool is_query = head < query_heads, is_value = head >= query_heads + key_heads;
    const float* from = in + ((u64)row * (query_heads + 2 * key_heads) + head) * 128;
    float x[4];
#pragma unroll
    for (int i = 0; i < 4; i++) x[i] = from[lane + 32 * i];
    if (!is_value) {
        const float* weight = is_query ? query_norm : key_norm;
        float sum = sum_of_warp(x[0] * x[0] + x[1] * x[1] + x[2] * x[2] + x[3] * x[3]);
        float root = rsqrtf(sum / 128.0f + epsilon);
#pragma unroll
        for (int i = 0; i < 4; i++) x[i] *= root * weight[lane + 32 * i];
#pragma unroll
        for (int i = 0; i < 2; i++) {
            float cosine = cosines[position * 64 + lane + 32 * i], sine = sines[position * 64 + lane + 32 * i];
            float low = x[i], high = x[i + 2];
            x[i] = low * cosine - high * sine;
            x[i + 2] = high * cosine + low * sine;
        }
    }
    if (is_query) {
        float* to = queries + ((u64)row * query_heads + head) * 128;
#pragma unroll
        for (int i = 0; i < 4; i++) to[lane + 32 * i] = x[i] * scale;
        return;
    }
    u64 page = tables[(u64)slot * pages_per_slot + position / PAGE];
    // Of a page the keys come first, then the values: a value head's number continues where the key heads' end.
    u16* to = pages + ((page * 2 * key_heads + (head - query_heads)) * PAGE + position % PAGE) * 128;
#pragma unroll
    for (int i = 0; i < 4; i++) to[lane + 32 * i] = narrow(x[i]);
}

__device__ __forceinline__ float half_gated(float gate, float value) { return gate / (1.0f + __expf(-gate)) * value; }

// [gates, values] of a row to silu(gates) * values; eight at a time.
KERNEL half_gate(const uint4* in, uint4* out, u32 vectors) {
    u32 column = blockIdx.x * blockDim.x + threadIdx.x;
    if (column >= vectors) return;
    u64 row = blockIdx.y;
    uint4 gate = in[row * 2 * vectors + column], value = in[row * 2 * vectors + vectors + column], result;
    const u32* g = &gate.x;
    const u32* v = &value.x;
    u32* r = &result.x;
#pragma unroll
    for (int i = 0; i < 4; i++) {
        r[i] = narrow(half_gated(widen_low(g[i]), widen_low(v[i])), half_gated(widen_high(g[i]), widen_high(v[i])));
    }
    out[row * vectors + column] = result;
}

// Copies whole pages of one layer pool; `pairs` holds source and target.
KERNEL copy_pages(uint4* pages, const u32* pairs, u32 vectors_per_page) {
    const uint4* from = pages + (u64)pairs[2 * blockIdx.y] * vectors_per_page;
    uint4* to = pages + (u64)pairs[2 * blockIdx.y + 1] * vectors_per_page;
    for (u32 i = blockIdx.x * blockDim.x + threadIdx.x; i < vectors_per_page; i += gridDim.x * blockDim.x) {
        to[i] = from[i];
    }
}
