// Attention of one row over the pages of its sequence. A block takes one key head, with all query heads that read it, and
// CHUNK tokens of the context; where the context has several chunks, the last block to finish adds them up in order. How
// a context is cut depends on its length alone, so a row's result does not depend on the batch.

#define CHUNK 128
// A half warp reads one token's 128 values, 8 to a lane.
#define HALF_WARPS 8

__device__ __forceinline__ void unpack(uint4 packed, float* values) {
    const u32* pairs = &packed.x;
#pragma unroll
    for (int i = 0; i < 4; i++) {
        values[2 * i] = widen_low(pairs[i]);
        values[2 * i + 1] = widen_high(pairs[i]);
    }
}

// Sums of GROUP values over the 16 lanes of a half warp; a lane gets that of query head `head_of_lane`. Each exchange
// halves the values a lane still carries, so that few shuffles suffice.
template <int GROUP>
__device__ __forceinline__ float spread_sum(float* values, u32 lane) {
    int bit = 1;
#pragma unroll
    for (int width = GROUP; width > 1; width /= 2) {
        bool upper = lane & bit;
#pragma unroll
        for (int i = 0; i < width / 2; i++) {
            float kept = upper ? values[i + width / 2] : values[i];
            float sent = upper ? values[i] : values[i + width / 2];
            values[i] = kept + __shfl_xor_sync(ALL_LANES, sent, bit);
        }
        bit *= 2;
    }
#pragma unroll
    for (; bit < 16; bit *= 2) values[0] += __shfl_xor_sync(ALL_LANES, values[0], bit);
    return values[0];
}

template <int GROUP>
__device__ __forceinline__ u32 head_of_lane(u32 lane) {
    u32 head = 0;
    int bit = 1;
#pragma unroll
    for (int width = GROUP; width > 1; width /= 2) {
        if (lane & bit) head += width / 2;
        bit *= 2;
    }
    return head;
}

