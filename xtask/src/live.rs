//! Live tapes for the fixtures: the unmodified `grail mine` in a world of `grail sim serve`.

use std::fs;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::time::Duration;

use anyhow::{Context, bail, ensure};
use grail_tape::Tape;
use grail_terminal::output;

/// Prefix of a live tape's command.
pub(crate) const COMMAND: &str = "grail sim serve ";
/// Retries if a fault does not strike by chance.
const ATTEMPTS: usize = 3;
/// How the miner of every live tape is started.
const MINER: [&str; 5] = ["mine", "--device", "cpu", "--groups-max", "1"];

/// Records a tape again in the world of this command: one judged window with the tape's purpose.
pub(crate) fn record(target: &Path, served: &str, shows: &str) -> anyhow::Result<Tape> {
    let grail = built()?;
    let folder = target.with_extension("recording");
    for _ in 0..ATTEMPTS {
        let path = run(&grail, &folder, served)?;
        let tape = Tape::read(&path)?;
        let is_shown = tape.shows(shows);
        if is_shown {
            fs::rename(&path, target)?;
        }
        fs::remove_dir_all(&folder)?;
        if is_shown {
            return Ok(tape);
        }
    }
    bail!("{ATTEMPTS} runs did not show {shows:?}; give the command another seed")
}

/// Returns one run; its tape is in the folder.
fn run(grail: &Path, folder: &Path, served: &str) -> anyhow::Result<PathBuf> {
    fs::create_dir_all(folder).with_context(|| format!("{} cannot be made", folder.display()))?;
    let (world, data) = (folder.join("world"), folder.join("data"));
    let mut serve = Command::new(grail);
    serve.args(served.split(' ').skip(1)).arg("--dir").arg(&world).stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut serve = Ended(serve.spawn().context("the world cannot be started")?);
    let output = serve.0.stdout.take().context("the world has no output")?;
    let mut lines = BufReader::new(output).lines();
    while !lines.next().context("the world ended before it said how to mine in it")??.starts_with("Start it with") {}
    let mut miner = Command::new(grail);
    // Variables of this process would win over the world's file.
    miner.env_clear().env("HOME", &data).args(MINER).arg("--env-file").arg(world.join(".env"));
    miner.arg("--data-dir").arg(&data).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    let mut miner = Ended(miner.spawn().context("the miner cannot be started")?);
    let (sender, verdicts) = mpsc::channel();
    #[allow(clippy::disallowed_methods, reason = "the processes of a world run in real time, outside the core")]
    std::thread::spawn(move || {
        let judged = lines.map_while(Result::ok).filter(|line| line.starts_with("window "));
        // A receiver that no longer listens has one already.
        judged.map_while(|verdict| sender.send(verdict).ok()).for_each(drop);
    });
    // Any verdict counts, since a fault may cost the window.
    let verdict = loop {
        match verdicts.recv_timeout(Duration::from_secs(1)) {
            Ok(verdict) => break verdict,
            Err(RecvTimeoutError::Timeout) => {
                ensure!(miner.0.try_wait()?.is_none(), "the miner ended; let the fault strike later, by another seed");
            }
            Err(RecvTimeoutError::Disconnected) => bail!("the world ended before it judged a window"),
        }
    };
    output::line(verdict);
    // The world goes last, as the miner has something to finish in it.
    let stopped = Command::new("kill").arg("-TERM").arg(miner.0.id().to_string()).status()?;
    ensure!(stopped.success(), "the miner had ended before its world did");
    ensure!(miner.0.wait()?.success(), "the miner ended badly");
    let tapes = fs::read_dir(data.join("tapes")).context("the miner recorded nothing")?;
    let tapes: Vec<PathBuf> = tapes.map(|entry| Ok(entry?.path())).collect::<anyhow::Result<_>>()?;
    match tapes.as_slice() {
        [tape] => Ok(tape.clone()),
        _ => bail!("one run gave {} tapes instead of one", tapes.len()),
    }
}

/// Returns the command, built as this one is.
pub(crate) fn built() -> anyhow::Result<PathBuf> {
    let here = std::env::current_exe()?;
    let folder = here.parent().context("this program is in a folder")?;
    let mut build = Command::new(env!("CARGO"));
    build.args(["build", "--quiet", "--package", "grail", "--bin", "grail"]);
    if folder.ends_with("release") {
        build.arg("--release");
    }
    ensure!(build.status()?.success(), "grail does not build");
    Ok(folder.join("grail"))
}

/// A process that ends with this one.
pub(crate) struct Ended(pub(crate) Child);

impl Drop for Ended {
    fn drop(&mut self) {
        // Normally it has ended already.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}
