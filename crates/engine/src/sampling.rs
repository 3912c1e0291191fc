//! The protocol's sampling chain, step by step: penalty, temperature, top-k, top-p, draw.
//!
//! The steps follow the logits processors of transformers' `generate`, whose distribution the protocol fixes. Exponentials
//! and sums are float64 through `libm`, so that a draw is the same on every machine.

/// The numbers of the chain.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct SamplingSettings {
    /// Scores of tokens seen before are divided by it, or multiplied if negative.
    pub repetition_penalty: f32,
    /// Scores are divided by it.
    pub temperature: f32,
    /// Tokens that stay, ties with the last of them included.
    pub top_k: usize,
    /// Probability that must stay; the tail beyond it is dropped.
    pub top_p: f64,
}

/// The protocol's sampling settings.
pub const PROTOCOL_SAMPLING: SamplingSettings =
    SamplingSettings { repetition_penalty: 1.1, temperature: 0.7, top_k: 50, top_p: 0.95 };

/// Why nothing can be sampled.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SamplingError {
    /// A logit is NaN or positive infinity.
    #[error("the logit of token {token} is not a number; the weights or the memory are damaged: reload the model")]
    NotFinite {
        /// The token.
        token: u32,
    },
    /// Every logit is negative infinity.
    #[error("no token is possible; the weights are damaged: reload the model")]
    NothingLeft,
}

/// A token that may still be drawn, with its score.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Candidate {
    /// The token.
    pub token: u32,
    /// Its processed logit.
    pub score: f32,
}

/// A drawn token.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Draw {
    /// The token.
    pub token: u32,
    /// ln of its probability under the processed distribution; finite.
    pub logprob: f64,
}

/// The chain with the protocol's settings and the memory it needs: which tokens one rollout has seen.
#[derive(Debug, Clone)]
pub struct Sampler {
    is_seen: Vec<bool>,
    seen: Vec<u32>,
    scores: Vec<f32>,
}

impl Sampler {
    /// Creates a sampler for a rollout that starts with `prompt`.
    ///
    /// # Panics
    /// If a token is not below `vocabulary`.
    pub fn new(vocabulary: usize, prompt: &[u32]) -> Self {
        let (is_seen, scores) = (vec![false; vocabulary], Vec::with_capacity(vocabulary));
        let mut sampler = Self { is_seen, seen: Vec::new(), scores };
        for token in prompt {
            sampler.observe(*token);
        }
        sampler
    }

    /// Draws the next token from `logits`, one per token id, by a uniform number in 0 ≤ u < 1, and remembers it.
    ///
    /// # Errors
    /// If a logit is not a number, or none is left to draw.
    pub fn sample(&mut self, logits: &[f32], uniform: f64) -> Result<Draw, SamplingError> {
        self.scores.clear();
        self.scores.extend_from_slice(logits);
        penalize(&mut self.scores, &self.seen, PROTOCOL_SAMPLING.repetition_penalty);
        temper(&mut self.scores, PROTOCOL_SAMPLING.temperature);
        let mut candidates = top_k(&self.scores, PROTOCOL_SAMPLING.top_k)?;
        top_p(&mut candidates, PROTOCOL_SAMPLING.top_p);
        let drawn = draw(&candidates, uniform);
        self.observe(drawn.token);
        Ok(drawn)
    }

    fn observe(&mut self, token: u32) {
        if !std::mem::replace(&mut self.is_seen[token as usize], true) {
            self.seen.push(token);
        }
    }
}

/// Makes the tokens in `seen`, each listed once, less likely.
pub fn penalize(scores: &mut [f32], seen: &[u32], penalty: f32) {
    for token in seen {
        let score = &mut scores[*token as usize];
        *score = if *score < 0.0 { *score * penalty } else { *score / penalty };
    }
}

/// Divides by the temperature.
pub fn temper(scores: &mut [f32], temperature: f32) {
    for score in scores {
        *score /= temperature;
    }
}

/// Returns the `k` tokens of highest score and all that tie with the last of them, in order of token id; those of score
/// −∞ have no probability and are left out.
///
/// One pass with a rising threshold: few scores of a large vocabulary are read twice.
///
/// # Errors
/// If a score is NaN or +∞, or all are −∞.
pub fn top_k(scores: &[f32], k: usize) -> Result<Vec<Candidate>, SamplingError> {
    let mut kept = Vec::new();
    let mut threshold = f32::NEG_INFINITY;
    let mut prune_at = 4 * k;
    for (token, &score) in (0..).zip(scores) {
        if score < threshold || score == f32::NEG_INFINITY {
            continue;
        }
        if !score.is_finite() {
            return Err(SamplingError::NotFinite { token });
        }
        kept.push(Candidate { token, score });
        if kept.len() >= prune_at {
            threshold = prune(&mut kept, k);
            // Ties may all have stayed: waiting until as many again have come keeps the whole linear.
            prune_at = prune_at.max(2 * kept.len());
        }
    }
    prune(&mut kept, k);
    if kept.is_empty() { Err(SamplingError::NothingLeft) } else { Ok(kept) }
}

/// Keeps what scores at least as high as the `k`-th highest, and returns that score.
fn prune(candidates: &mut Vec<Candidate>, k: usize) -> f32 {
    if candidates.len() <= k {
        return f32::NEG_INFINITY;
    }
    let mut scores: Vec<f32> = candidates.iter().map(|candidate| candidate.score).collect();
    let (_, &mut threshold, _) = scores.select_nth_unstable_by(k - 1, |a, b| b.total_cmp(a));
    candidates.retain(|candidate| candidate.score >= threshold);
    threshold
}

/// Sorts by score, lowest first, and drops the lowest whose cumulative probability is at most 1 − `p`; the highest
/// stays.
///
/// Of equal scores the lower token id comes, and is dropped, first.
pub fn top_p(candidates: &mut Vec<Candidate>, p: f64) {
    candidates.sort_by(|a, b| a.score.total_cmp(&b.score).then(a.token.cmp(&b.token)));
    let weights = weights(candidates);
    let total: f64 = weights.iter().sum();
    let mut cumulative = 0.0;
    let dropped = weights.iter().take_while(|weight| {
        cumulative += **weight;
        cumulative / total <= 1.0 - p
    });
    let dropped = dropped.count().min(candidates.len() - 1);
    candidates.drain(..dropped);
}

/// Returns the candidate that a uniform number in 0 ≤ u < 1 falls on; `candidates` are sorted by score, lowest first.
///
/// # Panics
/// If there are no candidates.
pub fn draw(candidates: &[Candidate], uniform: f64) -> Draw {
    let weights = weights(candidates);
    let total: f64 = weights.iter().sum();
    let mut rest = uniform * total;
    let index = weights.iter().position(|weight| {
        rest -= weight;
        rest < 0.0
    });
    // Rounding can leave a remainder past the end: it belongs to the last, which is the likeliest.
    let index = index.unwrap_or(candidates.len() - 1);
    let highest = candidates[candidates.len() - 1].score;
    let Candidate { token, score } = candidates[index];
    Draw { token, logprob: f64::from(score) - f64::from(highest) - libm::log(total) }
}

/// exp(score − highest) of each; the last candidate has the highest score.
fn weights(candidates: &[Candidate]) -> Vec<f64> {
    let highest = candidates.last().map_or(0.0, |candidate| f64::from(candidate.score));
    candidates.iter().map(|candidate| libm::exp(f64::from(candidate.score) - highest)).collect()
}

#[cfg(test)]
mod tests;
