//! The device's chain against the CPU's, draw by draw and as a distribution. Without a device the tests end at once.

use grail_engine::philox::DrawStream;
use grail_engine::sampling::Sampler;
use grail_engine::synthetic::qwen3_4b;
use grail_protocol::generation::StreamKey;

use super::super::test_stream;
use super::*;

/// Rows drawn together.
const ROWS: usize = 64;

struct Bench {
    stream: Stream,
    sampling: Sampling,
    rows: Rows,
    logits: Buffer<f32>,
    vocabulary: usize,
}

impl Bench {
    fn new(vocabulary: usize) -> Option<Self> {
        let stream = test_stream()?;
        let device = stream.device().clone();
        let config = Qwen3Config { vocab_size: vocabulary, ..qwen3_4b() };
        let sampling = Sampling::new(&device, &config, ROWS).unwrap();
        let logits = Buffer::zeroed(&device, ROWS * vocabulary, "a test").unwrap();
        Some(Self { stream, sampling, rows: Rows::new(&device, ROWS).unwrap(), logits, vocabulary })
    }

    /// Draws once for each row, all of them behind `prompt`.
    fn draw(&mut self, logits: &[f32], prompt: &[u32], streams: &[DrawStream]) -> Result<Vec<Drawn>, CudaError> {
        let slots: Vec<usize> = (0..streams.len()).collect();
        let keys: Vec<[u32; 2]> = streams.iter().map(DrawStream::key).collect();
        self.sampling.begin(&self.stream, prompt, &slots, &keys).unwrap();
        let rows: Vec<(u32, usize, usize)> = slots.iter().map(|slot| (0, 0, *slot)).collect();
        self.rows.set(&self.stream, slots.len(), &rows).unwrap();
        self.again(logits, &slots)
    }

    /// Draws once more for the same rows.
    fn again(&mut self, logits: &[f32], slots: &[usize]) -> Result<Vec<Drawn>, CudaError> {
        let stride = if logits.len() == self.vocabulary { 0 } else { self.vocabulary };
        self.stream.upload(self.logits.address(), logits).unwrap();
        let at = self.logits.address();
        self.sampling.enqueue(&self.stream, at, stride, &self.rows, slots.len()).unwrap();
        self.sampling.collect(&self.stream, slots)
    }
}

fn streams(count: usize, attempt: u32) -> Vec<DrawStream> {
    let key = |rollout| StreamKey { seed: 3, window_start: 30, group: 1, rollout, attempt };
    (0..count as u32).map(|rollout| DrawStream::new(&key(rollout))).collect()
}

/// Numbers by counter, so that a failure can be repeated.
fn noise(count: usize, seed: u64) -> impl Iterator<Item = f32> {
    use grail_engine::synthetic::{Spread, weight};
    (0..count as u64).map(move |index| weight(Spread::Linear, seed, index) / 0.035)
}

#[test]
fn every_draw_is_the_cpus() {
    for vocabulary in [512, 151_936] {
        let Some(mut bench) = Bench::new(vocabulary) else { return };
        let prompt = [0, 5, 5, 31, 32, 500, 511];
        // Coarse values tie often; fine ones never.
        for (kind, steps_per_unit) in [(1, 8.0f32), (2, 1e6)] {
            let shape = |x: f32| (x * 12.0 * steps_per_unit).round() / steps_per_unit;
            let logits: Vec<f32> = noise(ROWS * vocabulary, kind).map(shape).collect();
            let streams = streams(ROWS, 0);
            let mut samplers: Vec<Sampler> = streams.iter().map(|_| Sampler::new(vocabulary, &prompt)).collect();
            let slots: Vec<usize> = (0..ROWS).collect();
            for step in 0..6 {
                let drawn = match step {
                    0 => bench.draw(&logits, &prompt, &streams),
                    _ => bench.again(&logits, &slots),
                };
                let expected: Result<Vec<_>, _> = (samplers.iter_mut().zip(&streams))
                    .zip(logits.chunks(vocabulary))
                    .map(|((sampler, stream), logits)| sampler.sample(logits, stream.uniform(step)))
                    .collect();
                for (ours, theirs) in drawn.unwrap().iter().zip(expected.unwrap()) {
                    assert_eq!(ours.token, theirs.token, "vocabulary {vocabulary}, kind {kind}, step {step}");
                    assert!((ours.logprob - theirs.logprob).abs() < 1e-12, "{} {}", ours.logprob, theirs.logprob);
                }
            }
        }
    }
}

