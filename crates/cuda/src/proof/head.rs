//! The output head: raw probabilities of a completion's tokens, for the checks that compare them with thresholds.
//!
//! Nobody compares their bits. So a miner's own check takes them from the tensor cores, with a bound on how far they are
//! from those of any float32 product, and takes float32 for a sequence whose verdict the bound leaves open.
//!
//! The bound. A hidden state h is split into two bfloat16 parts, hi = bf16(h) and lo = bf16(h − hi), so that
//! |h − hi − lo| ≤ 2⁻¹⁶·|h| in every element; the matrix's rows w are in bfloat16, exact for a model whose weights are. With
//! S = Σ|hᵢ|·|wᵢ| ≤ ‖h‖·‖w‖ and n elements, a logit errs
//!
//! - by at most 2⁻¹⁶·S by the split, and 2⁻⁸·S more where the weights are not exactly bfloat16;
//! - by the additions of float32, whose product it is compared with, and of the tensor cores, whose products of bfloat16 are
//!   exact: at most n·2⁻²⁴·S and 2n·2⁻²⁴·S if every single addition erred as much as it can and in one direction. Roundings
//!   that are independent stay under λ·√n·2⁻²⁴·S but with a probability of 2n·exp(−λ²/2) (N. Higham and T. Mary, 2019); with
//!   λ = 10 that is 10⁻¹⁸. Tensor cores cut off instead of rounding, so they are given twice as much.
//!
//! So this part of the bound is proven for independent roundings, not for the worst of all; the worst leaves most sequences
//! open, and what was measured lies far below either (NOTES.md).
//!
//! The log of the odds p / (1 − p) is a logit minus the log of a sum over the others, so it moves by no more than twice that.

use std::sync::Arc;

use grail_protocol::generation::{BoundedPass, Bounds};

use super::{HEAD_ROWS, Layout, Prover, Sequence};
use crate::driver::{Buffer, Grid, HalfOutput, MatrixShape, Operands, Stream};
use crate::error::{CudaEngineError, CudaError};
use crate::weights::{ExactWeights, HalfWeights};

/// Says whether the verdict on a completion is the same for all probabilities within their bounds.
pub type Decided = fn(&BoundedPass) -> bool;

/// Relative error of float32 in a softmax over a vocabulary, computed twice: sums of 149 exponentials a thread, rescaled.
const SOFTMAX_ERROR: f64 = 2e-4;
/// Below this float32 counts as 0.
const SMALLEST: f64 = 1e-30;
/// How many standard deviations sums may err by.
const LAMBDA: f64 = 10.0;
/// Room for the rounding of the norms, and for the lower part's sums, which are a 256th as large.
const NORM_ROUNDING: f64 = 1.005;

/// The output layer in bfloat16, and what is needed to bound its error.
#[derive(Debug)]
pub struct SplitHead {
    half: Arc<HalfWeights>,
    /// Bound of a logit's error for a hidden state of norm 1.
    error: f64,
    is_decided: Decided,
}

impl SplitHead {
    /// Takes the output layer from `half`, which was rounded from `exact`; `is_decided` says what needs no float32.
    ///
    /// # Errors
    /// If the device fails.
    pub fn new(
        exact: &ExactWeights,
        half: Arc<HalfWeights>,
        stream: &Stream,
        is_decided: Decided,
    ) -> Result<Self, CudaError> {
        let (inner, vocabulary) = (exact.config.hidden_size, exact.config.vocab_size);
        let facts = Buffer::<u32>::zeroed(stream.device(), 2, "facts about the output layer")?;
        let arguments = [exact.head().into(), ((inner / 2) as u32).into(), facts.address().into()];
        stream.launch("proof_head_facts", Grid::row(vocabulary as u32, 128), &arguments)?;
        let facts = stream.download::<u32>(facts.address(), 2)?;
        let largest_norm = f64::from(f32::from_bits(facts[0])) * NORM_ROUNDING;
        Ok(Self { half, error: largest_norm * error_bound(inner, facts[1] == 0), is_decided })
    }

    /// Returns what is known of a probability at a row whose hidden state has this norm.
    fn bounds(&self, probability: f32, norm: f32) -> Bounds {
        bounds(probability.into(), 2.0 * self.error * f64::from(norm) * NORM_ROUNDING)
    }
}

/// Returns the bound of a logit's error, as a multiple of the norms of both vectors.
fn error_bound(inner: usize, is_exact: bool) -> f64 {
    let sums = 3.0 * LAMBDA * (inner as f64).sqrt() * f64::powi(2.0, -24);
    let split = f64::powi(2.0, -16) + if is_exact { 0.0 } else { f64::powi(2.0, -8) };
    (sums + split) * NORM_ROUNDING
}

