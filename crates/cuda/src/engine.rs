//! The engine of one device: groups come in, are decoded together, proved as they finish, and handed back.
//!
//! A supervising thread owns the [`GroupLedger`] of what was asked for; inside it run a decoding thread and proving threads,
//! which share the weights. When the device fails, the inside is torn down and set up again, and the ledger's unfinished
//! groups start again: their streams of draws are the same.

mod group_ledger;
mod pool;
mod proving;
mod turns;
mod worker;

use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, mpsc};
use std::thread::JoinHandle;
use std::time::Duration;

use grail_engine::{EngineError, HfTokenizer};
use grail_protocol::generation::{GeneratedRollout, ModelLimits, StreamKey};

use super::decode::DecodeSettings;
use super::driver::Device;
use super::error::{CudaEngineError, CudaError};
use super::proof::{Decided, ProofPlan, TorchNumerics};
use super::weights::Model;
pub use group_ledger::GroupLedger;
use worker::Worker;

/// Settings of an engine.
#[derive(Debug, Clone)]
pub struct CudaSettings {
    /// The model: `toy`, `synthetic:<shape>:<seed>`, or a folder.
    pub model: String,
    /// Number of the device.
    pub ordinal: usize,
    /// Numerics of proofs.
    pub numerics: TorchNumerics,
    /// How proofs are arranged.
    pub plan: ProofPlan,
    /// How decoding is arranged.
    pub decode: DecodeSettings,
    /// Provers that work side by side.
    pub provers: usize,
    /// Says which probabilities need no float32; without it all are computed in float32.
    pub is_decided: Option<Decided>,
    /// Cache folder for compiled kernels.
    pub kernel_cache: Option<PathBuf>,
}

impl CudaSettings {
    /// Returns the usual settings for a model on a device.
    pub fn new(model: impl Into<String>, ordinal: usize) -> Self {
        Self {
            model: model.into(),
            ordinal,
            numerics: TorchNumerics::default(),
            plan: ProofPlan::default(),
            decode: DecodeSettings::default(),
            provers: 2,
            is_decided: None,
            kernel_cache: None,
        }
    }
}

/// A request: one rollout per stream after a prompt.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GroupWork {
    /// The prompt's tokens.
    pub prompt: Vec<u32>,
    /// One stream per rollout wanted.
    pub streams: Vec<StreamKey>,
    /// The randomness that sketches are projected with.
    pub randomness: String,
    /// Most new tokens per rollout.
    pub new_tokens_max: usize,
}

/// Receives the outcome of a group, once. The engine's thread calls it, so it must not wait.
pub type Reply = Box<dyn FnOnce(Result<Vec<GeneratedRollout>, CudaEngineError>) + Send>;

/// Receives how long a proof of several rollouts took. The engine's thread calls it, so it must not wait.
pub type ProofWatch = Arc<dyn Fn(Duration, usize) + Send + Sync>;

/// Submitted work. Dropping it cancels the work without an answer.
#[derive(Debug)]
pub struct Ticket {
    canceled: Arc<AtomicBool>,
    messages: mpsc::Sender<Message>,
}

impl Drop for Ticket {
    fn drop(&mut self) {
        self.canceled.store(true, Ordering::Relaxed);
        // While only proofs are left, the engine only reads its messages.
        let _ = self.messages.send(Message::Canceled);
    }
}

/// Messages to the supervising thread.
enum Message {
    /// New work.
    Group { work: GroupWork, reply: Reply, canceled: Arc<AtomicBool> },
    /// A proof is done.
    Proved(proving::Proved),
    /// A caller no longer waits for a group.
    Canceled,
    /// The engine is dropped.
    Stop,
}

/// An engine on one device.
pub struct CudaEngine {
    messages: mpsc::Sender<Message>,
    worker: Option<JoinHandle<()>>,
    limits: ModelLimits,
    tokenizer: Option<HfTokenizer>,
    groups_in_flight_max: usize,
    ordinal: usize,
    is_lost: Arc<AtomicBool>,
    is_prepared: Arc<AtomicBool>,
}

