//! The simulated world in real time: chain, beacon and bucket as servers on loopback, and a validator next to them.
//!
//! It may use sockets, threads and its own folder; it knows no adapter of the miner, so that both sides of each
//! protocol are separate code. [`Served::start`] runs everything on its own threads, for a miner in another process or
//! for a test; [`World`] switches faults, and [`chain::Node`] is the chain alone.

#![allow(
    clippy::disallowed_types,
    clippy::disallowed_methods,
    reason = "this crate is at the boundary: real time and the environment may enter here"
)]

pub mod beacon;
pub mod bucket;
pub mod chain;
mod cheat;
mod console;
mod environment;
mod fault_threads;
mod faults;
mod folder;
pub mod gate;
mod http_server;
mod settings;
mod validator;
mod world;

use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::sync::{Arc, mpsc};
use std::thread::JoinHandle;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use grail_engine::CpuEngine;
use grail_protocol::generation::ProofModel;
use tokio::sync::watch;

pub use console::{ConsoleCommand, ConsoleError};
pub use faults::{ServeFault, UnknownServeFault, parse_list};
pub use grail_sim::rivals::Cheat;
pub use validator::WindowVerdict;
pub use world::{MINER_UID, Member, VALIDATOR_UID, World};

use environment::EnvironmentFile;
use folder::WorldFolder;

/// Block times that can be served, in milliseconds.
pub const BLOCK_MS: std::ops::RangeInclusive<u64> = 50..=60_000;

/// Configuration of a served world.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServeOptions {
    /// Folder of `.env`, wallet and objects.
    pub folder: PathBuf,
    /// Milliseconds between two blocks, within [`BLOCK_MS`].
    pub block_ms: u64,
    /// Keys and the times of listed faults follow from it, so anyone who knows it has the keys: for tests. Without one they are
    /// random.
    pub seed: Option<u64>,
    /// The runtime that the chain starts with.
    pub runtime: chain::Runtime,
    /// Faults that strike in every window.
    pub faults: Vec<ServeFault>,
    /// Hotkeys of further miners, each with a bucket and a file `miner-N.env`.
    pub miners: u16,
    /// Hotkeys of validators that run elsewhere, each with a file `validator-N.env`. With any, the world's own does not run.
    pub validators: u16,
    /// The behavior of a further miner, which this process runs.
    pub cheat: Option<Cheat>,
    /// The kind of device that judges: cpu or cuda. Miners must compute with the same.
    pub device: &'static str,
}

impl ServeOptions {
    /// Creates a world in this folder at its usual pace, without faults.
    pub fn new(folder: impl Into<PathBuf>) -> Self {
        Self {
            folder: folder.into(),
            block_ms: 250,
            seed: None,
            runtime: chain::Runtime::default(),
            faults: Vec::new(),
            miners: 0,
            validators: 0,
            cheat: None,
            device: "cpu",
        }
    }
}

