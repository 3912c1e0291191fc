//! What the engine's threads tell of themselves: how long proofs take, and how full the GPUs are.

use std::sync::Arc;
use std::time::Duration;

use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::{Registry, Unit};

use super::Gauge;

/// From the toy model to a long rollout on a GPU that is too slow.
const PROOF_BUCKETS: [f64; 10] = [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0];

type Label = [(&'static str, String); 1];

/// Memory of a GPU, of everything that runs on it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct GpuMemory {
    /// Number of the GPU.
    pub ordinal: usize,
    /// Bytes that are free.
    pub free: u64,
    /// Bytes that it has.
    pub total: u64,
}

/// Asks GPUs for their memory; those that do not answer are left out.
pub type MemoryProbe = Arc<dyn Fn() -> Vec<GpuMemory> + Send + Sync>;

/// What proofs take, and where the GPUs' memory is asked for. Clones tell of the same engine.
#[derive(Clone)]
pub struct EngineMeter {
    proof_duration: Histogram,
    memory: MemoryProbe,
}

impl EngineMeter {
    /// Of an engine whose GPUs are asked by `memory`; on a CPU there are none.
    pub fn new(memory: MemoryProbe) -> Self {
        Self { proof_duration: Histogram::new(PROOF_BUCKETS), memory }
    }

    /// Returns what an engine is started with, so that its proofs count here.
    pub fn watch(&self) -> Arc<dyn Fn(Duration, usize) + Send + Sync> {
        let histogram = self.proof_duration.clone();
        Arc::new(move |duration, rollouts| {
            let each = duration.as_secs_f64() / rollouts.max(1) as f64;
            (0..rollouts).for_each(|_| histogram.observe(each));
        })
    }
}

/// The same as part of an exposition.
pub(super) struct EngineMetrics {
    meter: EngineMeter,
    used: Family<Label, Gauge>,
    free: Family<Label, Gauge>,
}

impl EngineMetrics {
    pub(super) fn register(registry: &mut Registry, meter: EngineMeter) -> Self {
        let (used, free) = (Family::default(), Family::default());
        let proof = meter.proof_duration.clone();
        let help = "To prove a rollout; of rollouts that are proved together, each has its share";
        registry.register_with_unit("proof_duration", help, Unit::Seconds, proof);
        let help = "Memory of the GPU that is in use, by whatever runs on it";
        registry.register_with_unit("gpu_memory_used", help, Unit::Bytes, Family::clone(&used));
        registry.register_with_unit("gpu_memory_free", "Memory of the GPU that is free", Unit::Bytes, free.clone());
        Self { meter, used, free }
    }

    /// Asks the GPUs; one that does not answer has no figures.
    pub(super) fn refresh(&self) {
        self.used.clear();
        self.free.clear();
        for GpuMemory { ordinal, free, total } in (self.meter.memory)() {
            let label = [("device", ordinal.to_string())];
            self.used.get_or_create(&label).set(total.saturating_sub(free) as f64);
            self.free.get_or_create(&label).set(free as f64);
        }
    }
}
