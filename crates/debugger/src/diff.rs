//! Differences between the decisions of two builds over the same tapes, grouped, each accepted or rejected by a person.

mod compare;
mod review;

use std::io::{self, BufRead, Write};
use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Context, anyhow};
use serde_json::{Value, json};

use grail_terminal::{Exit, ExitError, counted, output, printable};

pub use self::compare::{Difference, Kind, differences, kinds};
pub use self::review::{Review, Ruling};

/// Returns the output of a program's replay of a tape.
///
/// # Errors
/// If the program cannot be run, or prints no replay.
pub fn replayed(program: &Path, tape: &Path) -> anyhow::Result<Value> {
    let shown = program.display();
    let mut command = Command::new(program);
    command.args(["replay", "--lenient", "--json"]).arg(tape).stdin(Stdio::null()).stderr(Stdio::inherit());
    let output = command.output().map_err(|error| {
        ExitError::new(
            Exit::of_file(&error),
            format!("cannot run {shown} ({error}); give --against another build of grail"),
        )
    })?;
    let text = String::from_utf8_lossy(&output.stdout);
    let line = text.lines().last().unwrap_or_default();
    let document: Value = serde_json::from_str(line).with_context(|| {
        format!("{shown} printed no JSON about {}; give --against a build that can replay", tape.display())
    })?;
    if let Some(error) = document["error"]["text"].as_str() {
        return Err(anyhow!("{shown}: {}", printable(error)));
    }
    Ok(document)
}

/// Prints a kind of difference with its first one.
pub fn show(kind: &Kind<'_>, review: &Review) {
    output::line(format!("{}: {}", kind.name, counted(kind.differences.len(), "time")));
    let first = &kind.differences[0];
    output::line(format!("  first in {}, step {}, at {}", first.tape, first.step, first.event));
    first.lines().for_each(|line| output::line(format!("    {line}")));
    let ruled =
        |ruling| kind.differences.iter().filter(|difference| review.ruling(&difference.key) == Some(ruling)).count();
    let (accepted, rejected) = (ruled(Ruling::Accepted), ruled(Ruling::Rejected));
    if accepted + rejected > 0 {
        output::line(format!("  {accepted} accepted, {rejected} rejected before"));
    }
}

/// Asks about every difference without a ruling.
///
/// # Errors
/// If the terminal cannot be used.
pub fn ask(kinds: &[Kind<'_>], review: &mut Review) -> anyhow::Result<()> {
    for kind in kinds {
        let mut for_all = None;
        for difference in &kind.differences {
            if review.ruling(&difference.key).is_some() {
                continue;
            }
            let ruling = match for_all {
                Some(ruling) => ruling,
                None => {
                    output::line(format!("\n{} in {}, step {}", kind.name, difference.tape, difference.step));
                    difference.lines().for_each(|line| output::line(format!("    {line}")));
                    match answer()? {
                        Answer::One(ruling) => ruling,
                        Answer::All(ruling) => *for_all.insert(ruling),
                        Answer::Skip => continue,
                        Answer::End => return Ok(()),
                    }
                }
            };
            review.rule(difference.key.clone(), ruling);
        }
    }
    Ok(())
}

/// A person's answer about a difference.
enum Answer {
    One(Ruling),
    /// Also for all others of the kind.
    All(Ruling),
    Skip,
    End,
}

fn answer() -> anyhow::Result<Answer> {
    loop {
        write!(io::stdout(), "a accept, r reject, A or R all of this kind, s skip, q end: ")?;
        io::stdout().flush()?;
        let mut line = String::new();
        if io::stdin().lock().read_line(&mut line)? == 0 {
            return Ok(Answer::End);
        }
        return Ok(match line.trim() {
            "a" => Answer::One(Ruling::Accepted),
            "r" => Answer::One(Ruling::Rejected),
            "A" => Answer::All(Ruling::Accepted),
            "R" => Answer::All(Ruling::Rejected),
            "s" => Answer::Skip,
            "q" => Answer::End,
            _ => continue,
        });
    }
}

/// Returns everything that differs, as JSON.
pub fn document(kinds: &[Kind<'_>], review: &Review) -> Value {
    let difference = |difference: &&Difference| {
        json!({
            "tape": difference.tape,
            "step": difference.step,
            "event": difference.event,
            "old": difference.old,
            "new": difference.new,
            "ruling": review.ruling(&difference.key),
        })
    };
    let kind = |kind: &Kind<'_>| json!({ "name": kind.name, "differences": kind.differences.iter().map(difference).collect::<Vec<_>>() });
    json!({ "kinds": kinds.iter().map(kind).collect::<Vec<_>>() })
}
