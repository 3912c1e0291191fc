//! CPython 3.11's `random.Random`: MT19937 with its seeding, `randint`, `sample`, `shuffle` and `random`.

use sha2::{Digest, Sha512};

const WORDS: usize = 624;
const MIDDLE: usize = 397;
/// Initial state of `init_by_array` for every key: `init_genrand(19650218)`.
const ARRAY_SEED: [u32; WORDS] = {
    let mut state = [0u32; WORDS];
    state[0] = 19_650_218;
    let mut i = 1;
    while i < WORDS {
        state[i] = 1_812_433_253u32.wrapping_mul(state[i - 1] ^ state[i - 1] >> 30).wrapping_add(i as u32);
        i += 1;
    }
    state
};

/// A generator that draws what CPython draws from the same seed.
#[derive(Clone)]
pub struct PythonRandom {
    state: [u32; WORDS],
    /// Index of the next word; the words before it belong to the next round.
    next: usize,
}

impl PythonRandom {
    /// Seeded with bytes: the integer `seed ‖ sha512(seed)`, big-endian.
    pub fn from_bytes(seed: &[u8]) -> Self {
        let mut big_endian = seed.to_vec();
        big_endian.extend_from_slice(&Sha512::digest(seed));
        Self::from_magnitude(&big_endian)
    }

    /// Seeded with a non-negative integer.
    pub fn from_int(seed: u64) -> Self {
        Self::from_magnitude(&seed.to_be_bytes())
    }

    /// `getrandbits(bits)` for 1 to 32 bits.
    pub fn bits(&mut self, bits: u32) -> u32 {
        debug_assert!((1..=32).contains(&bits), "CPython joins words beyond 32 bits; nothing here needs that");
        self.word() >> (32 - bits)
    }

    /// `random()`: 53 bits, 0 ≤ x < 1.
    pub fn random(&mut self) -> f64 {
        let high = f64::from(self.word() >> 5);
        let low = f64::from(self.word() >> 6);
        (high * 67_108_864.0 + low) / 9_007_199_254_740_992.0
    }

    /// `randint(low, high)`, both ends included; needs low ≤ high.
    pub fn int(&mut self, low: i64, high: i64) -> i64 {
        low + self.below((high - low + 1) as usize) as i64
    }

    /// Returns positions of `sample(range(population), count)`; needs count ≤ population.
    pub fn sample(&mut self, population: usize, count: usize) -> Vec<usize> {
        if population <= Self::pool_limit(count) { self.pool(population, count) } else { self.set(population, count) }
    }

    /// `shuffle`, in place.
    pub fn shuffle<T>(&mut self, items: &mut [T]) {
        for i in (1..items.len()).rev() {
            let j = self.below(i + 1);
            items.swap(i, j);
        }
    }

    /// Largest population that CPython copies to a pool: `21 + 4 ** ceil(log(3k, 4))` for k > 5.
    fn pool_limit(count: usize) -> usize {
        if count <= 5 {
            return 21;
        }
        // 3k is not a power of four, so the integer power is what CPython's floating logarithm rounds up to.
        let mut power = 4usize;
        while power < count.saturating_mul(3) {
            power = power.saturating_mul(4);
        }
        power.saturating_add(21)
    }

    fn pool(&mut self, population: usize, count: usize) -> Vec<usize> {
        let mut pool: Vec<usize> = (0..population).collect();
        (0..count).map(|_| pool.swap_remove(self.below(pool.len()))).collect()
    }

    fn set(&mut self, population: usize, count: usize) -> Vec<usize> {
        let mut seen = std::collections::BTreeSet::new();
        std::iter::repeat_with(|| self.below(population)).filter(|j| seen.insert(*j)).take(count).collect()
    }

    /// Returns a number below `limit` by rejection, as `_randbelow_with_getrandbits`.
    fn below(&mut self, limit: usize) -> usize {
        let bits = usize::BITS - limit.leading_zeros();
        loop {
            let draw = self.bits(bits) as usize;
            if draw < limit {
                return draw;
            }
        }
    }

    fn from_magnitude(big_endian: &[u8]) -> Self {
        let mut key: Vec<u32> = big_endian
            .rchunks(4)
            .map(|chunk| chunk.iter().fold(0, |word, &byte| word << 8 | u32::from(byte)))
            .collect();
        while key.len() > 1 && key.last() == Some(&0) {
            key.pop();
        }
        Self::from_key(&key)
    }

    /// `init_by_array` of the published MT19937.
    fn from_key(key: &[u32]) -> Self {
        let mut state = ARRAY_SEED;
        let (mut i, mut j) = (1, 0);
        for _ in 0..WORDS.max(key.len()) {
            let mixed = (state[i - 1] ^ state[i - 1] >> 30).wrapping_mul(1_664_525);
            state[i] = (state[i] ^ mixed).wrapping_add(key[j]).wrapping_add(j as u32);
            i += 1;
            j = if j + 1 < key.len() { j + 1 } else { 0 };
            if i == WORDS {
                state[0] = state[WORDS - 1];
                i = 1;
            }
        }
        for _ in 0..WORDS - 1 {
            let mixed = (state[i - 1] ^ state[i - 1] >> 30).wrapping_mul(1_566_083_941);
            state[i] = (state[i] ^ mixed).wrapping_sub(i as u32);
            i += 1;
            if i == WORDS {
                state[0] = state[WORDS - 1];
                i = 1;
            }
        }
        state[0] = 0x8000_0000;
        Self { state, next: WORDS }
    }

    fn word(&mut self) -> u32 {
        let mut y = self.twisted();
        y ^= y >> 11;
        y ^= y << 7 & 0x9d2c_5680;
        y ^= y << 15 & 0xefc6_0000;
        y ^ y >> 18
    }

    /// Returns the next word of the state, advanced only now, because most generators draw only a few words.
    fn twisted(&mut self) -> u32 {
        let i = if self.next == WORDS { 0 } else { self.next };
        let following = if i + 1 < WORDS { i + 1 } else { 0 };
        let middle = if i + MIDDLE < WORDS { i + MIDDLE } else { i + MIDDLE - WORDS };
        let y = self.state[i] & 0x8000_0000 | self.state[following] & 0x7fff_ffff;
        let odd = if y & 1 == 1 { 0x9908_b0df } else { 0 };
        self.state[i] = self.state[middle] ^ y >> 1 ^ odd;
        self.next = i + 1;
        self.state[i]
    }
}
