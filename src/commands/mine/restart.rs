//! Beginning anew in place: what is proven before, and what the next process is handed.

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

use super::parts::{
    data_folder, examined, loads, metrics_listen, model, open_wallet, refuse_cpu_on_public_networks, runtime,
};
use crate::args::MineArguments;
use crate::defect;
use crate::exit::{Exit, Told};
use grail_config::{self as config, MinerConfig};
use grail_folder as folder;
use grail_live::instance::HotkeyLock;
use grail_observe::Endpoint;
use grail_wallet::Inputs;

/// Says to the next process that its standard input is what this one hands over; the value is the process's id, which stays
/// the same.
const MARK: &str = "_GRAIL_HANDED_OVER";
/// No handover is larger.
const BYTES_MAX: u64 = 16 << 20;

/// What a process hands to the one that takes its place.
#[derive(Clone, Default, Serialize, Deserialize)]
pub(super) struct HandedOver {
    /// What it is to begin with.
    pub(super) inputs: Inputs,
    /// What the process before began with: a process that does not come to mining goes back to it.
    pub(super) before: Option<Inputs>,
    /// Whether the devices were lost to the process before.
    pub(super) after_loss: bool,
}

/// Which program takes this one's place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Program {
    /// The one that lies there now, which may be newer.
    Present,
    /// The very one that runs, whatever lies in its place.
    Running,
}

impl HandedOver {
    /// What the process before handed over; nothing where this one was started by somebody else.
    pub(super) fn taken() -> anyhow::Result<Self> {
        let is_ours = std::env::var(MARK).is_ok_and(|id| id == std::process::id().to_string());
        if !is_ours {
            return Ok(Self::default());
        }
        let mut bytes = Zeroizing::new(Vec::new());
        let read = io::stdin().take(BYTES_MAX).read_to_end(&mut bytes).map_err(anyhow::Error::from);
        let taken = read.and_then(|_| postcard::from_bytes(&bytes).map_err(anyhow::Error::from));
        taken.map_err(|error| {
            Told::new(Exit::Retry, format!("the handover cannot be read ({error}); start again")).into()
        })
    }

    /// Everything made ready for the next process, so that nothing but the exchange itself can fail.
    ///
    /// # Errors
    /// Where the system gives no pipe for it.
    pub(super) fn ready(&self, program: Program) -> anyhow::Result<Ready> {
        let bytes = Zeroizing::new(postcard::to_allocvec(self).context("what was read has a path that is no text")?);
        let (reader, mut writer) = io::pipe().context("the system gives no pipe")?;
        // Nobody reads before this process has gone, so all of it must fit.
        make_room(&writer, bytes.len())?;
        writer.write_all(&bytes).context("a pipe cannot be written")?;
        Ok(Ready { pipe: reader, program })
    }
}

/// What the next process is handed, in the pipe from which it reads it.
#[derive(Debug)]
pub(super) struct Ready {
    pipe: PipeReader,
    program: Program,
}

impl Ready {
    /// Replace this process by a new one with the same arguments. Locks are released by that; what was clean is in the
    /// journal. Returns only if the system refuses.
    pub(super) fn go(self) -> Told {
        use std::os::unix::process::CommandExt;
        let (called, arguments) = called();
        let running = Path::new("/proc/self/exe");
        let path = if self.program == Program::Running && running.exists() { running } else { &called };
        let mut command = Command::new(path);
        command.arg0(&called).args(arguments).env(MARK, std::process::id().to_string()).stdin(Stdio::from(self.pipe));
        let error = command.exec();
        let text =
            format!("cannot start {} again ({error}); start it by hand, nothing clean is lost", called.display());
        Told::new(Exit::Retry, text)
    }
}

#[cfg(target_os = "linux")]
fn make_room(pipe: &PipeWriter, bytes: usize) -> anyhow::Result<()> {
    rustix::pipe::fcntl_setpipe_size(pipe, bytes).context("the system gives no pipe of the size that is needed")?;
    Ok(())
}

#[cfg(not(target_os = "linux"))]
fn make_room(_: &PipeWriter, bytes: usize) -> anyhow::Result<()> {
    // What every pipe takes.
    const PIPE_BYTES: usize = 16 << 10;
    if bytes > PIPE_BYTES {
        bail!("{bytes} bytes are more than a pipe takes");
    }
    Ok(())
}

/// This program as it was called, and its arguments.
fn called() -> (PathBuf, impl Iterator<Item = OsString>) {
    let mut arguments = std::env::args_os();
    let called = arguments.next().unwrap_or_else(|| "grail".into());
    (called.into(), arguments)
}

/// What belongs to the miner that runs, and is therefore no obstacle.
#[derive(Debug, Clone)]
pub(super) struct Present {
    /// Where its metrics are.
    pub(super) metrics: Option<SocketAddr>,
    /// The file of its hotkey.
    pub(super) hotkey: PathBuf,
}

/// Prove on a thread of its own, beside mining, that a process which begins anew with these inputs would come to mine.
///
/// # Errors
/// What it would fail with.
pub(super) async fn proven(arguments: &MineArguments, inputs: &Inputs, present: Present) -> anyhow::Result<()> {
    let (arguments, inputs) = (arguments.clone(), inputs.clone());
    let (sender, outcome) = oneshot::channel();
    let thread = std::thread::Builder::new().name("reload".to_owned());
    let spawned = thread.spawn(move || {
        // Whatever is wrong with the new configuration, the miner that runs has the old one.
        let outcome = defect::attempted(|| prove(&arguments, &inputs, &present));
        let _ = sender.send(outcome.unwrap_or_else(|| Err(anyhow!("checking it panicked, as told above"))));
    });
    spawned.context("the system gives no thread")?;
    outcome.await.unwrap_or_else(|_| Err(anyhow!("checking it ended without an answer")))
}

/// Everything that a miner does before it loads its model, and what can be known of the model.
fn prove(arguments: &MineArguments, inputs: &Inputs, present: &Present) -> anyhow::Result<()> {
    runs()?;
    let environment = config::process_environment();
    let typed = config::load_with(&environment, arguments.env_file.env_file.as_deref(), inputs)?;
    let config = MinerConfig::from_typed(&typed)?;
    refuse_cpu_on_public_networks(arguments.device, config.chain.network)?;
    let data_folder = data_folder(arguments, &environment)?;
    folder::claim(&data_folder)?;
    if let Some(address) = metrics_listen(arguments, &config).filter(|address| Some(*address) != present.metrics) {
        Endpoint::listen(address, arguments.metrics_public)?;
    }
    let wallet = Rc::new(open_wallet(&config, inputs, false)?);
    if wallet.path() != present.hotkey {
        HotkeyLock::take(wallet.path())?;
    }
    let hub_cache = config::hub_cache(&environment);
    let model = model(arguments.device, &config, hub_cache.as_deref())?;
    loads(arguments.device, &model)?;
    let (runtime, local) = (runtime()?, tokio::task::LocalSet::new());
    let examination =
        local.block_on(&runtime, examined(arguments, &typed, &config, &wallet, hub_cache.as_deref(), &data_folder))?;
    match examination.obstacles().next() {
        None => Ok(()),
        Some(check) => bail!("{}: {}: {}", check.code, check.value, check.remedy.as_deref().unwrap_or_default()),
    }
}

/// The program that would take this one's place can be run at all: it may be copied by halves, or built for another machine.
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
