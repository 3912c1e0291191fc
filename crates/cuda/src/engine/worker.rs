//! The supervising thread: sets the device up, decodes, and sets it up again when it fails.

use std::rc::Rc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Barrier, mpsc};
use std::thread::JoinHandle;
use std::time::Duration;

use grail_engine::EngineError;

use super::group_ledger::GroupLedger;
use super::pool::{Closing, Pool};
use super::proving::Proving;
use super::turns::{EndOfDrawing, Turns};
use super::{CudaSettings, Message, ProofWatch};
use crate::decode::{Decoder, Drawn};
use crate::driver::{Device, Kernels, Priority, Stream, forget_device};
use crate::error::{CudaEngineError, CudaError};
use crate::proof::{SplitHead, SummationOrders};
use crate::weights::{ExactWeights, HalfWeights, Model, check_memory};

/// Fewest rollouts that are worth decoding: one group.
const ROLLOUTS_MIN: usize = 4;
/// How often a device is set up again before it counts as lost, and the pause between.
const SET_UPS_MAX: u32 = 3;
const SET_UP_PAUSE: Duration = Duration::from_secs(1);
/// Groups that join between two steps, so that running rollouts do not wait long.
const ADMISSIONS_PER_STEP: usize = 2;

/// Resources of the thread.
pub(super) struct Worker {
    settings: CudaSettings,
    eos_token: u32,
    messages: mpsc::Sender<Message>,
    ledger: GroupLedger,
    is_stopping: bool,
    /// Set while the device cannot be set up again.
    is_lost: Arc<AtomicBool>,
    /// Set once no length needs to be checked any more.
    is_prepared: Arc<AtomicBool>,
    watch: ProofWatch,
}

/// Why decoding ended.
enum Ending {
    /// The engine was dropped.
    Stopped,
    /// The device must be set up again.
    Failed(CudaError),
}

/// Runs a worker on its own thread; sends to `started` whether the device could be set up.
#[allow(
    clippy::disallowed_methods,
    reason = "a device is driven from threads of its own, outside the deterministic core"
)]
pub(super) fn spawn(
    mut worker: Worker,
    inbox: mpsc::Receiver<Message>,
    started: mpsc::Sender<Result<(), CudaEngineError>>,
) -> Result<JoinHandle<()>, CudaEngineError> {
    let thread = std::thread::Builder::new().name("cuda".to_owned());
    thread.spawn(move || worker.run(&inbox, started)).map_err(|_| CudaError::Ended.into())
}

impl Worker {
    pub(super) fn new(
        settings: CudaSettings,
        eos_token: u32,
        messages: mpsc::Sender<Message>,
        (is_lost, is_prepared): (Arc<AtomicBool>, Arc<AtomicBool>),
        watch: ProofWatch,
    ) -> Self {
        let ledger = GroupLedger::default();
        Self { settings, eos_token, messages, ledger, is_stopping: false, is_lost, is_prepared, watch }
    }

    fn run(&mut self, inbox: &mpsc::Receiver<Message>, started: mpsc::Sender<Result<(), CudaEngineError>>) {
        let mut started = Some(started);
        let mut failures = 0;
        loop {
            match self.set_up_and_decode(inbox, &mut started) {
                Ok(Ending::Stopped) => return,
                Ok(Ending::Failed(error)) => {
                    forget_device(self.settings.ordinal);
                    self.ledger.restart(|| error.clone().into());
                    failures = 0;
                }
                Err(error) => {
                    if let Some(started) = started.take() {
                        let _ = started.send(Err(error));
                        return;
                    }
                    // The device does not come back: every waiting caller gets the error and may ask again.
                    failures += 1;
                    forget_device(self.settings.ordinal);
                    let text = error.to_string();
                    self.ledger.restart(|| lost(&text));
                    if failures >= SET_UPS_MAX {
                        self.is_lost.store(true, Ordering::Relaxed);
                        self.refuse_all(inbox, &text);
                    } else {
                        pause();
                    }
                }
            }
            if self.is_stopping {
                return;
            }
        }
    }

