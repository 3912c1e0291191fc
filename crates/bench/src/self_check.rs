//! The self-check's probabilities by float32 and by the split head, over rollouts that the model itself draws.

use grail_cuda::{CudaEngineError, DecodeSettings, ProofPlan, Sequence};
use grail_protocol::PROTOCOL;
use grail_protocol::generation::StreamKey;
use grail_verify::{distribution, is_decided};

use super::{Bench, BenchReport};

/// Rollouts drawn, and tokens of each.
const ROLLOUTS: u32 = 32;
const DRAWN: usize = 300;
const PROMPT: usize = 60;

impl Bench {
    /// Adds how far both are apart, how often the split leaves the verdict open, and in how many of the rest both give the
    /// same.
    pub(super) fn self_checks(&self, report: &mut BenchReport) -> Result<(), CudaEngineError> {
        let rollouts = self.drawn()?;
        let mut prover = self.prover(ProofPlan::default())?;
        let (mut all, mut decided, mut alike, mut within, mut sound, mut farthest) = (0, 0, 0, 0, 0, 0.0f64);
        for tokens in &rollouts {
            // Of all lengths that a check looks at, among them the fewest.
            let lengths = [PROMPT + 31, PROMPT + DRAWN / 2, tokens.len()];
            for tokens in lengths.map(|length| &tokens[..length.min(tokens.len())]) {
                let trial = prover.head_trial(Sequence { tokens, prompt_length: PROMPT })?;
                let count = trial.bounds.completion.len();
                let verdict = |probabilities: &[f64]| {
                    let ends = probabilities[count] >= PROTOCOL.eos_probability_min;
                    (distribution::check(&probabilities[..count]), trial.bounds.eos.map(|_| ends))
                };
                all += 1;
                sound += u32::from(verdict(&trial.single).0.is_ok());
                if is_decided(&trial.bounds) {
                    decided += 1;
                    alike += u32::from(verdict(&trial.single) == verdict(&trial.split));
                }
                let bounds = trial.bounds.completion.iter().chain(&trial.bounds.eos);
                within += u32::from(bounds.zip(&trial.single).all(|(b, p)| b.low <= *p && *p <= b.high));
                for ((single, split), b) in trial.single.iter().zip(&trial.split).zip(&trial.bounds.completion) {
                    let room = if single > split { b.high - split } else { split - b.low };
                    farthest = farthest.max((single - split).abs() / room);
                }
            }
        }
        let of = |count: u32, what: &str| format!("of {count} {what}");
        let all_sequences = of(all, "sequences that the model drew");
        report.remark("self-check: within its bounds", within.into(), "", None, all_sequences.clone());
        report.remark("self-check: look like sampling", sound.into(), "", None, all_sequences.clone());
        report.remark("self-check: decided without float32", decided.into(), "", None, all_sequences);
        report.remark("self-check: same verdict as float32", alike.into(), "", None, of(decided, "decided"));
        report.add("self-check: farthest from float32, of its bound", farthest * 100.0, "%", None);
        Ok(())
    }

    /// Draws rollouts whose prompts differ.
    fn drawn(&self) -> Result<Vec<Vec<u32>>, CudaEngineError> {
        let settings = DecodeSettings { rollouts_max: ROLLOUTS as usize, ..DecodeSettings::default() };
        let mut decoder = self.decoder(settings)?;
        let mut rollouts = vec![Vec::new(); ROLLOUTS as usize];
        for group in 0..ROLLOUTS / 4 {
            let streams =
                [0, 1, 2, 3].map(|rollout| StreamKey { seed: 7, window_start: 0, group, rollout, attempt: 0 });
            let mut prompt = self.tokens(PROMPT);
            prompt[0] = group;
            for draw in decoder.admit(&prompt, &streams, DRAWN + 1)? {
                rollouts[draw.slot] = [&prompt[..], &[draw.token]].concat();
            }
        }
        for _ in 1..DRAWN {
            for draw in decoder.step()? {
                rollouts[draw.slot].push(draw.token);
            }
        }
        Ok(rollouts)
    }
}
