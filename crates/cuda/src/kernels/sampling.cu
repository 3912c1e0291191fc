// The protocol's sampling chain over one row of logits: penalty, temperature, top-k, top-p, draw. Steps and roundings are
// those of sampling.rs, so that the same logits and the same uniform number give the same token.

#define SAMPLING_THREADS 1024
// Tokens that may tie for the last places.
#define CANDIDATES_MAX 2048

#define SAMPLED 0u
#define NOT_A_NUMBER 1u
#define NOTHING_LEFT 2u
#define TOO_MANY_TIES 3u

// What a row gives, copied to the host as it is.
struct Draw {
    double logprob;
    u32 token, outcome;
};

// Order of float32 as order of unsigned numbers.
__device__ __forceinline__ u32 ordered(float value) {
    u32 bits = __float_as_uint(value);
    return bits & 0x80000000u ? ~bits : bits | 0x80000000u;
}

__device__ __forceinline__ float unordered(u32 bits) {
    return __uint_as_float(bits & 0x80000000u ? bits & 0x7fffffffu : ~bits);
}

// Philox4x32-10: the first two words of counter (step, 0, 0, 0) as a number in 0 ≤ u < 1 with 53 bits.
__device__ __forceinline__ double uniform_draw(u32 key0, u32 key1, u32 step) {
    u32 a = step, b = 0, c = 0, d = 0;
    for (int round = 0; round < 10; round++) {
        u64 first = (u64)0xD2511F53u * a, second = (u64)0xCD9E8D57u * c;
        a = (u32)(second >> 32) ^ b ^ key0;
        b = (u32)second;
        c = (u32)(first >> 32) ^ d ^ key1;
        d = (u32)first;
        key0 += 0x9E3779B9u;
        key1 += 0xBB67AE85u;
    }
    u64 bits = ((u64)a << 32 | b) >> 11;
    return __dmul_rn((double)bits, 1.0 / 9007199254740992.0);
}

template <typename T>
__device__ __forceinline__ void sort_ascending(T* values, u32 count) {
    for (u32 size = 2; size <= count; size *= 2) {
        for (u32 stride = size / 2; stride > 0; stride /= 2) {
            __syncthreads();
            for (u32 i = threadIdx.x; i < count / 2; i += blockDim.x) {
                u32 low = 2 * i - (i & (stride - 1)), high = low + stride;
                bool ascending = (low & size) == 0;
                T first = values[low], second = values[high];
                if ((first > second) == ascending) {
                    values[low] = second;
                    values[high] = first;
                }
            }
        }
    }
    __syncthreads();
}

__device__ __forceinline__ float penalized(float logit, u32 seen_word, u32 token, float penalty) {
    if (!(seen_word >> (token % 32) & 1)) return logit;
    return logit < 0.0f ? __fmul_rn(logit, penalty) : __fdiv_rn(logit, penalty);
}

