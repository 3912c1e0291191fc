//! Cost of recording, and speed of replay.
//!
//! Before criterion measures, each configuration is printed: what the recorder takes of the core's thread and in total,
//! next to the 360 seconds that such a window lasts and the processor time that mining it takes, and how long it takes to
//! read the tape and to replay it. Costs are processor time, which other programs on the machine do not raise.

#![allow(clippy::print_stdout, reason = "a bench says what it measured")]
#![allow(clippy::disallowed_types, reason = "a benchmark reads the real clock and writes files")]

use std::cell::RefCell;
use std::panic::Location;
use std::path::Path;
use std::rc::Rc;
use std::time::Duration;

use criterion::{BatchSize, Criterion, criterion_group, criterion_main};
use grail_engine::CpuEngine;
use grail_miner::driver::Observer;
use grail_miner::machine::{Action, Event, Machine};
use grail_miner::ports::Now;
use grail_sim::engine::EngineSpeed;
use grail_sim::run::{SimConfig, machine_secrets, machine_settings, simulate};
use grail_sim::synthetic::SyntheticModel;
use grail_sim::time::EPOCH_WALL_MS;
use grail_tape::{Header, Mode, Moment, Recorder, Rotation, Session, Tape, TapeFolder, replay};

/// Name, speed, most groups per window.
const CONFIGURATIONS: [(&str, &str, Option<u32>); 3] =
    [("reference", "reference", None), ("a100_5_groups", "a100", Some(5)), ("a100_all_groups", "a100", None)];
const WINDOW_MS: f64 = 360_000.0;
/// Runs behind each figure.
const RUNS: u32 = 10;

/// A recorder, and how long its caller was held up.
struct Timed {
    recorder: Recorder,
    /// Of each event.
    spent: Vec<Duration>,
}

impl Timed {
    fn held<T>(&mut self, work: impl FnOnce(&mut Recorder) -> T) -> T {
        let began = thread_time();
        let done = work(&mut self.recorder);
        *self.spent.last_mut().expect("an event comes first") += thread_time() - began;
        done
    }
}

/// Processor time of this thread.
fn thread_time() -> Duration {
    rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime).try_into().expect("it counts from zero")
}

/// Processor time of this process, including threads that have ended.
fn process_time() -> Duration {
    let text = std::fs::read_to_string("/proc/self/stat").expect("Linux tells it");
    // The name, in parentheses, may hold blanks; user and system time are the 14th and 15th field.
    let fields = text.rsplit(')').next().expect("a name").split_whitespace().skip(11).take(2);
    let ticks: u64 = fields.map(|field| field.parse::<u64>().expect("ticks")).sum();
    Duration::from_millis(10 * ticks)
}

impl Observer for Timed {
    fn event(&mut self, now: Now, event: &Event) {
        self.spent.push(Duration::ZERO);
        self.held(|recorder| recorder.event(now, event));
    }

    fn action(&mut self, now: Now, action: &Action) {
        self.held(|recorder| recorder.action(now, action));
    }

    fn handled(&mut self, now: Now, machine: &Machine) {
        self.held(|recorder| recorder.handled(now, machine));
    }

    fn origin(&mut self, now: Now, place: &'static Location<'static>) {
        self.held(|recorder| recorder.origin(now, place));
    }
}

fn config(speed: &str, groups_max: Option<u32>) -> SimConfig {
    let speed = EngineSpeed::named(speed).expect("a known speed");
    SimConfig { groups_max, ..SimConfig::new(Rc::new(SyntheticModel::default()), speed, 1, 1) }
}

/// Records a window as mining does. Returns the file, and how long each event held up its caller.
fn recorded(config: &SimConfig) -> (Vec<u8>, Vec<Duration>) {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let tapes = TapeFolder { path: folder.path().to_owned(), bytes_max: u64::MAX };
    let rotation = Rotation { waits: true, ..Rotation::LIVE };
    let header = Header::of(&machine_settings(config), &machine_secrets(config.seed), "synthetic");
    let recorder = Recorder::begin_rotating(&tapes, rotation, &header, EPOCH_WALL_MS).expect("a writable folder");
    let path = recorder.path().to_owned();
    let timed = Rc::new(RefCell::new(Timed { recorder, spent: Vec::new() }));
    drop(simulate(&SimConfig { observer: Some(timed.clone()), ..config.clone() }, |_| {}));
    let timed = Rc::into_inner(timed).expect("the run is over").into_inner();
    let Timed { recorder, mut spent } = timed;
    // Writing ends with the recorder.
    drop(recorder);
    spent.sort();
    (std::fs::read(&path).expect("it was written"), spent)
}