template <int GROUP>
__device__ __forceinline__ void attention(const float* queries, const u16* pages, const u32* tables, const u32* slots,
                                          const u32* positions, float* partials, float2* extents, u32* finished,
                                          u16* out, u32 pages_per_slot, u32 chunks_max) {
    __shared__ float weights[CHUNK * GROUP];
    __shared__ float sums[HALF_WARPS * GROUP * 128];
    __shared__ float largest[GROUP], total[GROUP];
    __shared__ bool is_last;
    u32 row = blockIdx.z, key_head = blockIdx.x, key_heads = gridDim.x, chunk = blockIdx.y;
    u32 slot = slots[row];
    if (slot == NO_SLOT) return;
    u32 context = positions[row] + 1, chunks = (context + CHUNK - 1) / CHUNK;
    if (chunk >= chunks) return;
    u32 count = min(CHUNK, context - chunk * CHUNK);
    u32 half = threadIdx.x / 16, lane = threadIdx.x % 16;
    const u32* table = tables + (u64)slot * pages_per_slot + chunk * (CHUNK / PAGE);
    u64 head_start = (u64)key_head * PAGE * 128 + lane * 8, value_start = (u64)key_heads * PAGE * 128;
    u64 page_values = 2 * value_start;
    u32 held_pages = (count + PAGE - 1) / PAGE;

    float query[GROUP][8];
#pragma unroll
    for (int g = 0; g < GROUP; g++) {
        const float4* from = (const float4*)(queries + (((u64)row * key_heads + key_head) * GROUP + g) * 128 + lane * 8);
        *(float4*)&query[g][0] = from[0];
        *(float4*)&query[g][4] = from[1];
    }
    // The half warps take every eighth token, so four rounds are one page.
    for (u32 page = 0; page < held_pages; page++) {
        const u16* keys = pages + table[page] * page_values + head_start;
        uint4 packed[4];
#pragma unroll
        for (int i = 0; i < 4; i++) packed[i] = *(const uint4*)(keys + (half + 8 * i) * 128);
#pragma unroll
        for (int i = 0; i < 4; i++) {
            float key[8], scores[GROUP];
            unpack(packed[i], key);
#pragma unroll
            for (int g = 0; g < GROUP; g++) {
                scores[g] = 0.0f;
#pragma unroll
                for (int e = 0; e < 8; e++) scores[g] += query[g][e] * key[e];
            }
            float score = spread_sum<GROUP>(scores, lane);
            u32 token = page * PAGE + half + 8 * i;
            if (lane < GROUP) weights[token * GROUP + head_of_lane<GROUP>(lane)] = score;
        }
    }
    __syncthreads();

    u32 warp = threadIdx.x / 32, warp_lane = threadIdx.x % 32;
    for (u32 g = warp; g < GROUP; g += 4) {
        float scores[CHUNK / 32], most = NEGATIVE_INFINITY, sum = 0.0f;
#pragma unroll
        for (int i = 0; i < CHUNK / 32; i++) {
            u32 token = warp_lane + 32 * i;
            scores[i] = token < count ? weights[token * GROUP + g] : NEGATIVE_INFINITY;
            most = fmaxf(most, scores[i]);
        }
        most = largest_of_warp(most);
#pragma unroll
        for (int i = 0; i < CHUNK / 32; i++) {
            float weight = exp2f(scores[i] - most);
            weights[(warp_lane + 32 * i) * GROUP + g] = weight;
            sum += weight;
        }
        sum = sum_of_warp(sum);
        if (warp_lane == 0) {
            largest[g] = most;
            total[g] = sum;
        }
    }
    __syncthreads();

    float mixed[GROUP][8];
#pragma unroll
    for (int g = 0; g < GROUP; g++) {
#pragma unroll
        for (int e = 0; e < 8; e++) mixed[g][e] = 0.0f;
    }
    for (u32 page = 0; page < held_pages; page++) {
        const u16* values = pages + table[page] * page_values + value_start + head_start;
        uint4 packed[4];
#pragma unroll
        for (int i = 0; i < 4; i++) packed[i] = *(const uint4*)(values + (half + 8 * i) * 128);
#pragma unroll
        for (int i = 0; i < 4; i++) {
            u32 token = page * PAGE + half + 8 * i;
            float value[8];
            unpack(packed[i], value);
            // The last page may hold anything past the end of its sequence, so a weight of 0 is not enough.
            if (token < count) {
#pragma unroll
                for (int g = 0; g < GROUP; g++) {
                    float weight = weights[token * GROUP + g];
#pragma unroll
                    for (int e = 0; e < 8; e++) mixed[g][e] += weight * value[e];
                }
            }
        }
    }
#pragma unroll
    for (int g = 0; g < GROUP; g++) {
        float4* to = (float4*)(sums + (half * GROUP + g) * 128 + lane * 8);
        to[0] = *(float4*)&mixed[g][0];
        to[1] = *(float4*)&mixed[g][4];
    }
    __syncthreads();

    u64 head = (u64)row * key_heads + key_head;
    u64 place = head * chunks_max + chunk;
#pragma unroll
    for (int g = 0; g < GROUP; g++) {
        float sum = 0.0f;
#pragma unroll
        for (int h = 0; h < HALF_WARPS; h++) sum += sums[(h * GROUP + g) * 128 + threadIdx.x];
        if (chunks == 1) {
            out[(head * GROUP + g) * 128 + threadIdx.x] = narrow(sum / total[g]);
        } else {
            __stcg(partials + (place * GROUP + g) * 128 + threadIdx.x, sum);
        }
    }
    if (chunks == 1) return;
    if (threadIdx.x < GROUP) {
        __stcg(extents + place * GROUP + threadIdx.x, make_float2(largest[threadIdx.x], total[threadIdx.x]));
    }
    __threadfence();
    __syncthreads();
    if (threadIdx.x == 0) is_last = atomicAdd(finished + head, 1) == chunks - 1;
    __syncthreads();
    if (!is_last) return;
    __threadfence();
    if (threadIdx.x == 0) finished[head] = 0;
#pragma unroll
    for (int g = 0; g < GROUP; g++) {
        float most = NEGATIVE_INFINITY, weight_sum = 0.0f, sum = 0.0f;
        for (u32 c = 0; c < chunks; c++) most = fmaxf(most, __ldcg(&extents[(head * chunks_max + c) * GROUP + g].x));
        for (u32 c = 0; c < chunks; c++) {
            u64 at = (head * chunks_max + c) * GROUP + g;
            float2 extent = __ldcg(extents + at);
            float scale = exp2f(extent.x - most);
            weight_sum += extent.y * scale;
            sum += __ldcg(partials + at * 128 + threadIdx.x) * scale;
        }
        out[(head * GROUP + g) * 128 + threadIdx.x] = narrow(sum / weight_sum);
    }
}

#define ATTENTION(GROUP)                                                                                               \
    KERNEL attention_##GROUP(const float* queries, const u16* pages, const u32* tables, const u32* slots,              \
                             const u32* positions, float* partials, float2* extents, u32* finished, u16* out,          \
                             u32 pages_per_slot, u32 chunks_max) {                                                     \
        attention<GROUP>(queries, pages, tables, slots, positions, partials, extents, finished, out, pages_per_slot,   \
                         chunks_max);                                                                                  \
    }
ATTENTION(1)
ATTENTION(2)
ATTENTION(4)
ATTENTION(8)