#[test]
fn draws_follow_the_distribution() {
    let Some(mut bench) = Bench::new(512) else { return };
    let logits: Vec<f32> = noise(512, 9).map(|x| x * 3.0).collect();
    let expected = {
        let mut scores: Vec<f64> = logits.iter().map(|x| f64::from(*x) / 0.7).collect();
        let mut sorted = scores.clone();
        sorted.sort_by(|a, b| b.total_cmp(a));
        scores.iter_mut().filter(|score| **score < sorted[49]).for_each(|score| *score = f64::NEG_INFINITY);
        let total: f64 = scores.iter().map(|s| s.exp()).sum();
        let mut order: Vec<usize> = (0..512).filter(|token| scores[*token].is_finite()).collect();
        order.sort_by(|a, b| scores[*a].total_cmp(&scores[*b]));
        let mut cumulative = 0.0;
        for token in order {
            cumulative += scores[token].exp() / total;
            if cumulative <= 0.05 {
                scores[token] = f64::NEG_INFINITY;
            }
        }
        let total: f64 = scores.iter().map(|s| s.exp()).sum();
        scores.into_iter().map(|s| s.exp() / total).collect::<Vec<f64>>()
    };
    let (mut counts, rounds) = (vec![0u32; 512], 300);
    for round in 0..rounds {
        for drawn in bench.draw(&logits, &[], &streams(ROWS, round)).unwrap() {
            counts[drawn.token as usize] += 1;
        }
    }
    let draws = f64::from(rounds) * ROWS as f64;
    let (mut chi_square, mut cells) = (0.0, 0);
    for (count, probability) in counts.into_iter().zip(expected) {
        if probability == 0.0 {
            assert_eq!(count, 0);
            continue;
        }
        let expected = draws * probability;
        chi_square += (f64::from(count) - expected).powi(2) / expected;
        cells += 1;
    }
    // Mean and four standard deviations of the chi-square distribution.
    let freedom = f64::from(cells - 1);
    assert!(cells > 10 && chi_square < freedom + 4.0 * (2.0 * freedom).sqrt(), "{chi_square} with {cells} cells");
}

#[test]
fn values_that_are_no_numbers_are_refused() {
    let Some(mut bench) = Bench::new(512) else { return };
    for bad in [f32::NAN, f32::INFINITY] {
        let mut logits = vec![0.5; 512];
        logits[77] = bad;
        let error = bench.draw(&logits, &[], &streams(2, 0)).unwrap_err();
        assert!(matches!(error, CudaError::LogitsNotFinite { slot: 0 }), "{error}");
    }
    let error = bench.draw(&[f32::NEG_INFINITY; 512], &[], &streams(1, 0)).unwrap_err();
    assert!(matches!(error, CudaError::LogitsNotFinite { slot: 0 }), "{error}");
}

#[test]
fn equal_scores_all_stay_up_to_what_can_be_sorted() {
    let Some(mut bench) = Bench::new(512) else { return };
    let drawn = bench.draw(&[0.25; 512], &[], &streams(1, 0)).unwrap();
    // The lowest twentieth of 512 equal ones goes: 25.
    assert!((drawn[0].logprob + f64::ln(487.0)).abs() < 1e-12);
    let Some(mut bench) = Bench::new(151_936) else { return };
    let error = bench.draw(&vec![0.25; 151_936], &[], &streams(1, 0)).unwrap_err();
    assert!(matches!(error, CudaError::TooManyTies { .. }), "{error}");
}