fn read(file: &[u8]) -> Tape {
    Tape::parse(Path::new("bench.tape"), file).expect("a whole tape")
}

/// Processor time of some work, the mean of several runs.
fn cost(work: impl Fn()) -> Duration {
    let began = process_time();
    (0..RUNS).for_each(|_| work());
    (process_time() - began) / RUNS
}

/// Records every step of a tape again, from the recorder's first call to its end. The core decides again.
fn write(tape: &Tape) {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let tapes = TapeFolder { path: folder.path().to_owned(), bytes_max: u64::MAX };
    let mut session = Session::new(tape);
    let mut recorder = Recorder::begin(&tapes, &tape.header, 0).expect("a writable folder");
    while let Some(moment) = session.advance() {
        if let Moment::Step { step, asked, .. } = moment {
            recorder.event(step.now(), &step.event);
            asked.iter().for_each(|asked| recorder.action(step.now(), &asked.action));
            recorder.handled(step.now(), session.machine());
        }
    }
}

/// Does the same as [`write`], without recording.
fn decide(tape: &Tape) {
    let mut session = Session::new(tape);
    while session.advance().is_some() {}
}

/// Prints the figures, and returns the tape's bytes.
fn describe(name: &str, config: &SimConfig) -> Vec<u8> {
    let began = process_time();
    drop(simulate(config, |_| {}));
    let mined = process_time() - began;
    let (file, spent) = recorded(config);
    let tape = read(&file);
    let recording = cost(|| write(&tape)).saturating_sub(cost(|| decide(&tape)));
    let reading = cost(|| drop(read(&file)));
    // A tape keeps what was packed of it, so each replay gets one that was just read.
    let both = cost(|| assert_eq!(replay(&read(&file), Mode::Strict, None).divergences, []));
    let ms = |duration: Duration| duration.as_secs_f64() * 1e3;
    println!(
        "{name}: {} events, {:.1} KiB a window; recording takes {:.2} ms of the processor: {:.4} % of a window's 360 s, next to \
         {:.0} ms for all else {:.2} %; of it {:.1} us an event on the core's thread, of 99 in 100 at most {:.1} us; \
         read in {:.1} ms and replayed in {:.1} ms of the processor",
        spent.len(),
        file.len() as f64 / 1024.0,
        ms(recording),
        ms(recording) / WINDOW_MS * 100.0,
        ms(mined),
        ms(recording) / ms(mined) * 100.0,
        ms(spent.iter().sum()) * 1e3 / spent.len() as f64,
        ms(spent[spent.len() * 99 / 100]) * 1e3,
        ms(reading),
        ms(both.saturating_sub(reading)),
    );
    file
}

/// The same with the toy model on this processor, so that inference takes time as in `grail mine`.
fn with_inference() {
    let engine = CpuEngine::toy().expect("the embedded model loads");
    let config = SimConfig { generator: Rc::new(engine), ..config("reference", Some(5)) };
    describe("toy_model_5_groups", &config);
}

fn tapes(criterion: &mut Criterion) {
    with_inference();
    let mut group = criterion.benchmark_group("tape");
    group.sample_size(10);
    for (name, speed, groups_max) in CONFIGURATIONS {
        let config = config(speed, groups_max);
        let file = describe(name, &config);
        group.bench_function(format!("{name}/simulate"), |bencher| bencher.iter(|| simulate(&config, |_| {})));
        group.bench_function(format!("{name}/simulate_and_record"), |bencher| bencher.iter(|| recorded(&config)));
        group.bench_function(format!("{name}/read"), |bencher| bencher.iter_with_large_drop(|| read(&file)));
        group.bench_function(format!("{name}/replay"), |bencher| {
            bencher.iter_batched(
                || read(&file),
                |tape| (replay(&tape, Mode::Strict, None), tape),
                BatchSize::PerIteration,
            );
        });
    }
    group.finish();
}

criterion_group!(benches, tapes);
criterion_main!(benches);