impl CudaEngine {
    /// Brings the model onto the device, and starts.
    ///
    /// # Errors
    /// If the model cannot be read, the device cannot run it, or there is not enough memory.
    pub fn start(settings: CudaSettings) -> Result<Self, CudaEngineError> {
        Self::start_watched(settings, Arc::new(|_, _| {}))
    }

    /// As [`CudaEngine::start`], and reports how long proofs take.
    ///
    /// # Errors
    /// As [`CudaEngine::start`].
    pub fn start_watched(settings: CudaSettings, watch: ProofWatch) -> Result<Self, CudaEngineError> {
        let Model { config, tokenizer, .. } = Model::open(&settings.model)?;
        let fail =
            |problem: &str| EngineError::Tokenizer { origin: settings.model.clone(), problem: problem.to_owned() };
        let own_eos = tokenizer.as_ref().and_then(HfTokenizer::eos_token);
        let eos_token = own_eos.or(config.eos_token).ok_or_else(|| fail("there is no end token"))?;
        let limits = ModelLimits {
            vocabulary: config.vocab_size as u32,
            context_tokens_max: config.context_tokens_max,
            eos_token,
        };
        let groups_in_flight_max = settings.decode.rollouts_max.div_ceil(4) + settings.provers;
        let ordinal = settings.ordinal;
        let (messages, inbox) = mpsc::channel();
        let (started, has_started) = mpsc::channel();
        let (is_lost, is_prepared) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicBool::new(false)));
        let flags = (is_lost.clone(), is_prepared.clone());
        let worker = Worker::new(settings, eos_token, messages.clone(), flags, watch);
        let worker = worker::spawn(worker, inbox, started)?;
        has_started.recv().map_err(|_| CudaError::Ended)??;
        let worker = Some(worker);
        Ok(Self { messages, worker, limits, tokenizer, groups_in_flight_max, ordinal, is_lost, is_prepared })
    }

    /// Submits work. Groups of lower index go first.
    ///
    /// # Errors
    /// [`CudaError::Ended`] if the engine's thread is gone.
    pub fn submit(&self, work: GroupWork, reply: Reply) -> Result<Ticket, CudaEngineError> {
        let canceled = Arc::new(AtomicBool::new(false));
        let message = Message::Group { work, reply, canceled: canceled.clone() };
        self.messages.send(message).map_err(|_| CudaError::Ended)?;
        Ok(Ticket { canceled, messages: self.messages.clone() })
    }

    /// Returns how many groups it works on at a time, those being proved included.
    pub fn groups_in_flight_max(&self) -> usize {
        self.groups_in_flight_max
    }

    /// Returns whether the device failed and cannot be set up again by this process, as after an error that breaks its
    /// context; another process may still use it.
    pub fn is_lost(&self) -> bool {
        self.is_lost.load(Ordering::Relaxed)
    }

    /// Returns whether everything that proofs of any length need is found out. That happens while it has nothing to do, and
    /// otherwise when a length first occurs.
    pub fn is_prepared(&self) -> bool {
        self.is_prepared.load(Ordering::Relaxed)
    }

    /// Returns free bytes of its device's memory.
    ///
    /// # Errors
    /// If the driver does not say.
    pub fn free_memory(&self) -> Result<u64, CudaEngineError> {
        Ok(Device::open(self.ordinal)?.memory()?.0)
    }

    /// Returns what a validator checks tokens against.
    pub fn limits(&self) -> ModelLimits {
        self.limits
    }

    /// Returns the model's tokenizer; synthetic models have none.
    pub fn tokenizer(&self) -> Option<&HfTokenizer> {
        self.tokenizer.as_ref()
    }
}

impl Drop for CudaEngine {
    fn drop(&mut self) {
        let _ = self.messages.send(Message::Stop);
        if let Some(worker) = self.worker.take() {
            // The panic hook has shown the panic already.
            let _ = worker.join();
        }
    }
}
