//! `grail stop`.

use std::time::Duration;

use crate::args::{MinerArgument, StopArguments};
use crate::exit::Exit;
use grail_observe::control::{Asking, ProcessStatus, Request, Stopping};
use grail_terminal::output;

/// Pause between two checks.
const LOOK_AROUND: Duration = Duration::from_millis(200);

pub(super) fn run(arguments: &StopArguments) -> anyhow::Result<Exit> {
    let mut asking = find(&arguments.miner)?;
    let request = if arguments.after_window { Request::StopAfterWindow } else { Request::Stop };
    let status = asking.ask(request)?;
    output::aside(text_of(&status));
    // A process that no longer answers has stopped.
    while !arguments.no_wait && asking.ask(Request::Status).is_ok() {
        std::thread::sleep(LOOK_AROUND);
    }
    Ok(Exit::Success)
}

/// Returns the miner or validator that was intended.
pub(super) fn find(miner: &MinerArgument) -> anyhow::Result<Asking> {
    let folder = super::why::data_folder(miner.data_dir.clone())?;
    Ok(Asking::find(&folder, miner.hotkey.as_deref())?)
}

fn text_of(status: &ProcessStatus) -> String {
    if status.judging.is_some() {
        return "the validator ends; a window that is not judged yet is judged after the next start".to_owned();
    }
    match (status.stopping, &status.window) {
        (Stopping::AfterWindow, Some(window)) => format!(
            "the miner ends after the upload of window {}, which starts in {:.0} s",
            window.start,
            window.deadline_seconds.unwrap_or(0.0)
        ),
        _ => "the miner uploads what is clean, and ends".to_owned(),
    }
}
