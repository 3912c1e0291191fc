//! What recording costs, and how fast a window replays.
//!
//! Before criterion measures, one run of each configuration is printed: what the recorder takes of the core's thread and
//! altogether, beside the 360 seconds that such a window lasts, and how long its replay takes.

#![allow(clippy::disallowed_types, reason = "a benchmark reads the real clock and writes files")]

use std::cell::RefCell;
use std::rc::Rc;
use std::time::{Duration, Instant};

use criterion::{Criterion, criterion_group, criterion_main};
use grail::tape::{Header, Mode, Recorder, Rotation, Tape, TapeFolder, replay};
use grail_miner::driver::Observer;
use grail_miner::machine::{Action, Event, Machine};
use grail_miner::ports::Now;
use grail_sim::engine::SpeedProfile;
use grail_sim::run::{SimConfig, machine_config, simulate};
use grail_sim::synthetic::SyntheticModel;
use grail_sim::time::EPOCH_WALL_MS;

/// Name, speed profile, most groups per window.
const CONFIGURATIONS: [(&str, &str, Option<u32>); 3] =
    [("reference", "reference", None), ("a100_5_groups", "a100", Some(5)), ("a100_all_groups", "a100", None)];
const WINDOW_MS: f64 = 360_000.0;

/// A recorder, and how long its caller was held up.
struct Timed {
    recorder: Recorder,
    spent: Duration,
    events: u32,
}

impl Timed {
    fn held<T>(&mut self, work: impl FnOnce(&mut Recorder) -> T) -> T {
        let began = Instant::now();
        let done = work(&mut self.recorder);
        self.spent += began.elapsed();
        done
    }
}

impl Observer for Timed {
    fn event(&mut self, now: Now, event: &Event) {
        self.events += 1;
        self.held(|recorder| recorder.event(now, event));
    }

    fn action(&mut self, now: Now, action: &Action) {
        self.held(|recorder| recorder.action(now, action));
    }

    fn handled(&mut self, now: Now, machine: &Machine) {
        self.held(|recorder| recorder.handled(now, machine));
    }
}

fn config(profile: &str, groups_max: Option<u32>) -> SimConfig {
    SimConfig {
        groups_max,
        ..SimConfig::new(
            Rc::new(SyntheticModel::default()),
            SpeedProfile::named(profile).expect("a known profile"),
            1,
            1,
        )
    }
}

/// Record a window as mining does, and read it back.
fn recorded(config: &SimConfig) -> Recorded {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let tapes = TapeFolder { path: folder.path().to_owned(), bytes_max: u64::MAX };
    let rotation = Rotation { waits: true, ..Rotation::LIVE };
    let header = Header::of(&machine_config(config), "synthetic");
    let recorder = Recorder::begin_rotating(&tapes, rotation, &header, EPOCH_WALL_MS).expect("a writable folder");
    let path = recorder.path().to_owned();
    let timed = Rc::new(RefCell::new(Timed { recorder, spent: Duration::ZERO, events: 0 }));
    drop(simulate(&SimConfig { observer: Some(timed.clone()), ..config.clone() }, |_| {}));
    let timed = Rc::into_inner(timed).expect("the run is over").into_inner();
    let Timed { recorder, spent, events } = timed;
    // Writing ends with the recorder.
    drop(recorder);
    let bytes = std::fs::metadata(&path).expect("it was written").len();
    Recorded { tape: Tape::read(&path).expect("a whole tape"), bytes, spent, events }
}

struct Recorded {
    tape: Tape,
    bytes: u64,
    spent: Duration,
    events: u32,
}

/// How long writing alone takes: every step of a tape, from the recorder's first call to its end.
fn written(tape: &Tape) -> Duration {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let tapes = TapeFolder { path: folder.path().to_owned(), bytes_max: u64::MAX };
    let machine = tape.machine();
    let began = Instant::now();
    let mut recorder = Recorder::begin(&tapes, &tape.header, 0).expect("a writable folder");
    for step in tape.steps() {
        recorder.event(step.now(), &step.event);
        recorder.handled(step.now(), &machine);
    }
    drop(recorder);
    began.elapsed()
}

fn describe(name: &str, config: &SimConfig) -> Tape {
    let began = Instant::now();
    drop(simulate(config, |_| {}));
    let without = began.elapsed();
    let began = Instant::now();
    let Recorded { tape, bytes, spent, events } = recorded(config);
    let with = began.elapsed();
    let (written, ms) = (written(&tape), |duration: Duration| duration.as_secs_f64() * 1e3);
    let began = Instant::now();
    assert_eq!(replay(&tape, Mode::Strict, None).divergences, []);
    let replayed = began.elapsed();
    println!(
        "{name}: {} events, {:.1} KiB a window; {:.1} us of the core's thread an event, {:.5} % of a live window; \
         encoding and writing {:.1} ms, {:.4} % of one; simulated {:.0} ms without and {:.0} ms with recording and reading \
         back; replayed in {:.1} ms",
        events,
        bytes as f64 / 1024.0,
        spent.as_secs_f64() * 1e6 / f64::from(events),
        ms(spent) / WINDOW_MS * 100.0,
        ms(written),
        ms(written) / WINDOW_MS * 100.0,
        ms(without),
        ms(with),
        ms(replayed),
    );
    tape
}

fn tapes(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("tape");
    group.sample_size(10);
    for (name, profile, groups_max) in CONFIGURATIONS {
        let config = config(profile, groups_max);
        let tape = describe(name, &config);
        group.bench_function(format!("{name}/simulate"), |bencher| bencher.iter(|| simulate(&config, |_| {})));
        group.bench_function(format!("{name}/simulate_and_record"), |bencher| bencher.iter(|| recorded(&config)));
        group.bench_function(format!("{name}/replay"), |bencher| bencher.iter(|| replay(&tape, Mode::Strict, None)));
    }
    group.finish();
}

criterion_group!(benches, tapes);
criterion_main!(benches);
