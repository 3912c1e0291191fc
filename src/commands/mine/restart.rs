//! Restart in place: the checks before it, and the handover to the new process.

use std::ffi::OsString;
use std::io::{self, PipeReader, PipeWriter, Read, Write};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::rc::Rc;

use anyhow::{Context, anyhow, bail};
use serde::{Deserialize, Serialize};
use tokio::sync::oneshot;
use zeroize::Zeroizing;

use super::parts::{data_folder, examined, loads, metrics_listen, model, open_wallet, refuse_wrong_device};
use crate::args::MineArguments;
use crate::exit::{Exit, ExitError};
use grail_config::{self as config, MinerConfig};
use grail_folder as folder;
use grail_live::instance::HotkeyLock;
use grail_observe::MetricsServer;
use grail_operator::runtime;
use grail_terminal::defect;
use grail_wallet::Inputs;

/// Variable that tells the next process that its standard input is a handover; its value is the process id, which
/// `exec` keeps.
const MARK: &str = "_GRAIL_HANDED_OVER";
/// Longest handover that is read.
const BYTES_MAX: u64 = 16 << 20;

/// Data that a process hands to its successor.
#[derive(Clone, Default, Serialize, Deserialize)]
pub(super) struct HandedOver {
    /// The inputs that the new process starts with.
    pub(super) inputs: Inputs,
    /// The inputs of the process before; a process that fails before it mines goes back to them.
    pub(super) before: Option<Inputs>,
    /// Whether the process before lost its devices.
    pub(super) after_loss: bool,
}

/// The program that replaces this one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Program {
    /// The file at the program's path, which may be newer.
    Present,
    /// The running program, even if its file was replaced.
    Running,
}

impl HandedOver {
    /// Reads the previous process's handover; empty if there is none.
    pub(super) fn taken() -> anyhow::Result<Self> {
        let is_ours = std::env::var(MARK).is_ok_and(|id| id == std::process::id().to_string());
        if !is_ours {
            return Ok(Self::default());
        }
        let mut bytes = Zeroizing::new(Vec::new());
        let read = io::stdin().take(BYTES_MAX).read_to_end(&mut bytes).map_err(anyhow::Error::from);
        let taken = read.and_then(|_| postcard::from_bytes(&bytes).map_err(anyhow::Error::from));
        taken.map_err(|error| {
            ExitError::new(Exit::Retry, format!("the handover cannot be read ({error}); start again")).into()
        })
    }

    /// Prepares the restart, so that afterwards only `exec` itself can fail.
    ///
    /// # Errors
    /// If no pipe of the needed size can be made.
    pub(super) fn ready(&self, program: Program) -> anyhow::Result<Ready> {
        let bytes = Zeroizing::new(postcard::to_allocvec(self).context("what was read has a path that is no text")?);
        let (reader, mut writer) = io::pipe().context("cannot make a pipe")?;
        // Nobody reads before this process ends, so all of it must fit into the pipe.
        make_room(&writer, bytes.len())?;
        writer.write_all(&bytes).context("a pipe cannot be written")?;
        Ok(Ready { pipe: reader, program })
    }
}

/// A prepared restart: the pipe from which the next process reads its handover.
#[derive(Debug)]
pub(super) struct Ready {
    pipe: PipeReader,
    program: Program,
}

impl Ready {
    /// Replaces this process by a new one with the same arguments. That releases all locks; clean groups are in the journal.
    /// Returns only if the system refuses.
    pub(super) fn go(self) -> ExitError {
        use std::os::unix::process::CommandExt;
        let (called, arguments) = called();
        let running = Path::new("/proc/self/exe");
        let path = if self.program == Program::Running && running.exists() { running } else { &called };
        let mut command = Command::new(path);
        command.arg0(&called).args(arguments).env(MARK, std::process::id().to_string()).stdin(Stdio::from(self.pipe));
        let error = command.exec();
        let text =
            format!("cannot start {} again ({error}); start it by hand, nothing clean is lost", called.display());
        ExitError::new(Exit::Retry, text)
    }
}

#[cfg(target_os = "linux")]
fn make_room(pipe: &PipeWriter, bytes: usize) -> anyhow::Result<()> {
    rustix::pipe::fcntl_setpipe_size(pipe, bytes).context("cannot make a pipe of the needed size")?;
    Ok(())
}