    fn set_up_and_decode(
        &mut self,
        inbox: &mpsc::Receiver<Message>,
        started: &mut Option<mpsc::Sender<Result<(), CudaEngineError>>>,
    ) -> Result<Ending, CudaEngineError> {
        let device = Device::open(self.settings.ordinal)?;
        let kernels = Rc::new(Kernels::load(&device, self.settings.kernel_cache.as_deref())?);
        let stream = Stream::new(&device, kernels.clone(), Priority::Normal)?;
        let mut model = Model::open(&self.settings.model)?;
        check_memory(&model.config, &device)?;
        let exact = Arc::new(ExactWeights::load(&model.config, &stream, &mut *model.tensors)?);
        drop(model);
        let half = Arc::new(HalfWeights::of(&exact, &stream)?);
        let head = |is_decided| SplitHead::new(&exact, half.clone(), &stream, is_decided).map(Arc::new);
        let head = self.settings.is_decided.map(head).transpose()?;
        let orders = SummationOrders::default();
        let (pool, turns) = (Pool::default(), Turns::default());
        let provers = self.settings.provers.max(1);
        let ready = Barrier::new(provers + 1);
        std::thread::scope(|scope| {
            // The scope waits for the proving threads, which end when the pool is closed.
            let _closing = Closing(&pool);
            for number in 0..provers {
                let proving = Proving {
                    device: device.clone(),
                    settings: self.settings.clone(),
                    weights: exact.clone(),
                    eos_token: self.eos_token,
                    head: head.clone(),
                    orders: orders.clone(),
                    pool: &pool,
                    results: self.messages.clone(),
                    turns: &turns,
                    prepared: (number == 0).then(|| self.is_prepared.clone()),
                    watch: self.watch.clone(),
                    ready: &ready,
                };
                scope.spawn(move || proving.run());
            }
            ready.wait();
            let decoder = self.decoder(&device, &kernels, &exact, &half)?;
            self.is_lost.store(false, Ordering::Relaxed);
            if let Some(started) = started.take() {
                let _ = started.send(Ok(()));
            }
            Ok(self.decode(decoder, inbox, &pool, &turns))
        })
    }

    /// Returns a decoder for as many rollouts as fit.
    fn decoder(
        &self,
        device: &Device,
        kernels: &Rc<Kernels>,
        exact: &Arc<ExactWeights>,
        half: &Arc<HalfWeights>,
    ) -> Result<Decoder, CudaError> {
        let mut settings = self.settings.decode;
        loop {
            let (exact, half) = (exact.clone(), half.clone());
            match Decoder::new(device, kernels.clone(), exact, half, settings) {
                Err(CudaError::OutOfMemory { .. }) if settings.rollouts_max > ROLLOUTS_MIN => {
                    settings.rollouts_max = (settings.rollouts_max / 2).max(ROLLOUTS_MIN);
                }
                other => return other,
            }
        }
    }

    fn decode(&mut self, mut decoder: Decoder, inbox: &mpsc::Receiver<Message>, pool: &Pool, turns: &Turns) -> Ending {
        let _end = EndOfDrawing(turns);
        let mut rollouts_max = decoder.slots().slots();
        loop {
            if !self.hear(inbox) {
                return Ending::Stopped;
            }
            self.drop_canceled(&mut decoder, pool);
            let done = match self.ledger.first_drawn() {
                Some(_) => Ok(()),
                None => self.admit(&mut decoder, rollouts_max, pool).and_then(|()| self.step(&mut decoder, pool)),
            };
            let first_drawn = self.ledger.first_drawn();
            pool.prefer(first_drawn);
            turns.set_drawing(self.ledger.is_drawing() && first_drawn.is_none());
            match done {
                Ok(()) => {}
                Err(error @ CudaError::DeviceLost { .. }) => return Ending::Failed(error),
                Err(error) => {
                    // Invalid results or too little memory: all running groups start again in a smaller batch.
                    rollouts_max = (rollouts_max / 2).max(ROLLOUTS_MIN);
                    decoder.clear();
                    self.ledger.restart(|| error.clone().into());
                }
            }
        }
    }

    /// Forgets canceled groups: their rollouts are neither drawn further nor proved.
    fn drop_canceled(&mut self, decoder: &mut Decoder, pool: &Pool) {
        let before = self.ledger.len();
        for slot in self.ledger.drop_canceled() {
            decoder.release(slot);
        }
        if self.ledger.len() < before {
            pool.retain(|finished| self.ledger.holds(finished.ticket));
        }
    }

