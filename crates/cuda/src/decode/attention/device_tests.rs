//! The device's attention against its definition in float64. Without a device the tests end at once.

use grail_engine::synthetic::{Spread, qwen3_4b, weight};

use super::super::classes::chunk_class;
use super::super::test_stream;
use super::*;
use crate::driver::{Buffer, Device, Plain};

const KEY_HEADS: usize = 2;
const DIM: usize = 128;
/// Values of a page's keys, and of its values.
const PAGE_VALUES: usize = KEY_HEADS * PAGE_TOKENS * DIM;
const PAGES: usize = 600;
const SLOTS: usize = 24;
/// A bfloat16 that is no number; pages are full of it where nothing was written.
const NOT_A_NUMBER: u16 = 0x7fff;

/// Numbers from -1 to 1 by counter, so that a failure can be repeated.
fn noise(seed: u64, index: usize) -> f32 {
    weight(Spread::Linear, seed, index as u64) / 0.035
}

fn narrow(value: f32) -> u16 {
    (value.to_bits() >> 16) as u16
}

fn widen(bits: u16) -> f64 {
    f64::from(f32::from_bits(u32::from(bits) << 16))
}

fn zeroed<T: Plain>(device: &Device, len: usize) -> Buffer<T> {
    Buffer::zeroed(device, len, "a test").unwrap()
}

struct Bench {
    config: Qwen3Config,
    stream: Stream,
    rows: Rows,
    pages: (Vec<u16>, Buffer<u16>),
    tables: (Vec<u32>, Buffer<u32>),
    partials: Buffer<f32>,
    extents: Buffer<f32>,
    finished: Buffer<u32>,
    next_page: u32,
}

impl Bench {
    fn new(group: usize) -> Option<Self> {
        let stream = test_stream()?;
        let device = stream.device().clone();
        let config = Qwen3Config { heads: group * KEY_HEADS, key_value_heads: KEY_HEADS, ..qwen3_4b() };
        let (rows, heads) = (64, config.heads);
        Some(Self {
            config,
            rows: Rows::new(&device, rows).unwrap(),
            pages: (vec![NOT_A_NUMBER; PAGES * 2 * PAGE_VALUES], zeroed(&device, PAGES * 2 * PAGE_VALUES)),
            tables: (vec![0; SLOTS * PAGES_PER_SLOT], zeroed(&device, SLOTS * PAGES_PER_SLOT)),
            partials: zeroed(&device, rows * CHUNKS_MAX * heads * DIM),
            extents: zeroed(&device, rows * CHUNKS_MAX * heads * 2),
            finished: zeroed(&device, rows * KEY_HEADS),
            next_page: 0,
            stream,
        })
    }

    /// Gives a slot a context: the first `shared` tokens from the pages of slot `of`, the rest in its own.
    fn fill(&mut self, slot: usize, tokens: usize, (of, shared): (usize, usize)) {
        for place in 0..tokens.div_ceil(PAGE_TOKENS) {
            if place * PAGE_TOKENS < shared {
                self.tables.0[slot * PAGES_PER_SLOT + place] = self.tables.0[of * PAGES_PER_SLOT + place];
                continue;
            }
            let page = self.next_page as usize;
            self.next_page += 1;
            self.tables.0[slot * PAGES_PER_SLOT + place] = page as u32;
            for token in 0..PAGE_TOKENS.min(tokens - place * PAGE_TOKENS) {
                for head in 0..2 * KEY_HEADS {
                    let at = ((page * 2 * KEY_HEADS + head) * PAGE_TOKENS + token) * DIM;
                    (at..at + DIM).for_each(|at| self.pages.0[at] = narrow(noise(1, at)));
                }
            }
        }
    }

    fn query(&self, row: usize, head: usize, at: usize) -> f32 {
        // Scores have a deviation of about 2.
        noise(2, (row * self.config.heads + head) * DIM + at) * 0.5
    }