/// Why a world cannot start.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// The folder, or something in it, cannot be written.
    #[error("cannot write {} ({source}); give --dir a folder that can be written", path.display())]
    Folder {
        /// The path.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// No random keys can be drawn.
    #[error("the operating system cannot draw random keys ({0}); give --seed a number for a world without secrets")]
    Random(#[from] getrandom::Error),
    /// Another process serves from the folder.
    #[error("{} is in use by another `grail sim serve`; stop it, or give --dir another folder", .0.display())]
    InUse(PathBuf),
    /// A `.env` that no served world wrote.
    #[error("{} is not of a served world and stays as it is; give --dir another folder", .0.display())]
    Foreign(PathBuf),
    /// A block time that cannot be kept.
    #[error(
        "a block time of {} s cannot be served; give --block-time a number of seconds from {} to {}",
        *.0 as f64 / 1000.0, *BLOCK_MS.start() as f64 / 1000.0, *BLOCK_MS.end() as f64 / 1000.0
    )]
    BlockTime(u64),
    /// A server does not start.
    #[error("cannot start the servers ({0}); free some ports, file descriptors or threads")]
    Server(#[from] std::io::Error),
    /// The chain's node does not start.
    #[error(transparent)]
    Node(#[from] chain::NodeError),
    /// The toy model does not load.
    #[error("the embedded toy model is damaged; rebuild the program")]
    Model(#[source] grail_engine::EngineError),
    /// The servers' thread ended before they listened.
    #[error("the servers stopped while they were starting; read the reason on standard error")]
    Ended,
}

/// An event of a running world.
#[derive(Debug, Clone, PartialEq)]
pub enum ServeEvent {
    /// A window of our miner was judged.
    Judged(Box<WindowVerdict>),
    /// A line was typed; only who sends it says so.
    Typed(String),
    /// A request to stop the world, from the sender of this event.
    Interrupted,
}

/// A world that runs until this is dropped.
pub struct Served {
    world: Arc<World>,
    env_file: PathBuf,
    events: mpsc::Receiver<ServeEvent>,
    /// For callers that add their own events.
    pub sender: mpsc::Sender<ServeEvent>,
    over: watch::Sender<bool>,
    threads: Vec<JoinHandle<()>>,
    runtime: tokio::runtime::Handle,
}

/// The servers, and the runtime that they run on, once everything listens.
type Started = (Arc<World>, tokio::runtime::Handle);

impl Served {
    /// Starts the servers and the validator; returns when everything listens and the `.env` is written.
    ///
    /// # Errors
    /// [`ServeError`], with the remedy.
    pub fn start(options: &ServeOptions) -> Result<Self, ServeError> {
        let engine = CpuEngine::toy().map_err(ServeError::Model)?;
        Self::start_with(options, move || Rc::new(engine))
    }

    /// Returns the same with another model, which is loaded on the validator's thread.
    ///
    /// # Errors
    /// As [`Served::start`].
    pub fn start_with(
        options: &ServeOptions,
        model: impl FnOnce() -> Rc<dyn ProofModel> + Send + 'static,
    ) -> Result<Self, ServeError> {
        if !BLOCK_MS.contains(&options.block_ms) {
            return Err(ServeError::BlockTime(options.block_ms));
        }
        let folder = WorldFolder::take(&options.folder)?;
        let env_file = folder.env_file();
        let (over, is_over) = watch::channel(false);
        let (started, when_started) = mpsc::channel();
        let (serving, end) = (options.clone(), is_over.clone());
        let servers = thread("servers", move || serve(&serving, folder, &started, end))?;
        let (world, runtime) = when_started.recv().map_err(|_| ServeError::Ended)??;
        let (sender, events) = mpsc::channel();
        let (judged, judges) = (sender.clone(), world.clone());
        let mut threads = vec![servers];
        if let Some(cheat) = options.cheat {
            let (engine, world, over) = (CpuEngine::toy().map_err(ServeError::Model)?, world.clone(), is_over.clone());
            threads.push(thread("cheat", move || cheat::run(&world, cheat, &engine, over))?);
        }
        if options.validators == 0 {
            threads.push(thread("validator", move || judge(judges, model(), is_over, &judged))?);
        }
        Ok(Self { world, env_file, events, sender, over, threads, runtime })
    }

    /// Returns the servers, and the switches of their faults.
    pub fn world(&self) -> &World {
        &self.world
    }

    /// Returns the miner's `.env`.
    pub fn env_file(&self) -> &Path {
        &self.env_file
    }

    /// Switches a fault on, and off again after a while.
    pub fn fault_for(&self, fault: ServeFault, duration: Duration) {
        let (world, switching) = (self.world.clone(), self.world.switch_on(fault));
        self.runtime.spawn(async move {
            tokio::time::sleep(duration).await;
            world.switch_off_if(fault, switching);
        });
    }

    /// Returns the next event; none if there is none within `limit`.
    pub fn next_event(&self, limit: Option<Duration>) -> Option<ServeEvent> {
        match limit {
            Some(limit) => self.events.recv_timeout(limit).ok(),
            None => self.events.recv().ok(),
        }
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        self.over.send_replace(true);
        for thread in self.threads.drain(..) {
            // A thread that panicked has said so on standard error.
            let _ = thread.join();
        }
    }
}

/// Returns the host's wall clock, in milliseconds since 1970.
fn unix_ms() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_millis() as u64)
}

fn thread(name: &str, work: impl FnOnce() + Send + 'static) -> std::io::Result<JoinHandle<()>> {
    std::thread::Builder::new().name(name.to_owned()).spawn(work)
}

/// Runs the servers on this thread until `over`.
fn serve(
    options: &ServeOptions,
    folder: WorldFolder,
    started: &mpsc::Sender<Result<Started, ServeError>>,
    mut over: watch::Receiver<bool>,
) {
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return drop(started.send(Err(error.into()))),
    };
    runtime.block_on(async {
        let world = match begin(options, &folder).await {
            Ok(world) => Arc::new(world),
            Err(error) => return drop(started.send(Err(error))),
        };
        if started.send(Ok((world.clone(), tokio::runtime::Handle::current()))).is_err() {
            return;
        }
        tokio::select! {
            _ = over.wait_for(|over| *over) => {}
            () = world::follow_schedule(&world, &options.faults, options.seed.unwrap_or_default()) => {}
        }
    });
    // It does not wait for connections that a fault left hanging.
    runtime.shutdown_background();
}

async fn begin(options: &ServeOptions, folder: &WorldFolder) -> Result<World, ServeError> {
    let world = World::start(options, folder).await?;
    folder.write_wallet(folder::WALLET.1, &world.miner_seed)?;
    for member in &world.members {
        folder.write_wallet(&member.name, &member.seed)?;
        let lines = settings::settings(&world, &folder.wallets(), &member.name, member.account.as_ref());
        EnvironmentFile::write(folder.member_file(&member.name), &lines, "")?;
    }
    let before = std::fs::read_to_string(folder.env_file_before()).unwrap_or_default();
    let lines = settings::settings(&world, &folder.wallets(), folder::WALLET.1, Some(world.bucket.account()));
    world.announce(EnvironmentFile::write(folder.env_file(), &lines, &before)?);
    Ok(world)
}

/// Runs the validator on this thread until `over`.
fn judge(world: Arc<World>, model: Rc<dyn ProofModel>, over: watch::Receiver<bool>, judged: &mpsc::Sender<ServeEvent>) {
    let Ok(runtime) = tokio::runtime::Builder::new_current_thread().enable_all().build() else { return };
    runtime.block_on(validator::validate(world, model, over, |verdict| {
        // The receiver may be gone.
        let _ = judged.send(ServeEvent::Judged(Box::new(verdict)));
    }));
}