    /// Takes in what was sent, waiting only while there is nothing to draw, or a window's first group is to be proved
    /// before more is drawn; false when the engine is dropped.
    fn hear(&mut self, inbox: &mpsc::Receiver<Message>) -> bool {
        let has_work = self.ledger.is_drawing() || self.ledger.next_to_begin(self.settings.provers).is_some();
        if self.ledger.first_drawn().is_some() || !has_work {
            self.take_in(inbox.recv().unwrap_or(Message::Stop));
        }
        while let Ok(message) = inbox.try_recv() {
            self.take_in(message);
        }
        !self.is_stopping
    }

    fn take_in(&mut self, message: Message) {
        match message {
            Message::Group { work, reply, canceled } => self.ledger.add(work, reply, canceled),
            Message::Proved(proved) => self.ledger.proved(proved.ticket, proved.index, proved.pass),
            // The ledger looks at every group's own mark.
            Message::Canceled => {}
            Message::Stop => self.is_stopping = true,
        }
    }

    fn admit(&mut self, decoder: &mut Decoder, rollouts_max: usize, pool: &Pool) -> Result<(), CudaError> {
        for _ in 0..ADMISSIONS_PER_STEP {
            let Some(work) = self.ledger.next_to_begin(self.settings.provers) else { return Ok(()) };
            let (rollouts, prompt, most) = (work.streams.len(), work.prompt.len(), work.new_tokens_max);
            if let Some(error) = self.problem(decoder, &work) {
                self.ledger.refuse_next(error.into());
                continue;
            }
            let sitting = decoder.slots().occupied().len();
            if !decoder.slots().has_room(rollouts, prompt, most) || (sitting > 0 && sitting + rollouts > rollouts_max) {
                return Ok(());
            }
            let drawn = decoder.admit(&work.prompt, &work.streams, most);
            // A failure counts as an attempt of this group, so that it is not retried forever.
            let slots: Vec<usize> = drawn.iter().flatten().map(|draw| draw.slot).collect();
            self.ledger.begin(&slots);
            self.note(decoder, &drawn?, pool);
        }
        Ok(())
    }

    /// Returns the error that makes a request impossible, if any.
    fn problem(&self, decoder: &Decoder, work: &super::GroupWork) -> Option<EngineError> {
        let tokens = work.prompt.len() + work.new_tokens_max;
        let vocabulary = decoder.vocabulary();
        let outside = work.prompt.iter().position(|token| *token as usize >= vocabulary);
        if work.prompt.is_empty() || work.streams.is_empty() || work.new_tokens_max == 0 {
            return Some(EngineError::EmptySequence);
        }
        if let Some(position) = outside {
            return Some(EngineError::TokenOutsideVocabulary { token: work.prompt[position], position, vocabulary });
        }
        let could = decoder.slots().could_ever_fit(work.streams.len(), work.prompt.len(), work.new_tokens_max);
        if tokens > decoder.tokens_max() || !could {
            return Some(EngineError::SequenceTooLong { tokens, context: decoder.tokens_max() });
        }
        None
    }

    fn step(&mut self, decoder: &mut Decoder, pool: &Pool) -> Result<(), CudaError> {
        let drawn = decoder.step()?;
        self.note(decoder, &drawn, pool);
        Ok(())
    }

    fn note(&mut self, decoder: &mut Decoder, drawn: &[Drawn], pool: &Pool) {
        for Drawn { slot, token, logprob } in drawn {
            if let Some(finished) = self.ledger.draw(*slot, *token, *logprob, self.eos_token) {
                decoder.release(*slot);
                pool.put(finished);
            }
        }
    }

    /// Answers everything with the error, until the engine is dropped or somebody asks again.
    fn refuse_all(&mut self, inbox: &mpsc::Receiver<Message>, text: &str) {
        while self.ledger.next_waiting().is_some() {
            self.ledger.refuse_next(lost(text));
        }
        self.take_in(inbox.recv().unwrap_or(Message::Stop));
    }
}

/// A GPU that resets itself is unavailable for a moment.
#[allow(clippy::disallowed_methods, reason = "a device is driven from threads of its own, outside the core")]
fn pause() {
    std::thread::sleep(SET_UP_PAUSE);
}

fn lost(text: &str) -> CudaEngineError {
    CudaError::DeviceLost { call: "setting the device up again", name: text.to_owned() }.into()
}
