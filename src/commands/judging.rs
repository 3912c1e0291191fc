//! `grail sim --case` with a validator's world.

use std::cell::RefCell;
use std::rc::Rc;

use anyhow::anyhow;
use grail_judging::{JudgingCase, SharedObserver, Verdicts, Watched, judge_world, settings};
use grail_observe::contract::Schema;
use grail_operator::recording::is_off;
use grail_sim::synthetic::SyntheticModel;
use grail_tape::{Header, Recorder, TapeFolder};
use grail_terminal::{OutFile, counted, output};

use crate::args::SimArguments;
use crate::exit::Exit;

/// Runs the world, and prints what was decided in each window.
pub(super) fn run(case: &JudgingCase, arguments: &SimArguments) -> anyhow::Result<Exit> {
    let unused = [("--html", arguments.html.is_some()), ("--out", arguments.out.is_some())];
    if let Some((name, _)) = unused.iter().find(|(_, is_given)| *is_given) {
        return Err(anyhow!("{name} is about a miner's world, and this case is a validator's; use --trace FILE"));
    }
    let trace_file = arguments.trace.as_deref().map(|path| OutFile::open(path, "--trace")).transpose()?;
    let verdicts = Rc::new(Verdicts::new(Rc::new(SyntheticModel::default())));
    let recorder = arguments.tape.as_ref().filter(|folder| !is_off(folder)).map(|folder| {
        let header = Header::of_validator(&settings(case, &verdicts), "a table of verdicts").simulated(case.seed);
        Recorder::begin(&TapeFolder { path: folder.clone(), bytes_max: u64::MAX }, &header, case.seed)
    });
    let observer = recorder.transpose()?.map(|recorder| Rc::new(RefCell::new(recorder)) as SharedObserver);
    let keep_trace = trace_file.is_some() || arguments.json;
    let report = judge_world(case, &verdicts, Watched { keep_trace, observer });
    if arguments.json {
        output::line(Schema::SimValidator.stamp(report.json(case)));
    } else {
        output::line(format_args!(
            "A validator judges {} of {}, seed {}; verdicts are a table.",
            counted(case.windows, "window"),
            counted(case.hotkeys, "miner"),
            case.seed
        ));
        report.lines().iter().for_each(output::line);
    }
    if let Some(file) = trace_file {
        file.write(report.trace.concat().as_bytes())?;
    }
    for violation in &report.violations {
        output::aside(format_args!("violation: {violation}"));
    }
    Ok(if report.violations.is_empty() { Exit::Success } else { Exit::Negative })
}
