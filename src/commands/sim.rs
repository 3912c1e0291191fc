//! `grail sim`.

use std::cell::RefCell;
use std::fs;
use std::io::IsTerminal;
use std::path::Path;
use std::rc::Rc;
use std::time::Instant;

use anyhow::{Context, anyhow};
use grail_engine::CpuEngine;
use grail_judging::JudgingCase;
use grail_miner::driver::Observer;
use grail_sim::case::{Case, FORMAT};
use grail_sim::engine::{EngineSpeed, Generator};
use grail_sim::faults::Faults;
use grail_sim::run::{Knobs, SimConfig, WindowResult, machine_secrets, machine_settings, simulate};
use grail_sim::synthetic::SyntheticModel;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use serde_json::json;

use super::{judging, scenario};
use crate::args::{EngineChoice, Role, SimArguments};
use crate::exit::Exit;
use grail_debugger::simulated::{introduction, json, line, page, summary};
use grail_debugger::timeline::Gatherer;
use grail_folder::bounded;
use grail_observe::Observers;
use grail_observe::contract::Schema;
use grail_operator::recording::is_off;
use grail_tape::{Header, Recorder, TapeFolder};
use grail_terminal::{OutFile, output, unusable};

/// Longest .case file; a swarm's have a few KB.
const CASE_BYTES_MAX: usize = 16 << 20;
/// Groups per window with the toy model, whose inference costs real time: what a validator checks whole.
const TINY_GROUPS_MAX: u32 = 5;

pub(super) fn run(arguments: &SimArguments) -> anyhow::Result<Exit> {
    if let Some(case) = judging_case(arguments)? {
        return judging::run(&case, arguments);
    }
    let scenario = arguments.scenario.as_deref().map(scenario::find).transpose()?;
    // Scenarios and cases were drawn for the synthetic engine, and run on it whatever --engine says.
    let is_given = scenario.is_some() || arguments.case.is_some();
    let engine = if is_given { EngineChoice::Synthetic } else { arguments.engine };
    let config = match &scenario {
        Some(scenario) => SimConfig { keep_trace: arguments.trace.is_some(), ..scenario.config()? },
        None => config(arguments)?,
    };
    if let Some(folder) = &arguments.out {
        fs::create_dir_all(folder).map_err(|error| unusable("--out", folder, &error))?;
    }
    let trace_file = arguments.trace.as_deref().map(|path| OutFile::open(path, "--trace")).transpose()?;
    let page_file = arguments.html.as_deref().map(|path| OutFile::open(path, "--html")).transpose()?;
    let began = Instant::now();
    if !arguments.json {
        let model = match engine {
            EngineChoice::Toy => "the embedded toy model, run on this CPU",
            EngineChoice::Synthetic => "answers by seed and proofs by formula",
        };
        output::line(introduction(model, &config));
    }
    let bar = progress_bar(config.windows);
    let mut write_error = None;
    let gatherer = arguments.html.as_ref().map(|_| Rc::new(RefCell::new(Gatherer::default())));
    let mut observers: Vec<Box<dyn Observer>> = Vec::new();
    if let Some(folder) = arguments.tape.as_ref().filter(|folder| !is_off(folder)) {
        observers.push(Box::new(recorder(folder, engine, &config)?));
    }
    observers.extend(gatherer.clone().map(|gatherer| Box::new(gatherer) as _));
    let config = SimConfig { observer: Some(Rc::new(RefCell::new(Observers(observers)))), ..config };
    let report = simulate(&config, |window| {
        bar.inc(1);
        if !arguments.json {
            bar.suspend(|| output::line(line(window)));
        }
        if let Some(folder) = &arguments.out {
            write_error = write_error.take().or_else(|| write_file(folder, window).err());
        }
    });
    bar.finish_and_clear();
    if let Some(error) = write_error {
        return Err(error);
    }
    let wall_seconds = began.elapsed().as_secs_f64();
    if let Some(file) = trace_file {
        file.write(report.trace.concat().as_bytes())?;
    }
    if let (Some(file), Some(gatherer)) = (page_file, gatherer) {
        file.write(page(engine.name(), &config, &gatherer.borrow(), &report).as_bytes())?;
    }
    let unmet = scenario.as_ref().map_or(Vec::new(), |scenario| scenario.unmet(&report));
    if arguments.json {
        let mut object = json(engine.name(), &config, &report, wall_seconds);
        if let Some(name) = &arguments.scenario {
            object["scenario"] = json!({ "name": name, "unmet": unmet });
        }
        output::line(Schema::Sim.stamp(object));
    } else {
        output::line(summary(&report, wall_seconds));
    }
    for violation in &report.violations {
        output::aside(format_args!("violation: {violation}"));
    }
    for promise in &unmet {
        output::aside(format_args!("not as the scenario promises: {promise}"));
    }
    // A scenario states its own number of violations.
    let is_well = if scenario.is_some() { unmet.is_empty() } else { report.violations.is_empty() };
    Ok(if is_well { Exit::Success } else { Exit::Negative })
}