    /// Returns [rows, query heads, 128] as bits, of rows (query's number, position, slot).
    fn attend(&mut self, rows: &[(usize, usize, usize)]) -> Vec<u16> {
        let heads = self.config.heads;
        self.stream.upload(self.pages.1.address(), &self.pages.0).unwrap();
        self.stream.upload(self.tables.1.address(), &self.tables.0).unwrap();
        let set: Vec<(u32, usize, usize)> = rows.iter().map(|(_, position, slot)| (0, *position, *slot)).collect();
        self.rows.set(&self.stream, rows.len(), &set).unwrap();
        let at = |row: usize, head: usize| (0..DIM).map(move |at| (row, head, at));
        let queries: Vec<f32> = (rows.iter())
            .flat_map(|(row, ..)| (0..heads).flat_map(move |head| at(*row, head)))
            .map(|(row, head, at)| self.query(row, head, at))
            .collect();
        let device = self.stream.device();
        let on_device: Buffer<f32> = zeroed(device, queries.len());
        let result: Buffer<u16> = zeroed(device, queries.len());
        self.stream.upload(on_device.address(), &queries).unwrap();
        let longest = rows.iter().map(|(_, position, _)| position + 1).max().unwrap();
        let buffers = AttentionBuffers {
            queries: on_device.address(),
            pages: self.pages.1.address(),
            tables: self.tables.1.address(),
            partials: self.partials.address(),
            extents: self.extents.address(),
            finished: self.finished.address(),
            result: result.address(),
        };
        buffers.enqueue(&self.stream, &self.config, &self.rows, (rows.len(), chunk_class(longest))).unwrap();
        self.stream.download(result.address(), queries.len()).unwrap()
    }

    /// Returns what the definition gives for one query head of a row.
    fn expected(&self, (row, position, slot): (usize, usize, usize), head: usize) -> Vec<f64> {
        let key_head = head / (self.config.heads / KEY_HEADS);
        let place = |token: usize, kind: usize| {
            let page = self.tables.0[slot * PAGES_PER_SLOT + token / PAGE_TOKENS] as usize;
            (((page * 2 + kind) * KEY_HEADS + key_head) * PAGE_TOKENS + token % PAGE_TOKENS) * DIM
        };
        let value = |token: usize, kind: usize, at: usize| widen(self.pages.0[place(token, kind) + at]);
        let score = |token: usize| (0..DIM).map(|at| f64::from(self.query(row, head, at)) * value(token, 0, at)).sum();
        let weights: Vec<f64> = (0..=position).map(|token| f64::exp2(score(token))).collect();
        let total: f64 = weights.iter().sum();
        let mixed = |at: usize| (0..=position).map(|token| weights[token] * value(token, 1, at)).sum::<f64>() / total;
        (0..DIM).map(mixed).collect()
    }

    fn assert_as_defined(&mut self, rows: &[(usize, usize, usize)]) {
        let heads = self.config.heads;
        let together = self.attend(rows);
        for (number, (row, found)) in rows.iter().zip(together.chunks(heads * DIM)).enumerate() {
            if row.2 == NO_SLOT {
                continue;
            }
            for (head, found) in found.chunks(DIM).enumerate() {
                for (found, expected) in found.iter().zip(self.expected(*row, head)) {
                    let error = (widen(*found) - expected).abs();
                    // Queries, weights and the result are rounded to 8 bits.
                    assert!(error < 0.01, "{heads} heads, row {number} {row:?}, head {head}: {error}");
                }
            }
            assert_eq!(self.attend(&[*row]), found, "{heads} heads, row {number} {row:?} has other bits alone");
        }
    }
}

/// A row that only fills the batch up.
const NO_SLOT: usize = u32::MAX as usize;

#[test]
fn rollouts_of_all_lengths_attend_to_shared_and_own_pages() {
    for group in [1, 2, 4, 8] {
        let Some(mut bench) = Bench::new(group) else { return };
        let lengths = [400, 333, 352, 700, 1, 32, 33, 31, 128, 129, 127, 256, 64, 65, 384, 385, 300, 310, 320, 321];
        for (slot, tokens) in lengths.into_iter().enumerate() {
            // The first four are a group, the last four another; all others share nothing.
            let shares = match slot {
                1..4 => (0, 320),
                17..20 => (16, 288),
                _ => (0, 0),
            };
            bench.fill(slot, tokens, shares);
        }
        let row = |slot: usize| (slot, lengths[slot] - 1, slot);
        let mut rows: Vec<(usize, usize, usize)> = (0..lengths.len()).map(row).collect();
        bench.assert_as_defined(&rows);
        // Rollouts that have ended leave gaps, and groups do not begin where a block does.
        rows.remove(2);
        rows[7].2 = NO_SLOT;
        rows.extend([(40, 0, NO_SLOT), (41, 0, NO_SLOT)]);
        bench.assert_as_defined(&rows);
    }
}

#[test]
fn every_token_of_a_prompt_attends_to_those_before_it() {
    for group in [1, 2, 4, 8] {
        let Some(mut bench) = Bench::new(group) else { return };
        bench.fill(0, 200, (0, 0));
        let rows: Vec<(usize, usize, usize)> = (0..50).map(|row| (row, row * 3 + 40, 0)).collect();
        bench.assert_as_defined(&rows);
        let rows: Vec<(usize, usize, usize)> = (0..50).map(|row| (row, row, 0)).collect();
        bench.assert_as_defined(&rows);
    }
}
