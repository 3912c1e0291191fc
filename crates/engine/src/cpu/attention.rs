//! Keys and values of past tokens, and causal attention over them.

use rayon::prelude::*;

use super::elementwise::softmax;
use super::panels::{Panels, Rows};
use super::product::multiply_add;
use crate::config::Qwen3Config;

/// Query positions that share one pass over the keys.
const POSITIONS_PER_BLOCK: usize = 16;

/// The keys and values of one run of tokens, in every layer.
#[derive(Debug, Clone)]
pub struct KeyValueCache {
    heads: Vec<HeadCache>,
    heads_per_layer: usize,
    capacity: usize,
    tokens: usize,
}

/// Keys as columns, values as rows: what the two products of attention read in order.
#[derive(Debug, Clone)]
struct HeadCache {
    keys: Panels,
    values: Panels,
}

impl KeyValueCache {
    /// Room for `capacity` tokens; memory is taken only as tokens come.
    pub fn new(config: &Qwen3Config, capacity: usize) -> Self {
        let head = || HeadCache {
            keys: Panels::zeros(config.head_dim, capacity),
            values: Panels::zeros(capacity, config.head_dim),
        };
        let heads_per_layer = config.key_value_heads;
        let heads = (0..config.layers * heads_per_layer).map(|_| head()).collect();
        Self { heads, heads_per_layer, capacity, tokens: 0 }
    }

    /// Returns tokens that every layer holds.
    pub fn tokens(&self) -> usize {
        self.tokens
    }

    /// Stores a token's keys and values (all heads of `layer`, one after the other) at `index`.
    pub fn store(&mut self, layer: usize, index: usize, keys: &[f32], values: &[f32]) {
        assert!(index < self.capacity, "the cache was made for {} tokens", self.capacity);
        let heads = &mut self.heads[layer * self.heads_per_layer..][..self.heads_per_layer];
        let head_dim = keys.len() / heads.len();
        for (head, (keys, values)) in
            heads.iter_mut().zip(keys.chunks_exact(head_dim).zip(values.chunks_exact(head_dim)))
        {
            head.keys.set_column(index, keys);
            head.values.set_row(index, values);
        }
    }

    /// Counts `tokens` more, once every layer has stored them.
    pub fn advance(&mut self, tokens: usize) {
        self.tokens += tokens;
    }

    fn head(&self, layer: usize, head: usize) -> &HeadCache {
        &self.heads[layer * self.heads_per_layer + head]
    }
}

/// A sequence that is being extended: tokens of its own behind a prefix that it may share with others.
#[derive(Debug)]
pub struct Sequence<'a> {
    /// Keys and values of the tokens before this sequence's own, if any.
    pub prefix: Option<&'a KeyValueCache>,
    /// Keys and values of its own tokens.
    pub own: KeyValueCache,
}

impl Sequence<'_> {
    /// Returns tokens so far, the prefix included.
    pub fn tokens(&self) -> usize {
        self.prefix_tokens() + self.own.tokens()
    }

    fn prefix_tokens(&self) -> usize {
        self.prefix.map_or(0, KeyValueCache::tokens)
    }
}

/// Attention of one layer over one sequence for the queries of its newest tokens, whose keys are stored already but not
/// yet counted. Queries and outputs are rows of all heads.
///
/// A query's bits depend on its own row and the tokens before it alone.
pub(super) fn attend(config: &Qwen3Config, layer: usize, sequence: &Sequence<'_>, queries: &[f32], out: &mut [f32]) {
    let block_len = POSITIONS_PER_BLOCK * config.query_size();
    let attend_block = |(index, (queries, out)): (usize, (&[f32], &mut [f32]))| {
        let first_own = sequence.own.tokens() + index * POSITIONS_PER_BLOCK;
        let positions = queries.len() / config.query_size();
        for head in 0..config.key_value_heads {
            Block { config, sequence, layer, head, first_own, positions }.attend(queries, out);
        }
    };
    if queries.len() <= block_len {
        attend_block((0, (queries, out)));
    } else {
        queries.par_chunks(block_len).zip(out.par_chunks_mut(block_len)).enumerate().for_each(attend_block);
    }
}

/// Queries of neighboring positions and of the heads that share one key head.
struct Block<'a> {
    config: &'a Qwen3Config,
    sequence: &'a Sequence<'a>,
    layer: usize,
    head: usize,
    first_own: usize,
    positions: usize,
}

impl Block<'_> {
    fn attend(&self, queries: &[f32], out: &mut [f32]) {
        let head_dim = self.config.head_dim;
        let group = self.config.heads / self.config.key_value_heads;
        let (prefix, own) = (self.sequence.prefix_tokens(), self.first_own + self.positions);
        let gathered = self.gather(queries, group);
        let queries = Rows { data: &gathered, stride: head_dim, count: self.positions * group };

        let width = prefix + own;
        let mut scores = vec![0.0; queries.count * width];
        let own_head = self.sequence.own.head(self.layer, self.head);
        let prefix_head = self.sequence.prefix.map(|cache| cache.head(self.layer, self.head));
        if let Some(cache) = prefix_head {
            multiply_add(queries, cache.keys.first_columns(prefix), &mut scores, width);
        }
        multiply_add(queries, own_head.keys.first_columns(own), &mut scores[prefix..], width);

        for (row, scores) in scores.chunks_exact_mut(width).enumerate() {
            let (visible, hidden) = scores.split_at_mut(prefix + self.first_own + row / group + 1);
            softmax(visible);
            hidden.fill(0.0);
        }

        let mut mixed = vec![0.0; queries.count * head_dim];
        let weights = |data| Rows { data, stride: width, count: queries.count };
        if let Some(cache) = prefix_head {
            multiply_add(weights(&scores), cache.values.first_rows(prefix), &mut mixed, head_dim);
        }
        multiply_add(weights(&scores[prefix..]), own_head.values.first_rows(own), &mut mixed, head_dim);
        self.scatter(&mixed, group, out);
    }

    /// This key head's queries, scaled, position by position.
    fn gather(&self, queries: &[f32], group: usize) -> Vec<f32> {
        let size = group * self.config.head_dim;
        let scale = 1.0 / (self.config.head_dim as f32).sqrt();
        let rows = queries.chunks_exact(self.config.query_size());
        rows.flat_map(|row| row[self.head * size..][..size].iter().map(|x| x * scale)).collect()
    }

    fn scatter(&self, mixed: &[f32], group: usize, out: &mut [f32]) {
        let size = group * self.config.head_dim;
        for (row, mixed) in out.chunks_exact_mut(self.config.query_size()).zip(mixed.chunks_exact(size)) {
            row[self.head * size..][..size].copy_from_slice(mixed);
        }
    }
}
