//! Decoding with the whole sampling chain, at several numbers of rollouts.

use std::rc::Rc;

use grail_cuda::decode::PAGE_TOKENS;
use grail_cuda::driver::{Event, Kernels};
use grail_cuda::{CudaEngineError, DecodeSettings, Decoder};
use grail_protocol::generation::StreamKey;

use super::{Bench, BenchReport};

/// Rollouts decoded together.
const ROLLOUTS: [usize; 4] = [1, 16, 64, 256];
/// Tokens of a prompt; with the steps, a context of about 900.
const PROMPT: usize = 830;
/// Rollouts of a group.
const GROUP: usize = 4;
/// Warm-up steps, then counted steps.
const WARM_UP: usize = 20;
const STEPS: usize = 100;

impl Bench {
    pub(super) fn decoding(&self, report: &mut BenchReport) -> Result<(), CudaEngineError> {
        for deterministic in [false, true] {
            let settings = DecodeSettings { deterministic, rollouts_max: 256 };
            let mut decoder = self.decoder(settings)?;
            for rollouts in ROLLOUTS {
                if deterministic && rollouts == 1 {
                    continue;
                }
                let step_ms = self.step_ms(&mut decoder, rollouts)?;
                let name = if deterministic { ", fixed shapes" } else { "" };
                let rate = rollouts as f64 / step_ms * 1e3;
                let limit = rollouts as f64 * self.limits.bytes_per_s / self.bytes_per_step(rollouts);
                report.add(format!("decode, {rollouts} rollouts{name}"), rate, "tokens/s", Some(limit));
            }
        }
        Ok(())
    }

    pub(super) fn decoder(&self, settings: DecodeSettings) -> Result<Decoder, CudaEngineError> {
        let kernels = Rc::new(Kernels::load(&self.device, grail_live::device::kernel_cache().as_deref())?);
        Ok(Decoder::new(&self.device, kernels, self.weights.clone(), self.half.clone(), settings)?)
    }

    /// Returns the milliseconds of a step, including everything between two steps.
    fn step_ms(&self, decoder: &mut Decoder, rollouts: usize) -> Result<f64, CudaEngineError> {
        let per_group = rollouts.min(GROUP);
        for group in 0..rollouts / per_group {
            let stream = |rollout| StreamKey { seed: 5, window_start: 0, group: group as u32, rollout, attempt: 0 };
            let streams: Vec<StreamKey> = (0..per_group as u32).map(stream).collect();
            let mut prompt = self.tokens(PROMPT);
            prompt[0] = group as u32;
            decoder.admit(&prompt, &streams, WARM_UP + STEPS + 2 * PAGE_TOKENS)?;
        }
        let (begin, end) = (Event::new(&self.device)?, Event::new(&self.device)?);
        for step in 0..WARM_UP + STEPS {
            if step == WARM_UP {
                begin.record(decoder.stream())?;
            }
            decoder.step()?;
        }
        end.record(decoder.stream())?;
        let time_ms = f64::from(end.milliseconds_since(&begin)?);
        decoder.clear();
        Ok(time_ms / STEPS as f64)
    }

    /// Returns weights once, the keys and values of each group's prompt once, and those of every rollout's own tokens.
    fn bytes_per_step(&self, rollouts: usize) -> f64 {
        let config = &self.weights.config;
        let tokens = rollouts.div_ceil(GROUP) * PROMPT + rollouts * (WARM_UP + STEPS / 2);
        let per_token = config.layers * 2 * config.key_value_size() * 2;
        self.half.bytes_per_step() as f64 + (tokens * per_token) as f64
    }
}
