//! Speed of the validator's rules over a window of 20 rollouts, and of the miner's check of its own group.
//!
//! The forward passes are recorded, so everything but the model is measured.

mod honest_window;

use std::hint::black_box;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use grail_protocol::generation::ProofModel;
use grail_protocol::window_file::unpack;
use grail_verify::{Scope, Verdict, check_own_group, verify_bytes, verify_value};
use honest_window::HonestWindow;

/// Elements are rollouts.
fn window(criterion: &mut Criterion) {
    let window = HonestWindow::new();
    let (bytes, facts) = (window.pack(), window.facts());
    let document = unpack(&bytes).expect("what is packed is a window file");
    let tokenizer = window.model.tokenizer();
    let report = verify_value(&document, &facts, tokenizer, &window, Scope::Validator);
    assert!(matches!(report.verdict, Verdict::Accepted { .. }), "{:?}", report.verdict);
    let mut group = criterion.benchmark_group("verify_window_20");
    group.sample_size(20).throughput(Throughput::Elements(report.rollouts.len() as u64));
    group.bench_function("bytes", |bencher| {
        bencher.iter(|| verify_bytes(black_box(&bytes), &facts, tokenizer, &window, Scope::Validator));
    });
    group.bench_function("document", |bencher| {
        bencher.iter(|| verify_value(black_box(&document), &facts, tokenizer, &window, Scope::Validator));
    });
    group.finish();
}

/// Elements are rollouts.
fn own_group(criterion: &mut Criterion) {
    let window = HonestWindow::new();
    let facts = window.facts();
    let sealed = &window.groups[0];
    let passes: Vec<_> = sealed.generated.iter().map(|rollout| &rollout.pass).collect();
    let tokenizer = window.model.tokenizer();
    assert_eq!(check_own_group(&sealed.rollouts, &passes, &facts, tokenizer), []);
    let mut group = criterion.benchmark_group("own_group");
    group.sample_size(20).throughput(Throughput::Elements(sealed.rollouts.len() as u64));
    group.bench_function("check", |bencher| {
        bencher.iter(|| check_own_group(black_box(&sealed.rollouts), &passes, &facts, tokenizer));
    });
    group.bench_function("seal", |bencher| bencher.iter(|| window.seal(black_box(0), 0)));
    group.finish();
}

criterion_group!(benches, window, own_group);
criterion_main!(benches);
