// Attention of rows over the pages of their sequences, on the tensor cores. A warp takes one row, one key head and a chunk
// of the context, page after page, while the next page is on its way. A tile has room for 16 queries, which are the
// query heads of several rows: where neighbouring rows have all pages of the chunk in common, as the rollouts of a group
// have their prompt, the first one's warp takes all of them and reads the pages once.
//
// Where a context has several chunks, the last warp to finish adds them up in order. How a context is cut depends on its
// length alone, and a row of a product does not depend on the others, so a row's result does not depend on the batch.

#define CHUNK_PAGES 4
#define CHUNK (CHUNK_PAGES * PAGE)
// Warps of a block, which take neighbouring key heads.
#define WARPS 2
// Queries of a tile.
#define TILE 16
#define NO_PAGE 0xffffffffu

// sums += first · second for a tile of 16 x 8, over 16 products. Of a tile a lane holds two neighbouring columns in row
// lane / 4 and two in the row 8 below.
__device__ __forceinline__ void tensor_product(float* sums, const u32* first, u32 second_low, u32 second_high) {
    asm("mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 {%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, "
        "{%0, %1, %2, %3};"
        : "+f"(sums[0]), "+f"(sums[1]), "+f"(sums[2]), "+f"(sums[3])
        : "r"(first[0]), "r"(first[1]), "r"(first[2]), "r"(first[3]), "r"(second_low), "r"(second_high));
}

// Where the eight values of a token from 8 * column on lie in a held page, so that neither a token's values nor a
// column's meet one bank twice.
__device__ __forceinline__ u32 held_place(u32 token, u32 column) { return token * 128 + (column ^ token % 8) * 8; }

__device__ __forceinline__ u32 shared_address(const u16* place) { return (u32)__cvta_generic_to_shared(place); }

// Begins to copy a page, [PAGE, 128]. Tokens from `tokens` on become 0, since the last page may hold anything past the
// end of its sequence, so that a weight of 0 is not enough.
__device__ __forceinline__ void begin_copy(u16* held, const u16* page, int tokens, u32 lane) {
#pragma unroll
    for (int i = 0; i < PAGE / 2; i++) {
        u32 token = 2 * i + lane / 16, column = lane % 16, bytes = (int)token < tokens ? 16 : 0;
        asm volatile("cp.async.cg.shared.global [%0], [%1], 16, %2;" ::"r"(shared_address(held + held_place(token, column))),
                     "l"(page + token * 128 + column * 8), "r"(bytes)
                     : "memory");
    }
}

// Ends what was begun since the last call as one batch.
__device__ __forceinline__ void end_batch() { asm volatile("cp.async.commit_group;" ::: "memory"); }

// Waits until all batches but the newest have arrived.
__device__ __forceinline__ void wait_for_older_batches() {
    asm volatile("cp.async.wait_group 1;" ::: "memory");
    __syncwarp();
}

// Scores of a page's tokens for the tile's queries: 4 tiles of 8 columns.
__device__ __forceinline__ void score(float (*scores)[4], const u32 (*queries)[4], const u16* keys, u32 lane) {
#pragma unroll
    for (int tile = 0; tile < PAGE / 8; tile++) {
#pragma unroll
        for (int e = 0; e < 4; e++) scores[tile][e] = 0.0f;
#pragma unroll
        for (int pair = 0; pair < 4; pair++) {
            u32 second[4], from = shared_address(keys + held_place(tile * 8 + lane % 8, pair * 4 + lane / 8));
            asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0, %1, %2, %3}, [%4];"
                         : "=r"(second[0]), "=r"(second[1]), "=r"(second[2]), "=r"(second[3])
                         : "r"(from)
                         : "memory");
            tensor_product(scores[tile], queries[2 * pair], second[0], second[1]);
            tensor_product(scores[tile], queries[2 * pair + 1], second[2], second[3]);
        }
    }
}

