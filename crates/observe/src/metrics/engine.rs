//! Measurements by the engine's threads: duration of proofs, and memory, temperature and load of GPUs.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::{Registry, Unit};

use super::{Gauge, Registering};
use crate::control::GpuStatus;

/// Proofs per second are counted over this time.
const PROVED_LATELY: Duration = Duration::from_secs(60);
/// From the toy model to a long rollout on a slow GPU.
const PROOF_BUCKETS: [f64; 10] = [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0];

type Label = [(&'static str, String); 1];

/// How a GPU is, with everything that runs on it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct GpuFigures {
    /// Number of the GPU.
    pub ordinal: usize,
    /// Bytes that are free.
    pub free: u64,
    /// Bytes that it has.
    pub total: u64,
    /// Degrees Celsius; none where the driver does not say.
    pub temperature_c: Option<u32>,
    /// Percent of the last second in which a kernel ran; none where the driver does not say.
    pub busy_percent: Option<u32>,
}

/// Reads the figures of GPUs; those that do not answer are left out.
pub type GpuProbe = Arc<dyn Fn() -> Vec<GpuFigures> + Send + Sync>;

/// Times and counts of proved rollouts, by GPU.
type Proved = BTreeMap<usize, VecDeque<(Instant, usize)>>;

/// Duration of proofs, and the source of GPU figures. Clones share one engine.
#[derive(Clone)]
pub struct EngineMeter {
    proof_duration: Histogram,
    probe: GpuProbe,
    begun: Instant,
    proved: Arc<Mutex<Proved>>,
}

impl EngineMeter {
    /// Creates meters of an engine whose GPUs `probe` reads; a CPU has none.
    pub fn new(probe: GpuProbe) -> Self {
        let proof_duration = Histogram::new(PROOF_BUCKETS);
        Self { proof_duration, probe, begun: Instant::now(), proved: Arc::default() }
    }

    /// Returns the callback for the engine on this GPU, so that its proofs count here; a CPU is number 0.
    pub fn watch(&self, ordinal: usize) -> Arc<dyn Fn(Duration, usize) + Send + Sync> {
        let (histogram, proved) = (self.proof_duration.clone(), self.proved.clone());
        Arc::new(move |duration, rollouts| {
            let each = duration.as_secs_f64() / rollouts.max(1) as f64;
            (0..rollouts).for_each(|_| histogram.observe(each));
            let mut proved = proved.lock().unwrap_or_else(PoisonError::into_inner);
            let last = proved.entry(ordinal).or_default();
            last.push_back((Instant::now(), rollouts));
            forget_old(last);
        })
    }

    /// Returns how every GPU that answers is.
    pub fn gpus(&self) -> Vec<GpuStatus> {
        let figures = (self.probe)();
        let mut proved = self.proved.lock().unwrap_or_else(PoisonError::into_inner);
        let seconds = self.begun.elapsed().min(PROVED_LATELY).as_secs_f64();
        let status = |gpu: GpuFigures| {
            let last = proved.entry(gpu.ordinal).or_default();
            forget_old(last);
            let rollouts: usize = last.iter().map(|(_, rollouts)| rollouts).sum();
            GpuStatus {
                device: gpu.ordinal,
                memory_used_bytes: gpu.total.saturating_sub(gpu.free),
                memory_bytes: gpu.total,
                temperature_celsius: gpu.temperature_c,
                busy_percent: gpu.busy_percent,
                proofs_per_second: rollouts as f64 / seconds.max(1.0),
            }
        };
        figures.into_iter().map(status).collect()
    }
}

fn forget_old(proved: &mut VecDeque<(Instant, usize)>) {
    proved.retain(|(at, _)| at.elapsed() <= PROVED_LATELY);
}

/// The same as part of an exposition.
pub(super) struct EngineMetrics {
    meter: EngineMeter,
    used: Family<Label, Gauge>,
    free: Family<Label, Gauge>,
    temperature: Family<Label, Gauge>,
    busy: Family<Label, Gauge>,
}

impl EngineMetrics {
    pub(super) fn register(registry: &mut Registry, meter: EngineMeter) -> Self {
        let help = "To prove a rollout; of rollouts that are proved together, each has its share";
        registry.register_with_unit("proof_duration", help, Unit::Seconds, meter.proof_duration.clone());
        let mut on = Registering(registry);
        let help = "Memory of the GPU that is in use, by whatever runs on it";
        Self {
            meter,
            used: on.measured("gpu_memory_used", help, Unit::Bytes, Family::default()),
            free: on.measured("gpu_memory_free", "Memory of the GPU that is free", Unit::Bytes, Family::default()),
            temperature: on.measured("gpu_temperature", "Temperature of the GPU", Unit::Celsius, Family::default()),
            busy: on.plain("gpu_busy_ratio", "Share of the last second in which a kernel ran on the GPU"),
        }
    }

    /// Asks the GPUs; one that does not answer has no figures.
    pub(super) fn refresh(&self) {
        [&self.used, &self.free, &self.temperature, &self.busy].into_iter().for_each(Family::clear);
        for gpu in self.meter.gpus() {
            let label = [("device", gpu.device.to_string())];
            let set = |family: &Family<Label, Gauge>, value| {
                family.get_or_create(&label).set(value);
            };
            set(&self.used, gpu.memory_used_bytes as f64);
            set(&self.free, (gpu.memory_bytes - gpu.memory_used_bytes) as f64);
            if let Some(degrees) = gpu.temperature_celsius {
                set(&self.temperature, f64::from(degrees));
            }
            if let Some(percent) = gpu.busy_percent {
                set(&self.busy, f64::from(percent) / 100.0);
            }
        }
    }
}