// One block of 1024 a row; `logits` rows are `stride` apart (0: all rows read the same). What is drawn goes to `draws`, is
// marked as seen, and becomes the row's next token, one position on. `vocabulary` is a multiple of 4.
KERNEL sample(const float* logits, u64 stride, const u32* slots, u32* seen, const u32* keys, u32* steps, u32* tokens,
              u32* positions, Draw* draws, u32 vocabulary, float penalty, float temperature, u32 top_k,
              double top_p) {
    __shared__ u64 candidates[CANDIDATES_MAX];
    __shared__ double chances[CANDIDATES_MAX];
    __shared__ u32 count;
    u32 row = blockIdx.x, slot = slots[row];
    if (slot == NO_SLOT) return;
    const float4* scores = (const float4*)(logits + row * stride);
    u32* seen_words = seen + (u64)slot * ((vocabulary + 31) / 32);
    u32 vectors = vocabulary / 4;

    // Dividing by the temperature keeps the order, so a thread's highest can be found before.
    float highest = NEGATIVE_INFINITY;
    bool is_number = true;
    for (u32 i = threadIdx.x; i < vectors; i += SAMPLING_THREADS) {
        float4 four = scores[i];
        u32 word = seen_words[i / 8];
        const float* x = &four.x;
#pragma unroll
        for (int e = 0; e < 4; e++) {
            is_number &= x[e] < __int_as_float(0x7f800000);
            highest = fmaxf(highest, penalized(x[e], word, 4 * i + e, penalty));
        }
    }
    // At least `top_k` scores reach the top_k-th of the threads' highest: fewer than that need not be read again.
    u32* leaders = (u32*)candidates;
    leaders[threadIdx.x] = ordered(__fdiv_rn(highest, temperature));
    if (threadIdx.x == 0) count = 0;
    bool all_numbers = __syncthreads_and(is_number);
    if (!all_numbers) {
        if (threadIdx.x == 0) draws[row].outcome = NOT_A_NUMBER;
        return;
    }
    sort_ascending(leaders, SAMPLING_THREADS);
    float threshold = unordered(leaders[SAMPLING_THREADS - min(top_k, SAMPLING_THREADS)]);
    __syncthreads();
    // A little below, so that only what may reach the threshold is divided.
    float nearly = threshold * temperature;
    nearly -= fabsf(nearly) * 1e-5f + 1e-30f;
    for (u32 i = threadIdx.x; i < vectors; i += SAMPLING_THREADS) {
        float4 four = scores[i];
        u32 word = seen_words[i / 8];
        const float* x = &four.x;
#pragma unroll
        for (int e = 0; e < 4; e++) {
            float score = penalized(x[e], word, 4 * i + e, penalty);
            if (score >= nearly && score != NEGATIVE_INFINITY) {
                score = __fdiv_rn(score, temperature);
                if (score >= threshold) {
                    u32 place = atomicAdd(&count, 1);
                    if (place < CANDIDATES_MAX) candidates[place] = (u64)ordered(score) << 32 | (4 * i + e);
                }
            }
        }
    }
    __syncthreads();
    u32 found = count;
    if (found == 0 || found > CANDIDATES_MAX) {
        if (threadIdx.x == 0) draws[row].outcome = found == 0 ? NOTHING_LEFT : TOO_MANY_TIES;
        return;
    }
    u32 padded = 64;
    while (padded < found) padded *= 2;
    // What fills up sorts to the front, and is passed over there.
    for (u32 i = found + threadIdx.x; i < padded; i += SAMPLING_THREADS) candidates[i] = 0;
    sort_ascending(candidates, padded);
    u32 first = padded - found;
    if (found > top_k) {
        first = padded - top_k;
        float last_kept = unordered((u32)(candidates[first] >> 32));
        while (first > padded - found && unordered((u32)(candidates[first - 1] >> 32)) == last_kept) first--;
    }
    double most = (double)unordered((u32)(candidates[padded - 1] >> 32));
    for (u32 i = first + threadIdx.x; i < padded; i += SAMPLING_THREADS) {
        chances[i] = exp(__dsub_rn((double)unordered((u32)(candidates[i] >> 32)), most));
    }
    __syncthreads();
    if (threadIdx.x != 0) return;

    double total = 0.0, cumulative = 0.0, kept_total = 0.0;
    for (u32 i = first; i < padded; i++) total = __dadd_rn(total, chances[i]);
    double may_go = __dsub_rn(1.0, top_p);
    while (first < padded - 1) {
        cumulative = __dadd_rn(cumulative, chances[first]);
        if (!(__ddiv_rn(cumulative, total) <= may_go)) break;
        first++;
    }
    for (u32 i = first; i < padded; i++) kept_total = __dadd_rn(kept_total, chances[i]);
    double rest = __dmul_rn(uniform_draw(keys[2 * slot], keys[2 * slot + 1], steps[slot]), kept_total);
    u32 chosen = first;
    for (; chosen < padded; chosen++) {
        rest = __dsub_rn(rest, chances[chosen]);
        if (rest < 0.0) break;
    }
    if (chosen == padded) chosen = padded - 1;
    u32 token = (u32)candidates[chosen];
    double score = (double)unordered((u32)(candidates[chosen] >> 32));
    draws[row] = {__dsub_rn(__dsub_rn(score, most), log(kept_total)), token, SAMPLED};
    seen_words[token / 32] |= 1u << (token % 32);
    steps[slot] += 1;
    tokens[row] = token;
    positions[row] += 1;
}