// Turns scores into weights relative to the largest one so far, and brings what was summed before to the same measure.
// Each of the lane's two queries sees as many of the page's tokens as `limits` says.
__device__ __forceinline__ void weigh(float (*scores)[4], float (*mixed)[4], float* largest, float* total,
                                      const int* limits, u32 lane) {
#pragma unroll
    for (int q = 0; q < 2; q++) {
        float most = largest[q];
#pragma unroll
        for (int i = 0; i < PAGE / 4; i++) {
            float& score = scores[i / 2][2 * q + i % 2];
            if ((int)(i / 2 * 8 + lane % 4 * 2 + i % 2) >= limits[q]) score = NEGATIVE_INFINITY;
            most = fmaxf(most, score);
        }
        most = fmaxf(most, __shfl_xor_sync(ALL_LANES, most, 1));
        most = fmaxf(most, __shfl_xor_sync(ALL_LANES, most, 2));
        // A query that sees nothing has no largest score.
        float base = most == NEGATIVE_INFINITY ? 0.0f : most, scale = exp2f(largest[q] - base);
        total[q] *= scale;
#pragma unroll
        for (int i = 0; i < PAGE / 4; i++) {
            float& score = scores[i / 2][2 * q + i % 2];
            score = exp2f(score - base);
            total[q] += score;
        }
#pragma unroll
        for (int i = 0; i < 16; i++) {
            mixed[i][2 * q] *= scale;
            mixed[i][2 * q + 1] *= scale;
        }
        largest[q] = most;
    }
}

// Adds a page's values under their weights: 16 tiles of 8 columns.
__device__ __forceinline__ void mix(float (*mixed)[4], const float (*weights)[4], const u16* values, u32 lane) {
#pragma unroll
    for (int step = 0; step < PAGE / 16; step++) {
        const float(*own)[4] = weights + 2 * step;
        u32 first[4] = {narrow(own[0][0], own[0][1]), narrow(own[0][2], own[0][3]), narrow(own[1][0], own[1][1]),
                        narrow(own[1][2], own[1][3])};
#pragma unroll
        for (int pair = 0; pair < 8; pair++) {
            u32 second[4], from = shared_address(values + held_place(16 * step + lane % 16, 2 * pair + lane / 16));
            asm volatile("ldmatrix.sync.aligned.m8n8.x4.trans.shared.b16 {%0, %1, %2, %3}, [%4];"
                         : "=r"(second[0]), "=r"(second[1]), "=r"(second[2]), "=r"(second[3])
                         : "r"(from)
                         : "memory");
            tensor_product(mixed[2 * pair], first, second[0], second[1]);
            tensor_product(mixed[2 * pair + 1], first, second[2], second[3]);
        }
    }
}

// Adds up the chunks of a row and key head: sums relative to each chunk's largest score.
template <int GROUP>
__device__ __forceinline__ void add_chunks(const float* partials, const float2* extents, u16* out, u64 head, u32 chunks,
                                           u32 chunks_max, u32 lane) {
    float scale[GROUP], weight_sum[GROUP];
#pragma unroll
    for (int g = 0; g < GROUP; g++) {
        // A lane for each chunk.
        float2 extent = make_float2(NEGATIVE_INFINITY, 0.0f);
        if (lane < chunks) extent = __ldcg(&extents[(head * chunks_max + lane) * GROUP + g]);
        scale[g] = exp2f(extent.x - largest_of_warp(extent.x));
        weight_sum[g] = sum_of_warp(extent.y * scale[g]);
    }
    float4 sums[GROUP];
#pragma unroll
    for (int g = 0; g < GROUP; g++) sums[g] = make_float4(0.0f, 0.0f, 0.0f, 0.0f);
    for (u32 chunk = 0; chunk < chunks; chunk++) {
#pragma unroll
        for (int g = 0; g < GROUP; g++) {
            float4 part = __ldcg((const float4*)(partials + ((head * chunks_max + chunk) * GROUP + g) * 128) + lane);
            float factor = __shfl_sync(ALL_LANES, scale[g], chunk);
            sums[g].x += part.x * factor;
            sums[g].y += part.y * factor;
            sums[g].z += part.z * factor;
            sums[g].w += part.w * factor;
        }
    }
#pragma unroll
    for (int g = 0; g < GROUP; g++) {
        float by = 1.0f / weight_sum[g];
        *(uint2*)(out + (head * GROUP + g) * 128 + lane * 4) =
            make_uint2(narrow(sums[g].x * by, sums[g].y * by), narrow(sums[g].z * by, sums[g].w * by));
    }
}