#[cfg(not(target_os = "linux"))]
fn make_room(_: &PipeWriter, bytes: usize) -> anyhow::Result<()> {
    // Every pipe can hold this much.
    const PIPE_BYTES: usize = 16 << 10;
    if bytes > PIPE_BYTES {
        bail!("{bytes} bytes are more than a pipe takes");
    }
    Ok(())
}

/// Returns the path by which this program was called, and its arguments.
fn called() -> (PathBuf, impl Iterator<Item = OsString>) {
    let mut arguments = std::env::args_os();
    let called = arguments.next().unwrap_or_else(|| "grail".into());
    (called.into(), arguments)
}

/// Resources that the running miner holds. The checks must not count them as taken.
#[derive(Debug, Clone)]
pub(super) struct Present {
    /// Address of its metrics.
    pub(super) metrics: Option<SocketAddr>,
    /// Its hotkey file.
    pub(super) hotkey: PathBuf,
}

/// Checks, on a thread next to mining, that a process which starts with these inputs would mine.
///
/// # Errors
/// The error that the new process would end with.
pub(super) async fn proven(arguments: &MineArguments, inputs: &Inputs, present: Present) -> anyhow::Result<()> {
    let (arguments, inputs) = (arguments.clone(), inputs.clone());
    let (sender, outcome) = oneshot::channel();
    let thread = std::thread::Builder::new().name("reload".to_owned());
    let spawned = thread.spawn(move || {
        // If the new configuration has any problem, the running miner keeps the old one.
        let outcome = defect::attempted(|| prove(&arguments, &inputs, &present));
        let _ = sender.send(outcome.unwrap_or_else(|| Err(anyhow!("checking it panicked; see above"))));
    });
    spawned.context("cannot start a thread")?;
    outcome.await.unwrap_or_else(|_| Err(anyhow!("checking it ended without an answer")))
}

/// Does everything that a miner does before it loads its model, and reads the model's files.
fn prove(arguments: &MineArguments, inputs: &Inputs, present: &Present) -> anyhow::Result<()> {
    runs()?;
    let environment = config::process_environment();
    let typed = config::load_with(&environment, arguments.env_file.env_file.as_deref(), inputs)?;
    let config = MinerConfig::from_raw(&typed)?;
    refuse_wrong_device(&arguments.device, &config.chain)?;
    let data_folder = data_folder(arguments, &environment)?;
    folder::claim(&data_folder)?;
    if let Some(address) = metrics_listen(arguments, &config).filter(|address| Some(*address) != present.metrics) {
        MetricsServer::listen(address, arguments.metrics_public)?;
    }
    let wallet = Rc::new(open_wallet(&config, inputs, false)?);
    if wallet.path() != present.hotkey {
        HotkeyLock::take(wallet.path())?;
    }
    let hub_cache = config::hub_cache(&environment);
    let model = model(&arguments.device, &config.model_name, hub_cache.as_deref())?;
    loads(&arguments.device, &model)?;
    let (runtime, local) = (runtime()?, tokio::task::LocalSet::new());
    let examination =
        local.block_on(&runtime, examined(arguments, &typed, &config, &wallet, hub_cache.as_deref(), &data_folder))?;
    match examination.prevents_restart() {
        None => Ok(()),
        Some(check) => bail!("{}: {}: {}", check.code, check.value, check.remedy.as_deref().unwrap_or_default()),
    }
}

/// Checks that the program at this one's path runs: it may be half copied, or built for another machine.
fn runs() -> anyhow::Result<()> {
    let (called, _) = called();
    let mut command = Command::new(&called);
    command.arg("version").stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    let status = command.status().with_context(|| format!("{} cannot be run", called.display()))?;
    if !status.success() {
        bail!("{} cannot be run: `version` ends with {status}", called.display());
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_handover_of_any_usual_size_passes_through_its_pipe() {
        for bytes in [10, 16 << 10, 300 << 10] {
            let inputs = Inputs::default();
            let (path, content) = (Path::new("/dev/fd/63"), vec![7; bytes]);
            inputs.keep(path, Some(&content), true);
            let handed_over = HandedOver { inputs, before: Some(Inputs::default()), after_loss: true };
            let mut read = Vec::new();
            handed_over.ready(Program::Present).unwrap().pipe.read_to_end(&mut read).unwrap();
            let taken: HandedOver = postcard::from_bytes(&read).unwrap();
            assert_eq!(taken.inputs.held(path).unwrap().unwrap().to_vec(), content);
            assert!(taken.before.is_some() && taken.after_loss);
        }
    }
}
