//! The CPU engine on its own thread, so that inference delays nothing else.

use std::collections::BTreeMap;
use std::sync::{Arc, mpsc};
use std::time::Instant;

use async_trait::async_trait;
use grail_cuda::ProofWatch;
use grail_engine::CpuEngine;
use grail_miner::ports::{Engine, EngineError, GenerateRequest};
use grail_protocol::generation::{GeneratedRollout, ModelLimits, Tokenizer};
use tokio::sync::oneshot;

/// One worker thread around a [`CpuEngine`].
///
/// Requests are served one after another, those of the lowest group index first. A request whose future was dropped
/// before its turn is skipped. A running one is canceled before its next proof; its drawing cannot be interrupted.
pub struct CpuWorker {
    engine: Arc<CpuEngine>,
    requests: mpsc::Sender<Request>,
}

struct Request {
    group: GenerateRequest,
    reply: oneshot::Sender<Result<Vec<GeneratedRollout>, EngineError>>,
}

impl CpuWorker {
    /// Starts the worker, which reports how long proofs take.
    ///
    /// # Errors
    /// If no thread can be started.
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
    let mut waiting = Waiting::default();
    while let Some(Request { group, reply }) = waiting.next(inbox) {
        if let Some(outcome) = work(engine, &group, watch, || reply.is_closed()).transpose() {
            // The caller may be gone.
            let _ = reply.send(outcome.map_err(|error| EngineError(error.to_string())));
        }
    }
}

/// Requests in the order in which they are served: by window, group index, and when they came.
#[derive(Default)]
struct Waiting {
    requests: BTreeMap<(u64, u32, u64), Request>,
    arrivals: u64,
}

impl Waiting {
    /// Returns the next request that is not canceled; none after the last one.
    fn next(&mut self, inbox: &mpsc::Receiver<Request>) -> Option<Request> {
        loop {
            if self.requests.is_empty() {
                let request = inbox.recv().ok()?;
                self.add(request);
            }
            while let Ok(request) = inbox.try_recv() {
                self.add(request);
            }
            self.requests.retain(|_, request| !request.reply.is_closed());
            if let Some((_, request)) = self.requests.pop_first() {
                return Some(request);
            }
        }
    }

    fn add(&mut self, request: Request) {
        let (window, group) = request.group.streams.first().map_or((0, 0), |first| (first.window_start, first.group));
        self.requests.insert((window, group, self.arrivals), request);
        self.arrivals += 1;
    }
}

/// As [`CpuEngine::generate_group`]; nothing if the caller is gone.
fn work(
    engine: &CpuEngine,
    group: &GenerateRequest,
    watch: &ProofWatch,
    is_canceled: impl Fn() -> bool,
) -> Result<Option<Vec<GeneratedRollout>>, grail_engine::EngineError> {
    let mut proofs = engine.draw_group(&group.prompt, &group.streams, &group.randomness, group.new_tokens_max)?;
    let mut rollouts = Vec::new();
    while !is_canceled() {
        let began = Instant::now();
        let Some(rollout) = proofs.next() else { return Ok(Some(rollouts)) };
        rollouts.push(rollout?);
        watch(began.elapsed(), 1);
    }
    Ok(None)
}

#[cfg(test)]
mod tests {
    use grail_protocol::generation::StreamKey;

    use super::*;

    type Answer = oneshot::Receiver<Result<Vec<GeneratedRollout>, EngineError>>;

    fn request(window_start: u64, group: u32) -> (Request, Answer) {
        let streams = vec![StreamKey { seed: 0, window_start, group, rollout: 0, attempt: 0 }];
        let group = GenerateRequest { prompt: vec![1], streams, randomness: String::new(), new_tokens_max: 1 };
        let (reply, answer) = oneshot::channel();
        (Request { group, reply }, answer)
    }

    #[test]
    fn the_lowest_index_of_the_earliest_window_goes_first_and_canceled_groups_never() {
        let (requests, inbox) = mpsc::channel();
        let mut answers = Vec::new();
        for (window, group) in [(30, 5), (30, 7), (60, 0), (30, 2)] {
            let (request, answer) = request(window, group);
            requests.send(request).unwrap();
            answers.push(answer);
        }
        drop(answers.remove(1));
        drop(requests);
        let mut waiting = Waiting::default();
        let served = std::iter::from_fn(|| waiting.next(&inbox));
        let served: Vec<(u64, u32)> =
            served.map(|request| (request.group.streams[0].window_start, request.group.streams[0].group)).collect();
        assert_eq!(served, [(30, 2), (30, 5), (60, 0)]);
    }

    #[test]
    fn a_request_that_is_dropped_while_it_is_worked_on_is_given_up() {
        let engine = CpuEngine::toy().unwrap();
        let (request, _answer) = request(30, 0);
        let watch: ProofWatch = Arc::new(|_, _| panic!("a proof nobody waits for"));
        let group = GenerateRequest { randomness: "ab".to_owned(), ..request.group };
        assert!(work(&engine, &group, &watch, || true).unwrap().is_none());
    }
}
