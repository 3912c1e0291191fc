//! The CPU engine on a thread of its own, so that inference holds up nothing else.

use std::sync::{Arc, mpsc};
use std::time::Instant;

use async_trait::async_trait;
use grail_cuda::ProofWatch;
use grail_engine::CpuEngine;
use grail_engine::cpu::SampledRollout;
use grail_miner::ports::{Engine, EngineError, GenerateRequest};
use grail_protocol::generation::{GeneratedRollout, ModelLimits, Tokenizer};
use tokio::sync::oneshot;

/// One worker thread around a [`CpuEngine`].
///
/// Requests are served one after another. A request whose future was dropped before its turn is skipped; one that is being
/// worked on is finished and thrown away, since the network cannot be interrupted.
pub struct CpuWorker {
    engine: Arc<CpuEngine>,
    requests: mpsc::Sender<Request>,
}

struct Request {
    group: GenerateRequest,
    reply: oneshot::Sender<Result<Vec<GeneratedRollout>, EngineError>>,
}

impl CpuWorker {
    /// Starts the worker.
    ///
    /// # Errors
    /// If the system gives no thread.
    pub fn start(engine: CpuEngine) -> std::io::Result<Self> {
        Self::start_watched(engine, Arc::new(|_, _| {}))
    }

    /// As [`CpuWorker::start`], and tell what proofs take.
    ///
    /// # Errors
    /// As [`CpuWorker::start`].
    pub fn start_watched(engine: CpuEngine, watch: ProofWatch) -> std::io::Result<Self> {
        let engine = Arc::new(engine);
        let (requests, inbox) = mpsc::channel();
        let worker = engine.clone();
        std::thread::Builder::new().name("engine".to_owned()).spawn(move || serve(&worker, &inbox, &watch))?;
        Ok(Self { engine, requests })
    }
}

#[async_trait(?Send)]
impl Engine for CpuWorker {
    async fn generate(&self, request: &GenerateRequest) -> Result<Vec<GeneratedRollout>, EngineError> {
        let ended = || EngineError("the engine's thread has ended; restart the miner".to_owned());
        let (reply, answer) = oneshot::channel();
        self.requests.send(Request { group: request.clone(), reply }).map_err(|_| ended())?;
        answer.await.map_err(|_| ended())?
    }

    fn groups_in_flight_max(&self) -> usize {
        1
    }

    fn limits(&self) -> ModelLimits {
        self.engine.limits()
    }

    fn tokenizer(&self) -> &dyn Tokenizer {
        self.engine.tokenizer()
    }
}

fn serve(engine: &CpuEngine, inbox: &mpsc::Receiver<Request>, watch: &ProofWatch) {
    for Request { group, reply } in inbox {
        if reply.is_closed() {
            continue;
        }
        // Nobody may wait for the answer any more.
        let _ = reply.send(work(engine, &group, watch).map_err(|error| EngineError(error.to_string())));
    }
}

/// As [`CpuEngine::generate_group`], with an eye on the clock.
fn work(
    engine: &CpuEngine,
    group: &GenerateRequest,
    watch: &ProofWatch,
) -> Result<Vec<GeneratedRollout>, grail_engine::EngineError> {
    let prove = |rollout: SampledRollout| {
        let began = Instant::now();
        let pass = engine.proof_pass(&rollout.tokens, &group.randomness)?;
        watch(began.elapsed(), 1);
        let SampledRollout { tokens, prompt_length, token_logprobs } = rollout;
        Ok(GeneratedRollout { tokens, prompt_length, token_logprobs, pass })
    };
    let sampled = engine.generate_tokens(&group.prompt, &group.streams, group.new_tokens_max)?;
    sampled.into_iter().map(prove).collect()
}
