//! CUDA engines as the core's engine port: groups are spread over the devices.

use std::cell::Cell;

use async_trait::async_trait;
use grail_cuda::{CudaEngine, CudaSettings, GroupWork, ProofWatch};
use grail_engine::HfTokenizer;
use grail_miner::ports::{Engine, EngineError, GenerateRequest};
use grail_protocol::generation::{GeneratedRollout, ModelLimits, Tokenizer};
use tokio::sync::oneshot;

/// One engine per device, all with the same model.
pub struct CudaWorkers {
    devices: Vec<Share>,
    tokenizer: HfTokenizer,
    limits: ModelLimits,
}

/// A device, and how many groups it has in hand.
struct Share {
    engine: CudaEngine,
    pending: Cell<usize>,
}

/// Why the devices cannot be put to work.
#[derive(Debug, thiserror::Error)]
pub enum CudaWorkersError {
    /// No device was named.
    #[error("no CUDA device is named; give --device cuda, or several GPUs as in --device cuda:0,1")]
    NoDevice,
    /// The model cannot be mined with.
    #[error("the model {0} has no tokenizer, and prompts are text; use a folder or a hub id")]
    NoTokenizer(String),
    /// A device or the model cannot be used.
    #[error(transparent)]
    Engine(#[from] grail_cuda::CudaEngineError),
}

impl CudaWorkers {
    /// Starts an engine for each settings, which differ in the device alone; `watch` hears what proofs take.
    ///
    /// # Errors
    /// [`CudaWorkersError`] if one cannot start.
    pub fn start(settings: Vec<CudaSettings>, watch: &dyn Fn(usize) -> ProofWatch) -> Result<Self, CudaWorkersError> {
        let first = settings.first().ok_or(CudaWorkersError::NoDevice)?;
        let model = first.model.clone();
        let tokenizer = grail_cuda::weights::Model::open(&model)?.tokenizer;
        let tokenizer = tokenizer.ok_or(CudaWorkersError::NoTokenizer(model))?;
        let start = |settings: CudaSettings| {
            let watch = watch(settings.ordinal);
            Ok(Share { engine: CudaEngine::start_watched(settings, watch)?, pending: Cell::new(0) })
        };
        let devices = settings.into_iter().map(start).collect::<Result<Vec<Share>, CudaWorkersError>>()?;
        let limits = devices.first().ok_or(CudaWorkersError::NoDevice)?.engine.limits();
        Ok(Self { devices, tokenizer, limits })
    }

    /// Returns the device with the fewest groups in hand; the first of equal ones. Lost ones get no more.
    fn least_busy(&self) -> Option<&Share> {
        self.devices.iter().filter(|share| !share.engine.is_lost()).min_by_key(|share| share.pending.get())
    }

    /// Returns whether no device can be used any more in this process.
    pub fn is_lost(&self) -> bool {
        self.devices.iter().all(|share| share.engine.is_lost())
    }
}

#[async_trait(?Send)]
impl Engine for CudaWorkers {
    async fn generate(&self, request: &GenerateRequest) -> Result<Vec<GeneratedRollout>, EngineError> {
        let ended = || EngineError("the engine's thread has ended; restart the miner".to_owned());
        let share = self.least_busy().ok_or_else(ended)?;
        let _pending = Pending::new(&share.pending);
        let GenerateRequest { prompt, streams, randomness, new_tokens_max } = request.clone();
        let (reply, answer) = oneshot::channel();
        let work = GroupWork { prompt, streams, randomness, new_tokens_max };
        // Nobody may wait for the answer any more.
        let reply = Box::new(move |outcome| drop(reply.send(outcome)));
        let failed = |error: grail_cuda::CudaEngineError| EngineError(error.to_string());
        let _ticket = share.engine.submit(work, reply).map_err(failed)?;
        answer.await.map_err(|_| ended())?.map_err(failed)
    }

    fn groups_in_flight_max(&self) -> usize {
        self.devices.iter().map(|share| share.engine.groups_in_flight_max()).sum()
    }

    fn limits(&self) -> ModelLimits {
        self.limits
    }

    fn tokenizer(&self) -> &dyn Tokenizer {
        &self.tokenizer
    }
}

/// Counts a group in hand for as long as it lives, also where its future is dropped.
struct Pending<'a>(&'a Cell<usize>);

impl<'a> Pending<'a> {
    fn new(count: &'a Cell<usize>) -> Self {
        count.set(count.get() + 1);
        Self(count)
    }
}

impl Drop for Pending<'_> {
    fn drop(&mut self) {
        self.0.set(self.0.get() - 1);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_group_counts_until_it_is_dropped() {
        let count = Cell::new(0);
        {
            let _first = Pending::new(&count);
            let _second = Pending::new(&count);
            assert_eq!(count.get(), 2);
        }
        assert_eq!(count.get(), 0);
    }

    #[test]
    fn without_a_device_nothing_starts() {
        let watch = |_| -> ProofWatch { std::sync::Arc::new(|_, _| {}) };
        assert!(CudaWorkers::start(Vec::new(), &watch).err().unwrap().to_string().contains("--device"));
        let error = CudaWorkers::start(vec![CudaSettings::new("synthetic:tiny:1", 0)], &watch).err().unwrap();
        assert!(error.to_string().contains("no tokenizer"), "{error}");
    }
}
