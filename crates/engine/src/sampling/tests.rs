//! Each step against cases worked by hand, and the whole chain against a plain one that sorts everything.

use proptest::prelude::*;

use super::*;

const NEVER: f32 = f32::NEG_INFINITY;

fn tokens(candidates: &[Candidate]) -> Vec<u32> {
    candidates.iter().map(|candidate| candidate.token).collect()
}

fn candidates(scores: &[f32]) -> Vec<Candidate> {
    (0..).zip(scores).map(|(token, &score)| Candidate { token, score }).collect()
}

#[test]
fn the_penalty_divides_positive_and_multiplies_negative_logits() {
    let mut scores = [2.2, -1.0, 0.0, 3.0, NEVER];
    penalize(&mut scores, &[0, 1, 2, 4], 1.1);
    assert_eq!(scores, [2.2 / 1.1, -1.1, 0.0, 3.0, NEVER]);
}

#[test]
fn a_token_in_prompt_and_completion_is_penalized_once() {
    let mut sampler = Sampler::new(3, &[1, 1]);
    let mut logits = [NEVER; 3];
    logits[1] = 1.0;
    for _ in 0..3 {
        assert_eq!(sampler.sample(&logits, 0.5).unwrap(), Draw { token: 1, logprob: 0.0 });
    }
    assert_eq!(sampler.seen, [1]);
    assert_eq!(sampler.scores[1], 1.0 / 1.1 / 0.7);
}

#[test]
fn drawn_tokens_are_penalized_afterwards() {
    let mut sampler = Sampler::new(2, &[]);
    let logits = [5.0, 5.0];
    let first = sampler.sample(&logits, 0.0).unwrap();
    assert_eq!(first.token, 0);
    assert!((first.logprob - 0.5f64.ln()).abs() < 1e-12);
    sampler.sample(&logits, 0.0).unwrap();
    assert_eq!(sampler.scores, [5.0 / 1.1 / 0.7, 5.0 / 0.7]);
}

#[test]
fn the_temperature_divides() {
    let mut scores = [0.7, -1.4, 0.0];
    temper(&mut scores, 0.7);
    assert_eq!(scores, [1.0, -2.0, 0.0]);
}

#[test]
fn the_highest_stay_in_order_of_token() {
    assert_eq!(tokens(&top_k(&[1.0, 4.0, 2.0, 3.0], 2).unwrap()), [1, 3]);
    assert_eq!(tokens(&top_k(&[1.0, 2.0], 50).unwrap()), [0, 1]);
}

#[test]
fn ties_with_the_last_stay() {
    assert_eq!(tokens(&top_k(&[1.0, 2.0, 3.0, 2.0, 0.0, 2.0], 2).unwrap()), [1, 2, 3, 5]);
    let mut scores: Vec<f32> = (0..600).map(|i| i as f32).collect();
    // Tokens 550 to 599 are the fifty highest; three more equal the fiftieth.
    scores[7] = 550.0;
    scores[100] = 550.0;
    scores[549] = 550.0;
    let expected: Vec<u32> = [7, 100, 549].into_iter().chain(550..600).collect();
    assert_eq!(tokens(&top_k(&scores, 50).unwrap()), expected);
}

#[test]
fn equal_scores_everywhere_all_stay() {
    assert_eq!(top_k(&[0.25; 5000], 50).unwrap().len(), 5000);
}

#[test]
fn a_single_possible_token_is_certain() {
    let mut logits = [NEVER; 512];
    logits[77] = -3.0;
    for uniform in [0.0, 0.5, 1.0 - f64::EPSILON] {
        let drawn = Sampler::new(512, &[77]).sample(&logits, uniform);
        assert_eq!(drawn, Ok(Draw { token: 77, logprob: 0.0 }));
    }
}

#[test]
fn the_tail_up_to_a_twentieth_is_dropped() {
    // Probabilities 0.04, 0.06, 0.9: cumulative 0.04 goes, 0.10 stays.
    let mut kept = candidates(&[0.9f32.ln(), 0.04f32.ln(), 0.06f32.ln()]);
    top_p(&mut kept, 0.95);
    assert_eq!(tokens(&kept), [2, 0]);
    // 0.02, 0.02, 0.96: both go.
    let mut kept = candidates(&[0.02f32.ln(), 0.96f32.ln(), 0.02f32.ln()]);
    top_p(&mut kept, 0.95);
    assert_eq!(tokens(&kept), [1]);
}

#[test]
fn a_cumulative_probability_of_exactly_a_twentieth_is_dropped_lowest_token_first() {
    let mut kept = candidates(&[1.0; 20]);
    top_p(&mut kept, 0.95);
    assert_eq!(tokens(&kept), (1..20).collect::<Vec<_>>());
}