fn recorder(folder: &Path, engine: EngineChoice, config: &SimConfig) -> anyhow::Result<Recorder> {
    let header =
        Header::of(&machine_settings(config), &machine_secrets(config.seed), engine.name()).simulated(config.seed);
    let folder = TapeFolder { path: folder.to_owned(), bytes_max: u64::MAX };
    // Named by its seed, because virtual time always starts at the same moment.
    Ok(Recorder::begin(&folder, &header, config.seed)?)
}

/// Returns the validator's world that was asked for, if it is one.
pub fn judging_case(arguments: &SimArguments) -> anyhow::Result<Option<JudgingCase>> {
    Ok(match arguments.case.as_deref().map(read_case).transpose()? {
        Some(AnyCase::Validator(case)) => Some(*case),
        None if arguments.role == Role::Validator => Some(JudgingCase::drawn(arguments.seed, arguments.windows)),
        _ => None,
    })
}

/// Returns the simulation that was asked for.
pub fn config(arguments: &SimArguments) -> anyhow::Result<SimConfig> {
    if let Some(AnyCase::Miner(case)) = arguments.case.as_deref().map(read_case).transpose()? {
        return Ok(SimConfig {
            keep_trace: arguments.trace.is_some(),
            ..case.config(Rc::new(SyntheticModel::default()))
        });
    }
    let names = || EngineSpeed::all().iter().map(|speed| speed.name).collect::<Vec<_>>().join(", ");
    if let Some(gpu) = arguments.speed.strip_prefix("gpu=") {
        return Err(anyhow!("--speed takes a name; `grail estimate --gpu {gpu}` says what such a GPU would earn"));
    }
    let speed = EngineSpeed::named(&arguments.speed)
        .ok_or_else(|| anyhow!("unknown speed {:?}; use one of {}", arguments.speed, names()))?;
    let faults: Faults = arguments.faults.parse()?;
    let generator: Rc<dyn Generator> = match arguments.engine {
        EngineChoice::Toy => Rc::new(CpuEngine::toy().context("the embedded toy model is damaged")?),
        EngineChoice::Synthetic => match arguments.rejected {
            Some(percent) => Rc::new(SyntheticModel::rejected((10.0 * percent).round() as u64)),
            None => Rc::new(SyntheticModel::default()),
        },
    };
    let plain = Knobs::default();
    let groups_max = match (arguments.groups_max, arguments.engine) {
        (Some(0), _) | (None, EngineChoice::Synthetic) => None,
        (None, EngineChoice::Toy) => Some(TINY_GROUPS_MAX),
        (some, _) => some,
    };
    let knobs = Knobs { uplink_bytes_per_ms: arguments.uplink.unwrap_or(plain.uplink_bytes_per_ms), ..plain };
    Ok(SimConfig {
        knobs,
        groups_max,
        faults,
        use_drand: !arguments.no_drand,
        policy: arguments.policy.into(),
        keep_trace: arguments.trace.is_some(),
        ..SimConfig::new(generator, speed, arguments.seed, arguments.windows)
    })
}

/// A world as a swarm wrote it.
#[derive(serde::Deserialize)]
#[serde(untagged)]
pub(crate) enum AnyCase {
    /// Its role names it.
    Validator(Box<JudgingCase>),
    Miner(Box<Case>),
}

/// Returns a world as a swarm wrote it.
pub(crate) fn read_case(path: &Path) -> anyhow::Result<AnyCase> {
    let shown = path.display();
    let text =
        bounded::read(path, CASE_BYTES_MAX).with_context(|| format!("{shown} cannot be read; name a .case file"))?;
    let case: AnyCase =
        serde_json::from_slice(&text).with_context(|| format!("{shown} is no .case file of this version"))?;
    let (format, windows) = match &case {
        AnyCase::Validator(case) => (case.format, case.windows),
        AnyCase::Miner(case) => (case.format, case.windows),
    };
    if format != FORMAT || windows == 0 {
        return Err(anyhow!("{shown} is of format {format}; this version reads {FORMAT}"));
    }
    Ok(case)
}

fn progress_bar(windows: u64) -> ProgressBar {
    let bar = ProgressBar::new(windows);
    if !std::io::stderr().is_terminal() {
        bar.set_draw_target(ProgressDrawTarget::hidden());
    }
    let style = ProgressStyle::with_template("{bar:30} window {pos}/{len}  {elapsed} elapsed, {eta} left");
    bar.set_style(style.expect("the template is a constant that parses"));
    bar.tick();
    bar
}

/// Writes the window's file, and next to it the command that checks it.
fn write_file(folder: &Path, window: &WindowResult) -> anyhow::Result<()> {
    let Some(bytes) = &window.file else { return Ok(()) };
    let facts = &window.judgment.facts;
    let name = format!("{}-window-{}.json.gz", facts.hotkey, facts.window_start);
    let path = folder.join(&name);
    fs::write(&path, bytes.as_slice()).map_err(|error| unusable("--out", &path, &error))?;
    let command = format!(
        "grail verify {name} --block-hash {} --validator {} --randomness {}\n",
        facts.block_hash, facts.validator_hotkey, facts.challenge_randomness
    );
    let path = folder.join(format!("{name}.verify"));
    Ok(fs::write(&path, command).map_err(|error| unusable("--out", &path, &error))?)
}
