//! Speed of the simulated world with the synthetic engine: one miner, one validator, no faults.
//!
//! Before criterion measures, one run of each configuration is printed with its ratio of virtual to real time, and the
//! cost of each stage of a window of 20 rollouts.

#![allow(clippy::disallowed_types, reason = "a benchmark reads the real clock")]

mod honest_window;

use std::rc::Rc;
use std::time::{Duration, Instant};

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use grail_miner::policy::UploadPolicy;
use grail_protocol::window_file::unpack;
use grail_sim::engine::{Generator, SpeedProfile};
use grail_sim::faults::Faults;
use grail_sim::run::{SimConfig, SimReport, simulate};
use grail_sim::synthetic::SyntheticModel;
use grail_verify::{Scope, verify_value};
use honest_window::{GROUPS, HonestWindow};

/// Name, speed profile, windows, most groups per window.
const CONFIGURATIONS: [(&str, &str, u64, Option<u32>); 3] = [
    ("reference_5_groups", "reference", 10, Some(GROUPS)),
    ("a100_5_groups", "a100", 10, Some(GROUPS)),
    ("a100_all_groups", "a100", 1, None),
];

fn config(profile: &str, windows: u64, groups_max: Option<u32>) -> SimConfig {
    SimConfig {
        seed: 1,
        windows,
        generator: Rc::new(SyntheticModel::default()),
        profile: SpeedProfile::named(profile).expect("a known profile"),
        groups_max,
        faults: Faults::None,
        use_drand: true,
        policy: UploadPolicy::Score,
        knobs: Default::default(),
        keep_trace: false,
        observer: None,
    }
}

/// Elements are windows.
fn windows(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("simulate");
    for (name, profile, windows, groups_max) in CONFIGURATIONS {
        let config = config(profile, windows, groups_max);
        let (real, report) = timed(|| simulate(&config, |_| {}));
        describe(name, real, &report);
        group.sample_size(10).throughput(Throughput::Elements(windows));
        group.bench_function(name, |bencher| bencher.iter(|| simulate(&config, |_| {})));
    }
    group.finish();
    stages();
}

fn describe(name: &str, real: Duration, report: &SimReport) {
    assert_eq!(report.violations, Vec::<String>::new());
    let generated: usize = report.windows.iter().map(|window| window.receipt.groups_clean).sum();
    let checked: usize = report.windows.iter().map(|window| window.checked_and_accepted().0).sum();
    let virtual_seconds = report.virtual_ms as f64 / 1000.0;
    println!(
        "{name}: {} windows, {generated} groups, {checked} rollouts checked; {virtual_seconds:.0} s of virtual time in \
         {:.3} s, {:.0} times real time",
        report.windows.len(),
        real.as_secs_f64(),
        virtual_seconds / real.as_secs_f64(),
    );
}

/// What a window of 20 rollouts costs, stage by stage.
fn stages() {
    let window = HonestWindow::new();
    let requests: Vec<_> = (0..GROUPS).map(|group| window.request(group, 0)).collect();
    let (bytes, facts, tokenizer) = (window.pack(), window.facts(), window.model.tokenizer());
    let document = unpack(&bytes).expect("what is packed is a window file");
    let generate = || requests.iter().map(|request| window.model.generate(request).map_or(0, |r| r.len())).sum();
    let stages: [(&str, &dyn Fn() -> usize); 5] = [
        ("generate", &generate),
        ("generate, assemble, sign, self-check", &|| (0..GROUPS).map(|g| window.seal(g, 0).rollouts.len()).sum()),
        ("pack", &|| window.pack().len()),
        ("unpack", &|| usize::from(unpack(&bytes).is_ok())),
        ("verify", &|| verify_value(&document, &facts, tokenizer, &window, Scope::Everything).rollouts.len()),
    ];
    for (name, stage) in stages {
        let (real, _) = timed(|| (0..10).map(|_| std::hint::black_box(stage())).sum::<usize>());
        println!("stage of a window of 20 rollouts: {:.2} ms to {name}", real.as_secs_f64() * 100.0);
    }
}

fn timed<T>(work: impl FnOnce() -> T) -> (Duration, T) {
    let began = Instant::now();
    let done = work();
    (began.elapsed(), done)
}

criterion_group!(benches, windows);
criterion_main!(benches);