/// Returns the bounds of a probability whose log odds err by at most `error`.
fn bounds(probability: f64, error: f64) -> Bounds {
    let rest = (1.0 - probability).max(0.0);
    let factor = error.exp();
    let low = probability / (probability + rest * factor) * (1.0 - SOFTMAX_ERROR) - SMALLEST;
    let high = probability * factor / (probability * factor + rest) * (1.0 + SOFTMAX_ERROR) + SMALLEST;
    Bounds { low, high }
}

/// Both ways of the head over one sequence.
#[derive(Debug, Clone, PartialEq)]
pub struct HeadTrial {
    /// For each token of the completion, and at last for EOS: the probability that float32 gives.
    pub single: Vec<f64>,
    /// The same by the split.
    pub split: Vec<f64>,
    /// What the split says of the first.
    pub bounds: BoundedPass,
}

/// Probability of the next token and of EOS, row by row.
type Rows = Vec<[f32; 2]>;

/// The rows that are asked for, of all sequences one behind the other.
struct Asked {
    rows: Vec<u32>,
    next: Vec<u32>,
    /// How many belong to each sequence.
    lengths: Vec<usize>,
}

impl Asked {
    /// The rows from the last of each sequence's prompt on, but the sequence's last.
    fn of(sequences: &[Sequence<'_>], layout: &Layout, is_wanted: impl Fn(usize) -> bool) -> Self {
        let (mut rows, mut next, mut lengths) = (Vec::new(), Vec::new(), Vec::new());
        for (index, (range, sequence)) in layout.ranges.iter().zip(sequences).enumerate() {
            let positions =
                sequence.first_row()..if is_wanted(index) { range.tokens - 1 } else { sequence.first_row() };
            lengths.push(positions.len());
            rows.extend(positions.clone().map(|position| range.row(position) as u32));
            next.extend(positions.map(|position| sequence.tokens[position + 1]));
        }
        Self { rows, next, lengths }
    }

    /// Gives each sequence its part of what was found for all rows.
    fn parted<T: Clone>(&self, found: &[T]) -> Vec<Vec<T>> {
        let mut rest = found.iter().cloned();
        self.lengths.iter().map(|length| rest.by_ref().take(*length).collect()).collect()
    }
}

impl Prover {
    /// Returns the raw probabilities of the next token and of EOS, for each sequence's rows from the last of its prompt
    /// on but the last.
    pub(super) fn probabilities(&self, sequences: &[Sequence<'_>], layout: &Layout) -> Result<Vec<Rows>, CudaError> {
        let asked = |is_wanted: &dyn Fn(usize) -> bool| Asked::of(sequences, layout, is_wanted);
        let all = asked(&|_| true);
        let Some(head) = &self.head else { return Ok(all.parted(&self.by_single(&all)?)) };
        let (found, norms) = self.by_split(head, &all)?;
        let mut found = all.parted(&found);
        let norms = all.parted(&norms);
        let is_open: Vec<bool> = (found.iter().zip(&norms).zip(sequences))
            .map(|((rows, norms), sequence)| !(head.is_decided)(&self.bounded(head, sequence, rows, norms)))
            .collect();
        if is_open.contains(&true) {
            let again = asked(&|index| is_open[index]);
            let exact = again.parted(&self.by_single(&again)?);
            for ((rows, exact), is_open) in found.iter_mut().zip(exact).zip(is_open) {
                if is_open {
                    *rows = exact;
                }
            }
        }
        Ok(found)
    }

    /// Returns what the split says of a sequence's probabilities.
    fn bounded(&self, head: &SplitHead, sequence: &Sequence<'_>, rows: &[[f32; 2]], norms: &[f32]) -> BoundedPass {
        let completion = rows.iter().zip(norms).map(|(row, norm)| head.bounds(row[0], *norm)).collect();
        let ends_with_eos = sequence.tokens.last() == Some(&self.eos_token);
        let last = rows.last().zip(norms.last()).filter(|_| ends_with_eos);
        BoundedPass { completion, eos: last.map(|(row, norm)| head.bounds(row[1], *norm)) }
    }

    /// Computes one sequence's probabilities both ways.
    ///
    /// # Errors
    /// As [`Prover::pass`]; [`CudaError::Ended`] without a split head.
    pub fn head_trial(&mut self, sequence: Sequence<'_>) -> Result<HeadTrial, CudaEngineError> {
        let sequences = [sequence];
        let layout = self.enqueue(&sequences)?;
        let head = self.head.clone().ok_or(CudaError::Ended)?;
        let all = Asked::of(&sequences, &layout, |_| true);
        let single = self.by_single(&all)?;
        let (split, norms) = self.by_split(&head, &all)?;
        let bounds = self.bounded(&head, &sequence, &split, &norms);
        let list = |rows: &Rows| -> Vec<f64> {
            let last = rows.last().map(|row| f64::from(row[1]));
            rows.iter().map(|row| f64::from(row[0])).chain(last).collect()
        };
        Ok(HeadTrial { single: list(&single), split: list(&split), bounds })
    }

    /// In float32.
    fn by_single(&self, asked: &Asked) -> Result<Rows, CudaError> {
        let (config, scratch, stream) = (&self.weights.config, &self.scratch, &self.lanes.main);
        let vectors = (config.hidden_size / 4) as u32;
        self.logits(asked, |start, rows| {
            let input = scratch.head_input.address();
            let take = [scratch.hidden.address().into(), scratch.asked.at(start).into(), input.into(), vectors.into()];
            stream.launch("proof_take_rows", Grid::row(rows as u32, 128), &take)?;
            let shape = MatrixShape { rows, inner: config.hidden_size, outputs: config.vocab_size };
            let result = scratch.logits.address();
            stream.linear(shape, Operands { first: self.weights.head(), second: input, result })
        })
    }

    /// On the tensor cores; with the norm of every row's hidden state.
    fn by_split(&self, head: &SplitHead, asked: &Asked) -> Result<(Rows, Vec<f32>), CudaError> {
        let (config, scratch, stream) = (&self.weights.config, &self.scratch, &self.lanes.main);
        let pairs = (config.hidden_size / 2) as u32;
        let rows = self.logits(asked, |start, rows| {
            // Both halves fit where the float32 rows would be.
            let high = scratch.head_input.address();
            let low = scratch.head_input.at(rows * config.hidden_size / 2);
            let take = [
                scratch.hidden.address().into(),
                scratch.asked.at(start).into(),
                high.into(),
                low.into(),
                scratch.norms.at(start).into(),
                pairs.into(),
            ];
            stream.launch("proof_split_rows", Grid::row(rows as u32, 128), &take)?;
            let shape = MatrixShape { rows, inner: config.hidden_size, outputs: config.vocab_size };
            let operands = |second| Operands { first: head.half.head(), second, result: scratch.logits.address() };
            stream.half_linear(shape, operands(high), HalfOutput::Single)?;
            stream.half_linear(shape, operands(low), HalfOutput::Added)
        })?;
        let norms = stream.download::<f32>(scratch.norms.address(), asked.rows.len())?;
        Ok((rows, norms))
    }

    /// Goes through the rows that are asked for, as many at a time as there is room for; `enqueue` gives the logits of
    /// those from the first number on.
    fn logits(
        &self,
        asked: &Asked,
        enqueue: impl Fn(usize, usize) -> Result<(), CudaError>,
    ) -> Result<Rows, CudaError> {
        let (config, scratch, stream) = (&self.weights.config, &self.scratch, &self.lanes.main);
        let count = asked.rows.len();
        if count == 0 {
            return Ok(Vec::new());
        }
        stream.upload(scratch.asked.address(), &[&asked.rows[..], &asked.next[..]].concat())?;
        for start in (0..count).step_by(HEAD_ROWS) {
            let rows = HEAD_ROWS.min(count - start);
            enqueue(start, rows)?;
            let arguments = [
                scratch.logits.address().into(),
                scratch.asked.at(count + start).into(),
                self.eos_token.into(),
                (config.vocab_size as u32).into(),
                scratch.probabilities.at(2 * start).into(),
            ];
            stream.launch("proof_probabilities", Grid::row(rows as u32, 1024), &arguments)?;
        }
        let pairs: Vec<f32> = stream.download(scratch.probabilities.address(), 2 * count)?;
        Ok(pairs.chunks_exact(2).map(|pair| [pair[0], pair[1]]).collect())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// bfloat16 nearest to `x`, ties to even, as the kernels round.
    fn nearest_half(x: f32) -> f32 {
        let bits = x.to_bits();
        f32::from_bits((bits + 0x7fff + (bits >> 16 & 1)) & 0xffff_0000)
    }

    fn softmax(logits: &[f64], at: usize) -> f64 {
        let largest = logits.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        let sum: f64 = logits.iter().map(|logit| (logit - largest).exp()).sum();
        (logits[at] - largest).exp() / sum
    }

    /// A sum whose every step is cut off toward zero at 24 bits: worse than tensor cores, which cut a sum of many products.
    fn truncated(terms: impl Iterator<Item = f64>) -> f64 {
        terms.fold(0.0, |sum, term| {
            let exact = sum + term;
            let near = exact as f32;
            let over = f64::from(near).abs() > exact.abs();
            f64::from(if over { f32::from_bits(near.to_bits() - 1) } else { near })
        })
    }

    fn vectors(len: usize) -> impl Strategy<Value = (Vec<f32>, Vec<f32>)> {
        let element = (-1.0f32..1.0, -6i32..6).prop_map(|(x, power)| x * f32::powi(2.0, power));
        let signs = prop_oneof![Just(false), Just(true)];
        (prop::collection::vec((element.clone(), element), len), signs).prop_map(|(pairs, is_positive)| {
            let sign = |x: f32| if is_positive { x.abs() } else { x };
            pairs.into_iter().map(|(h, w)| (sign(h), nearest_half(sign(w)))).unzip()
        })
    }

    proptest! {
        #[test]
        fn a_logit_errs_by_no_more_than_the_bound((hidden, weights) in (16usize..300).prop_flat_map(vectors)) {
            let high: Vec<f32> = hidden.iter().map(|h| nearest_half(*h)).collect();
            let low: Vec<f32> = hidden.iter().zip(&high).map(|(h, high)| nearest_half(h - high)).collect();
            let products = |part: &[f32]| -> Vec<f64> {
                part.iter().zip(&weights).map(|(h, w)| f64::from(*h) * f64::from(*w)).collect()
            };
            let parts = [&high, &low].map(|part| truncated(products(part).into_iter()));
            let split = truncated(parts.into_iter());
            let single = hidden.iter().zip(&weights).fold(0.0f32, |sum, (h, w)| h.mul_add(*w, sum));
            let norm = |vector: &[f32]| vector.iter().map(|x| f64::from(*x).powi(2)).sum::<f64>().sqrt();
            let bound = error_bound(hidden.len(), true) * norm(&hidden) * norm(&weights);
            prop_assert!((split - f64::from(single)).abs() <= bound, "{split} {single} {bound}");
        }

        #[test]
        fn weights_that_are_not_bfloat16_are_within_the_wider_bound(
            pairs in prop::collection::vec((-4.0f64..4.0, -4.0f32..4.0), 16..300),
        ) {
            let rounded: f64 = pairs.iter().map(|(h, w)| h * f64::from(nearest_half(*w))).sum();
            let exact: f64 = pairs.iter().map(|(h, w)| h * f64::from(*w)).sum();
            let norm = |of: &dyn Fn(&(f64, f32)) -> f64| pairs.iter().map(|pair| of(pair).powi(2)).sum::<f64>().sqrt();
            let bound = error_bound(pairs.len(), false) * norm(&|pair| pair.0) * norm(&|pair| pair.1.into());
            prop_assert!((rounded - exact).abs() <= bound);
        }

        #[test]
        fn a_probability_lies_within_its_bounds_however_its_logits_err(
            logits in prop::collection::vec((-20.0f64..20.0, -1.0f64..=1.0), 2..50),
            error in prop_oneof![Just(0.0), 1e-6f64..2.0],
            at in any::<prop::sample::Index>(),
            is_extreme in any::<bool>(),
        ) {
            let at = at.index(logits.len());
            let true_logits: Vec<f64> = logits.iter().map(|(logit, _)| *logit).collect();
            // Extreme: the chosen token's logit one way and all others' the other way.
            let shift = |i: usize, share: f64| match is_extreme {
                true => error * share.signum() * if i == at { 1.0 } else { -1.0 },
                false => error * share,
            };
            let sign = logits[at].1;
            let erred: Vec<f64> = logits
                .iter()
                .enumerate()
                .map(|(i, (logit, share))| logit + shift(i, if is_extreme { sign } else { *share }))
                .collect();
            let Bounds { low, high } = bounds(softmax(&erred, at), 2.0 * error);
            let exact = softmax(&true_logits, at);
            prop_assert!(low <= exact && exact <= high, "{low} {exact} {high}");
        }
    }

    #[test]
    fn bounds_are_tight_where_the_error_is_small() {
        let Bounds { low, high } = bounds(0.3, 0.01);
        assert!(0.297 < low && low < 0.299 && 0.301 < high && high < 0.303, "{low} {high}");
        // An error of odds hardly moves what is nearly certain.
        let Bounds { low, high } = bounds(0.999, 0.1);
        assert!(low > 0.9986 && high < 0.9994, "{low} {high}");
        assert!(bounds(f64::NAN, 0.1).low.is_nan());
        assert!(error_bound(2560, true) < 1.1e-4);
    }
}