template <int GROUP>
__device__ __forceinline__ void attention(const float* queries, const u16* pages, const u32* tables, const u32* slots,
                                          const u32* positions, float* partials, float2* extents, u32* finished,
                                          u16* out, u32 rows, u32 key_heads, u32 pages_per_slot, u32 chunks_max) {
    // Rows that may share a warp: as many as fill a tile, and as have a lane for each of their pages.
    constexpr u32 ROWS = GROUP == 1 ? 8 : TILE / GROUP;
    // Each warp's page of keys and its page of values.
    __shared__ __align__(16) u16 held[WARPS][2][PAGE * 128];
    u32 warp = threadIdx.x / 32, lane = threadIdx.x % 32, key_head = blockIdx.x * WARPS + warp, chunk = blockIdx.y;
    u32 first_row = blockIdx.z / ROWS * ROWS, own_row = blockIdx.z % ROWS;
    if (positions[blockIdx.z] < chunk * CHUNK || key_head >= key_heads) return;

    // A lane for each row and page of the chunk.
    u32 context = 0, page = NO_PAGE;
    if (lane < ROWS * CHUNK_PAGES && first_row + lane / CHUNK_PAGES < rows) {
        u32 slot = slots[first_row + lane / CHUNK_PAGES], place = chunk * CHUNK_PAGES + lane % CHUNK_PAGES;
        if (slot != NO_SLOT) context = positions[first_row + lane / CHUNK_PAGES] + 1;
        if (context > place * PAGE) page = tables[(u64)slot * pages_per_slot + place];
    }
    u32 own_lane = own_row * CHUNK_PAGES;
    if (__shfl_sync(ALL_LANES, context, own_lane) == 0) return;
    u32 readers = __ballot_sync(ALL_LANES, page == __shfl_sync(ALL_LANES, page, own_lane + lane % CHUNK_PAGES));
    readers &= readers >> 1;
    readers &= readers >> 2;
    // The first bit of a row's lanes says whether all its pages are the same; the first such row takes them.
    readers &= 0x11111111u & (u32)((1ull << ROWS * CHUNK_PAGES) - 1);
    if (readers & ((1u << own_lane) - 1)) return;
    if (!(readers >> (lane / CHUNK_PAGES * CHUNK_PAGES) & 1)) context = 0;
    int tokens = min((int)(__reduce_max_sync(ALL_LANES, context) - chunk * CHUNK), CHUNK);

    u16 *keys = held[warp][0], *values = held[warp][1];
    u64 head_start = (u64)key_head * PAGE * 128, value_start = (u64)key_heads * PAGE * 128;
    const u16* from = pages + __shfl_sync(ALL_LANES, page, own_lane) * 2 * value_start + head_start;
    begin_copy(keys, from, tokens, lane);
    end_batch();
    begin_copy(values, from + value_start, tokens, lane);
    end_batch();

    // Of the lane's two queries: how many tokens of the chunk they see, and the operands of 8 steps.
    int limits[2];
    u32 operands[8][4];
#pragma unroll
    for (int q = 0; q < 2; q++) {
        u32 query = lane / 4 + 8 * q, row = query / GROUP;
        u32 own = __shfl_sync(ALL_LANES, context, row % ROWS * CHUNK_PAGES);
        if (row >= ROWS) own = 0;
        limits[q] = own > 0 ? (int)own - (int)(chunk * CHUNK) : 0;
        u64 head = ((u64)(first_row + row) * key_heads + key_head) * GROUP + query % GROUP;
        const float2* pairs = (const float2*)(queries + head * 128) + lane % 4;
#pragma unroll
        for (int i = 0; i < 16; i++) {
            float2 pair = own > 0 ? pairs[4 * i] : make_float2(0.0f, 0.0f);
            operands[i / 2][q + i % 2 * 2] = narrow(pair.x, pair.y);
        }
    }
    float largest[2] = {NEGATIVE_INFINITY, NEGATIVE_INFINITY}, total[2] = {0.0f, 0.0f}, mixed[16][4];
#pragma unroll
    for (int i = 0; i < 16; i++) {
#pragma unroll
        for (int e = 0; e < 4; e++) mixed[i][e] = 0.0f;
    }
    for (int at = 0; at < tokens; at += PAGE) {
        float weights[PAGE / 8][4];
        wait_for_older_batches();
        score(weights, operands, keys, lane);
        __syncwarp();
        bool has_next = at + PAGE < tokens;
        from = pages + (u64)__shfl_sync(ALL_LANES, page, own_lane + (at / PAGE + 1) % CHUNK_PAGES) * 2 * value_start +
               head_start;
        if (has_next) begin_copy(keys, from, tokens - at - PAGE, lane);
        end_batch();
        int page_limits[2] = {limits[0] - at, limits[1] - at};
        weigh(weights, mixed, largest, total, page_limits, lane);
        wait_for_older_batches();
        mix(mixed, weights, values, lane);
        __syncwarp();
        if (has_next) begin_copy(values, from + value_start, tokens - at - PAGE, lane);
        end_batch();
    }

#pragma unroll
    for (int q = 0; q < 2; q++) {
        total[q] += __shfl_xor_sync(ALL_LANES, total[q], 1);
        total[q] += __shfl_xor_sync(ALL_LANES, total[q], 2);
        if (limits[q] == 0) continue;
        u32 query = lane / 4 + 8 * q, part = query % GROUP;
        u64 head = (u64)(first_row + query / GROUP) * key_heads + key_head;
        if (chunk == 0 && limits[q] <= CHUNK) {
            u32* to = (u32*)(out + (head * GROUP + part) * 128) + lane % 4;
            float by = 1.0f / total[q];
#pragma unroll
            for (int i = 0; i < 16; i++) to[4 * i] = narrow(mixed[i][2 * q] * by, mixed[i][2 * q + 1] * by);
            continue;
        }
        u64 place = (head * chunks_max + chunk) * GROUP + part;
        float2* to = (float2*)(partials + place * 128) + lane % 4;
#pragma unroll
        for (int i = 0; i < 16; i++) __stcg(to + 4 * i, make_float2(mixed[i][2 * q], mixed[i][2 * q + 1]));
        if (lane % 4 == 0) __stcg(extents + place, make_float2(largest[q], total[q]));
    }
    __threadfence();
    __syncwarp();
    bool is_end = false;
    if (context > CHUNK && lane % CHUNK_PAGES == 0) {
        u32* count = finished + (u64)(first_row + lane / CHUNK_PAGES) * key_heads + key_head;
        is_end = atomicAdd(count, 1) == (context + CHUNK - 1) / CHUNK - 1;
        if (is_end) *count = 0;
    }
    __threadfence();
    for (u32 ends = __ballot_sync(ALL_LANES, is_end); ends != 0; ends &= ends - 1) {
        u32 first_lane = __ffs(ends) - 1, chunks = (__shfl_sync(ALL_LANES, context, first_lane) + CHUNK - 1) / CHUNK;
        u64 head = (u64)(first_row + first_lane / CHUNK_PAGES) * key_heads + key_head;
        add_chunks<GROUP>(partials, extents, out, head, chunks, chunks_max, lane);
    }
}

#define ATTENTION(GROUP)                                                                                               \
    KERNEL __launch_bounds__(32 * WARPS, 6)                                                                            \
    attention_##GROUP(const float* queries, const u16* pages, const u32* tables, const u32* slots,                     \
                      const u32* positions, float* partials, float2* extents, u32* finished, u16* out, u32 rows,       \
                      u32 key_heads, u32 pages_per_slot, u32 chunks_max) {                                             \
        attention<GROUP>(queries, pages, tables, slots, positions, partials, extents, finished, out, rows, key_heads,  \
                         pages_per_slot, chunks_max);                                                                  \
    }
ATTENTION(1)
ATTENTION(2)
ATTENTION(4)
ATTENTION(8)
