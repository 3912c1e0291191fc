//! Speed of the CPU engine on the toy model. RAYON_NUM_THREADS=1 measures one core.

use std::hint::black_box;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use grail_engine::CpuEngine;
use grail_engine::sampling::Sampler;
use grail_protocol::generation::{StreamKey, Tokenizer};
use grail_protocol::problem::Problem;
use grail_protocol::prompt::prompt;

const RANDOMNESS: &str = "30e142da1f30cc39053d643ada173ec47cbff74c71776a4422fba989d90685d0";
const NEW_TOKENS_MAX: usize = 1024;

fn group_prompt(engine: &CpuEngine) -> Vec<u32> {
    engine.tokenizer().encode(&prompt(&Problem::canonical("hotkey", "0x00", 1)))
}

fn streams() -> Vec<StreamKey> {
    (0..4).map(|rollout| StreamKey { seed: 1, window_start: 300, group: 1, rollout, attempt: 0 }).collect()
}

/// One group of four: elements are generated tokens.
fn generation(criterion: &mut Criterion) {
    let engine = CpuEngine::toy().expect("the embedded model loads");
    let (prompt, streams) = (group_prompt(&engine), streams());
    let rollouts = engine.generate_tokens(&prompt, &streams, NEW_TOKENS_MAX).expect("the model samples");
    let new_tokens = rollouts.iter().map(|rollout| rollout.tokens.len() - prompt.len()).sum::<usize>();
    let mut group = criterion.benchmark_group("engine");
    group.sample_size(20).throughput(Throughput::Elements(new_tokens as u64));
    group.bench_function("generate_tokens", |bencher| {
        bencher.iter(|| engine.generate_tokens(black_box(&prompt), &streams, NEW_TOKENS_MAX));
    });
    group.bench_function("generate_group", |bencher| {
        bencher.iter(|| engine.generate_group(black_box(&prompt), &streams, RANDOMNESS, NEW_TOKENS_MAX));
    });
    group.finish();
}

/// The proof pass of one sequence: elements are tokens.
fn proof_pass(criterion: &mut Criterion) {
    let engine = CpuEngine::toy().expect("the embedded model loads");
    let tokens: Vec<u32> = group_prompt(&engine).into_iter().cycle().take(550).collect();
    let mut group = criterion.benchmark_group("engine");
    group.sample_size(20).throughput(Throughput::Elements(tokens.len() as u64));
    group.bench_function("proof_pass_550", |bencher| {
        bencher.iter(|| engine.proof_pass(black_box(&tokens), RANDOMNESS));
    });
    group.finish();
}

/// One draw from the toy model's vocabulary and from Qwen3's.
fn sampling(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("sampling");
    for vocabulary in [512, 151_936] {
        // A permutation-like scatter of scores between −8 and 8.
        let logits: Vec<f32> = (0..vocabulary).map(|i| ((i * 7919) % 65_521) as f32 / 65_521.0 * 16.0 - 8.0).collect();
        let mut sampler = Sampler::new(vocabulary, &[1, 2, 3]);
        group.bench_function(format!("vocabulary_{vocabulary}"), |bencher| {
            bencher.iter(|| sampler.sample(black_box(&logits), black_box(0.37)));
        });
    }
    group.finish();
}

criterion_group!(benches, generation, proof_pass, sampling);
criterion_main!(benches);