#[test]
fn the_highest_always_stays() {
    let mut kept = candidates(&[1.0, 2.0]);
    top_p(&mut kept, 0.0);
    assert_eq!(tokens(&kept), [1]);
}

#[test]
fn a_draw_falls_where_the_cumulative_weight_says() {
    // Probabilities 0.25 and 0.75, lowest first.
    let kept = candidates(&[0.0, 3f32.ln()]);
    for (uniform, token, probability) in [(0.0, 0, 0.25), (0.249, 0, 0.25), (0.251, 1, 0.75), (0.999_999, 1, 0.75)] {
        let drawn = draw(&kept, uniform);
        assert_eq!(drawn.token, token, "{uniform}");
        assert!((drawn.logprob - f64::ln(probability)).abs() < 1e-7, "{uniform}");
    }
}

#[test]
fn values_that_are_no_numbers_are_refused() {
    for bad in [f32::NAN, f32::INFINITY] {
        let mut logits = [0.0; 300];
        logits[299] = bad;
        let error = Sampler::new(300, &[]).sample(&logits, 0.5);
        assert_eq!(error, Err(SamplingError::NotFinite { token: 299 }));
    }
    assert_eq!(top_k(&[NEVER; 4], 50), Err(SamplingError::NothingLeft));
}

/// Returns the chain again, written as transformers writes it: whole vectors, full sorts, masks of −∞.
fn plain_chain(logits: &[f32], seen: &[u32]) -> Vec<f64> {
    let mut scores: Vec<f32> = logits.to_vec();
    for (token, score) in scores.iter_mut().enumerate() {
        if seen.contains(&(token as u32)) {
            *score = if *score < 0.0 { *score * 1.1 } else { *score / 1.1 };
        }
        *score /= 0.7;
    }
    let mut sorted = scores.clone();
    sorted.sort_by(|a, b| b.total_cmp(a));
    let fiftieth = sorted[49.min(sorted.len() - 1)];
    let mut scores: Vec<f64> =
        scores.iter().map(|&s| if s < fiftieth { f64::NEG_INFINITY } else { f64::from(s) }).collect();
    let mut order: Vec<usize> = (0..scores.len()).collect();
    order.sort_by(|&a, &b| scores[a].total_cmp(&scores[b]));
    let probabilities = plain_softmax(&scores);
    let mut cumulative = 0.0;
    for token in &order[..order.len() - 1] {
        cumulative += probabilities[*token];
        if cumulative <= 1.0 - 0.95 {
            scores[*token] = f64::NEG_INFINITY;
        }
    }
    plain_softmax(&scores)
}

fn plain_softmax(scores: &[f64]) -> Vec<f64> {
    let highest = scores.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let weights: Vec<f64> = scores.iter().map(|s| (s - highest).exp()).collect();
    let total: f64 = weights.iter().sum();
    weights.iter().map(|w| w / total).collect()
}

proptest! {
    #[test]
    fn a_draw_has_the_probability_that_the_plain_chain_gives_it(
        // Few distinct values, so that ties are common.
        logits in prop::collection::vec((-40i32..40).prop_map(|i| i as f32 / 4.0), 1..400),
        seen in prop::collection::vec(any::<prop::sample::Index>(), 0..30),
        uniform in 0.0..1.0f64,
    ) {
        let seen: Vec<u32> = seen.iter().map(|index| index.index(logits.len()) as u32).collect();
        let drawn = Sampler::new(logits.len(), &seen).sample(&logits, uniform).unwrap();
        let expected = plain_chain(&logits, &seen)[drawn.token as usize];
        prop_assert!(drawn.logprob.is_finite());
        prop_assert!((drawn.logprob.exp() - expected).abs() < 1e-9, "{} {}", drawn.logprob.exp(), expected);
    }

    #[test]
    fn draws_at_evenly_spaced_numbers_follow_the_distribution(
        logits in prop::collection::vec(-5.0..5.0f32, 1..100),
    ) {
        let expected = plain_chain(&logits, &[]);
        let mut counts = vec![0; logits.len()];
        for step in 0..1000 {
            let uniform = (f64::from(step) + 0.5) / 1000.0;
            let drawn = Sampler::new(logits.len(), &[]).sample(&logits, uniform).unwrap();
            counts[drawn.token as usize] += 1;
        }
        for (count, expected) in counts.into_iter().zip(expected) {
            prop_assert!((f64::from(count) / 1000.0 - expected).abs() < 0.0021, "{count} {expected}");
        }
    }
}
