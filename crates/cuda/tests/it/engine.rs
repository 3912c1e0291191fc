//! The CUDA engine against the CPU's. Without a device there is nothing to compare, and the tests end at once.

use std::sync::MutexGuard;

use grail_cuda::driver::{Buffer, Device};
use grail_cuda::{CudaEngine, CudaEngineError, CudaError, CudaSettings};
use grail_engine::sampling::{PROTOCOL_SAMPLING, penalize, temper, top_k, top_p};

use crate::fixtures::{CPU, PATIENCE, RANDOMNESS, ask, device, prompts, streams};

/// Returns an engine, and the right to use the device.
fn engine(deterministic: bool) -> Option<(CudaEngine, MutexGuard<'static, ()>)> {
    let device = device()?;
    let mut settings = CudaSettings::new("toy", 0);
    settings.kernel_cache = Some(std::env::temp_dir().join("grail-test-kernels"));
    settings.decode.deterministic = deterministic;
    settings.decode.rollouts_max = 64;
    Some((CudaEngine::start(settings).unwrap(), device))
}

/// ln of a token's probability under the protocol's chain, given float32 logits.
fn processed_logprob(logits: &[f32], before: &[u32], token: u32) -> Option<f64> {
    let mut seen = before.to_vec();
    seen.sort_unstable();
    seen.dedup();
    let mut scores = logits.to_vec();
    penalize(&mut scores, &seen, PROTOCOL_SAMPLING.repetition_penalty);
    temper(&mut scores, PROTOCOL_SAMPLING.temperature);
    let mut candidates = top_k(&scores, PROTOCOL_SAMPLING.top_k).unwrap();
    top_p(&mut candidates, PROTOCOL_SAMPLING.top_p);
    let total: f64 = candidates.iter().map(|c| f64::from(c.score).exp()).sum();
    candidates.iter().find(|c| c.token == token).map(|c| f64::from(c.score) - total.ln())
}

#[test]
fn rollouts_follow_the_distribution_that_the_cpu_computes_in_float32() {
    let Some((engine, _device)) = engine(false) else { return };
    let asked: Vec<_> = (0..).zip(prompts()).map(|(group, prompt)| ask(&engine, &prompt, streams(group))).collect();
    let (mut distances, mut drawn, mut unlikely) = (0.0, 0, 0);
    for (_ticket, answer) in asked {
        for rollout in answer.recv_timeout(PATIENCE).unwrap().unwrap() {
            let hidden = CPU.hidden_states(&rollout.tokens).unwrap();
            let logits = CPU.network().logits(&hidden);
            for position in rollout.prompt_length..rollout.tokens.len() {
                let row = &logits[(position - 1) * 512..position * 512];
                let before = &rollout.tokens[..position];
                drawn += 1;
                match processed_logprob(row, before, rollout.tokens[position]) {
                    Some(expected) => distances += (rollout.token_logprobs[position] - expected).abs(),
                    // At the edge of top-k or top-p the two precisions may differ.
                    None => unlikely += 1,
                }
            }
            let pass = CPU.proof_pass(&rollout.tokens, RANDOMNESS).unwrap();
            let both = pass.probabilities.iter().zip(&rollout.pass.probabilities).skip(rollout.prompt_length - 1);
            let worst = both.map(|(a, b)| (a - b).abs()).fold(0.0, f64::max);
            assert!(worst < 1e-3, "raw probabilities differ by {worst}");
            assert!((pass.eos_probability - rollout.pass.eos_probability).abs() < 1e-3);
            assert_eq!(rollout.pass.s_vals.len(), rollout.tokens.len());
        }
    }
    let mean = distances / f64::from(drawn);
    assert!(drawn > 500 && mean < 0.02 && unlikely * 100 < drawn, "{drawn} draws, mean {mean}, {unlikely} unlikely");
}

#[test]
fn in_fixed_shapes_a_seed_gives_the_same_rollouts_in_any_batch() {
    let Some((engine, _device)) = engine(true) else { return };
    let prompts = prompts();
    let alone = ask(&engine, &prompts[0], streams(0)).1.recv_timeout(PATIENCE).unwrap().unwrap();
    let crowd: Vec<_> = (1..12).map(|group| ask(&engine, &prompts[group % 3], streams(group as u32))).collect();
    let together = ask(&engine, &prompts[0], streams(0)).1.recv_timeout(PATIENCE).unwrap().unwrap();
    assert_eq!(alone, together);
    for (_ticket, answer) in crowd {
        assert_eq!(answer.recv_timeout(PATIENCE).unwrap().unwrap().len(), 4);
    }
}

#[test]
fn canceled_work_gets_no_answer_and_delays_nothing() {
    let Some((engine, _device)) = engine(false) else { return };
    let prompt = &prompts()[0];
    let (ticket, canceled) = ask(&engine, prompt, streams(0));
    let (_kept, answer) = ask(&engine, prompt, streams(1));
    drop(ticket);
    assert_eq!(answer.recv_timeout(PATIENCE).unwrap().unwrap().len(), 4);
    // It may be done before the engine sees the cancellation.
    assert!(canceled.recv_timeout(PATIENCE).is_err() || engine.groups_in_flight_max() > 0);
}

#[test]
fn impossible_requests_are_refused_with_the_reason() {
    let Some((engine, _device)) = engine(false) else { return };
    for (prompt, reason) in [(vec![], "empty"), (vec![600], "vocabulary"), (vec![1; 2000], "context")] {
        let error = ask(&engine, &prompt, streams(0)).1.recv_timeout(PATIENCE).unwrap().unwrap_err();
        assert!(error.to_string().contains(reason), "{error}");
    }
}

#[test]
fn without_memory_groups_are_proved_fewer_at_a_time_or_refused_and_with_memory_again_all_are_made() {
    let Some((engine, _device)) = engine(false) else { return };
    let gpu = Device::open(0).unwrap();
    let mut hog = Vec::new();
    for size in [1 << 30, 1 << 27, 1 << 24] {
        while gpu.memory().unwrap().0 > size as u64 + (1 << 25) {
            match Buffer::<u8>::zeroed(&gpu, size, "nothing") {
                Ok(buffer) => hog.push(buffer),
                Err(_) => break,
            }
        }
    }
    let prompts = prompts();
    let asked: Vec<_> = (0..16).map(|group| ask(&engine, &prompts[group % 3], streams(group as u32))).collect();
    let mut refused = Vec::new();
    for (group, (_ticket, answer)) in asked.into_iter().enumerate() {
        match answer.recv_timeout(PATIENCE).unwrap() {
            Ok(rollouts) => assert_eq!(rollouts.len(), 4),
            Err(CudaEngineError::Cuda(CudaError::OutOfMemory { .. })) => refused.push(group),
            Err(error) => panic!("{error}"),
        }
    }
    drop(hog);
    for group in refused {
        let (_ticket, answer) = ask(&engine, &prompts[group % 3], streams(group as u32));
        assert_eq!(answer.recv_timeout(PATIENCE).unwrap().unwrap().len(), 4);
    }
}
