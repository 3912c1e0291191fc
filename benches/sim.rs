//! Speed of the simulated world with the synthetic engine: one miner, one validator, no faults, one thread.
//!
//! Before criterion measures, one run of each configuration is printed with its ratio of virtual to real time, then the
//! cost of each stage of a window, and how much memory a day and a month of windows take. Real time is what the thread
//! was running, if the system reports it, so that a busy machine does not count.

#![allow(clippy::print_stdout, reason = "a bench says what it measured")]
#![allow(clippy::disallowed_types, reason = "a benchmark reads the real clock")]

mod honest_window;

use std::rc::Rc;
use std::time::{Duration, Instant};

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use grail_protocol::generation::ProofModel;
use grail_protocol::rollout::{GroupOrigin, assemble_group};
use grail_protocol::window_file::unpack;
use grail_sim::engine::{EngineSpeed, Generator};
use grail_sim::run::{SimConfig, SimReport, simulate};
use grail_sim::synthetic::SyntheticModel;
use grail_verify::{Scope, check_own_group, verify_value};
use honest_window::{GROUPS, HonestWindow};

/// Name, speed, windows, most groups per window.
const CONFIGURATIONS: [(&str, &str, u64, Option<u32>); 4] = [
    ("a100_1_group", "a100", 240, Some(1)),
    ("a100_5_groups", "a100", 60, Some(GROUPS)),
    ("reference_5_groups", "reference", 60, Some(GROUPS)),
    ("a100_all_groups", "a100", 1, None),
];

fn config(speed: &str, windows: u64, groups_max: Option<u32>) -> SimConfig {
    let speed = EngineSpeed::named(speed).expect("a known speed");
    SimConfig { groups_max, ..SimConfig::new(Rc::new(SyntheticModel::default()), speed, 1, windows) }
}

/// Elements are windows.
fn windows(criterion: &mut Criterion) {
    memory();
    for (name, speed, windows, groups_max) in CONFIGURATIONS {
        let (real, report) = timed(|| simulate(&config(speed, windows, groups_max), |_| {}));
        describe(name, real, &report);
    }
    stages();
    let mut group = criterion.benchmark_group("simulate");
    for (name, speed, windows, groups_max) in CONFIGURATIONS {
        let config = config(speed, windows.min(10), groups_max);
        group.sample_size(10).throughput(Throughput::Elements(config.windows));
        group.bench_function(name, |bencher| bencher.iter(|| simulate(&config, |_| {})));
    }
    group.finish();
}

fn describe(name: &str, real: Duration, report: &SimReport) {
    assert_eq!(report.violations, Vec::<String>::new());
    let windows = report.windows.len();
    let checked: usize = report.windows.iter().map(|window| window.checked_and_accepted().0).sum();
    println!(
        "{name}: {windows} windows, {} rollouts checked in each; {:.2} ms a window, {:.0} times real time",
        checked / windows,
        1000.0 * real.as_secs_f64() / windows as f64,
        report.virtual_ms as f64 / 1000.0 / real.as_secs_f64(),
    );
}

/// Measures the cost of a window's rollouts, stage by stage.
fn stages() {
    let window = HonestWindow::new();
    let tokens: Vec<usize> = window.rollouts().iter().map(|rollout| rollout.commit.tokens.len()).collect();
    println!("rollouts of {} to {} tokens", tokens.iter().min().unwrap_or(&0), tokens.iter().max().unwrap_or(&0));
    let requests: Vec<_> = (0..GROUPS).map(|group| window.request(group, 0)).collect();
    let (bytes, facts, tokenizer) = (window.pack(), window.facts(), window.model.tokenizer());
    let document = unpack(&bytes).expect("what is packed is a window file");
    let generate = || requests.iter().map(|request| window.model.generate(request).map_or(0, |r| r.len())).sum();
    let sign = |message: &[u8]| window.keypair.sign(message);
    let assemble = |at: usize| {
        let origin = GroupOrigin { group: at as u32, block: 303, timestamp: 1_758_700_000.25 };
        assemble_group(&window.context, origin, &window.groups[at].generated, tokenizer, &sign).map_or(0, |r| r.len())
    };
    let check = |at: usize| {
        let sealed = &window.groups[at];
        let passes: Vec<_> = sealed.generated.iter().map(|rollout| &rollout.pass).collect();
        check_own_group(&sealed.rollouts, &passes, &facts, tokenizer).len()
    };
    let groups = window.groups.len();
    let stages: [(&str, &dyn Fn() -> usize); 6] = [
        ("generate", &generate),
        ("assemble and sign", &|| (0..groups).map(assemble).sum()),
        ("check before upload", &|| (0..groups).map(check).sum()),
        ("pack", &|| window.pack().len()),
        ("unpack", &|| usize::from(unpack(&bytes).is_ok())),
        ("verify", &|| verify_value(&document, &facts, tokenizer, &window, Scope::Everything).rollouts.len()),
    ];
    for (name, stage) in stages {
        let (real, _) = timed(|| (0..20).map(|_| std::hint::black_box(stage())).sum::<usize>());
        println!("stage of a window of 20 rollouts: {:.2} ms to {name}", real.as_secs_f64() * 50.0);
    }
}

/// Resident memory after a simulated day, and after thirty.
fn memory() {
    let mut resident = Vec::new();
    let mut window = 0;
    simulate(&config("a100", 30 * 240, Some(1)), |_| {
        window += 1;
        if [240, 30 * 240].contains(&window) {
            resident.push(status("VmRSS:").unwrap_or(0));
        }
    });
    println!("resident memory: {} kB after a day of windows, {} kB after 30", resident[0], resident[1]);
}

/// Returns a figure of this process from the system.
fn status(name: &str) -> Option<u64> {
    let text = std::fs::read_to_string("/proc/self/status").ok()?;
    text.lines().find_map(|line| line.strip_prefix(name))?.split_whitespace().next()?.parse().ok()
}

/// Returns how long this thread has been running, or since `began` if the system does not report it.
fn running(began: Instant) -> Duration {
    let text = std::fs::read_to_string("/proc/thread-self/schedstat").ok();
    let nanoseconds = text.and_then(|text| text.split_whitespace().next()?.parse().ok());
    nanoseconds.map_or_else(|| began.elapsed(), Duration::from_nanos)
}

fn timed<T>(work: impl FnOnce() -> T) -> (Duration, T) {
    let began = Instant::now();
    let before = running(began);
    let done = work();
    (running(began).saturating_sub(before), done)
}

criterion_group!(benches, windows);
criterion_main!(benches);
