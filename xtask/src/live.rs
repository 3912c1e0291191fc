//! Live tapes for the fixtures: the unmodified `grail mine` in a world that `grail sim serve` shows it.

use std::fs;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use anyhow::{Context, bail, ensure};

/// How the miner of every live tape is started.
const MINER: [&str; 5] = ["mine", "--device", "cpu", "--groups-max", "1"];

/// Record a tape in the world that this `grail sim serve` command serves; it lies in `folder`, which must not be there.
pub(crate) fn record(folder: &Path, served: &str) -> anyhow::Result<PathBuf> {
    let grail = built()?;
    let arguments: Vec<&str> = served.split(' ').collect();
    let ["grail", "sim", "serve", rest @ ..] = arguments.as_slice() else {
        bail!("{served:?} serves no world; the manifest takes `grail sim serve` commands");
    };
    fs::create_dir_all(folder).with_context(|| format!("{} cannot be made", folder.display()))?;
    let (world, data) = (folder.join("world"), folder.join("data"));
    let mut serve = Command::new(&grail);
    serve.args(["sim", "serve"]).args(rest).arg("--dir").arg(&world).stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut serve = Ended(serve.spawn().context("the world cannot be started")?);
    let output = serve.0.stdout.take().context("the world has no output")?;
    let mut lines = BufReader::new(output).lines();
    while !lines.next().context("the world ended before it said how to mine in it")??.starts_with("Start it with") {}
    let mut miner = Command::new(&grail);
    // Variables of this process would win over the world's file.
    miner.env_clear().env("HOME", &data).args(MINER).arg("--env-file").arg(world.join(".env"));
    miner.arg("--data-dir").arg(&data).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    let mut miner = Ended(miner.spawn().context("the miner cannot be started")?);
    // Whatever the verdict: a fault may cost the window.
    let judged = lines.find(|line| line.as_ref().map_or(true, |line| line.starts_with("window ")));
    println!("{}", judged.context("the world ended before it judged a window")??);
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

/// The command, built as this one is.
fn built() -> anyhow::Result<PathBuf> {
    let here = std::env::current_exe()?;
    let folder = here.parent().context("this program lies in a folder")?;
    let mut build = Command::new(env!("CARGO"));
    build.args(["build", "--quiet", "--package", "grail", "--bin", "grail"]);
    if folder.ends_with("release") {
        build.arg("--release");
    }
    ensure!(build.status()?.success(), "grail does not build");
    Ok(folder.join("grail"))
}

/// A process that does not outlive us.
struct Ended(Child);

impl Drop for Ended {
    fn drop(&mut self) {
        // Where all went well it has ended.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}
