//! The rivals, and the weights that a validator gives to all by its rules.

use grail_protocol::PROTOCOL;
use grail_sim::speeds::EngineSpeed;
use grail_sim::stream::Stream;
use grail_verify::sampling::select_miners;
use grail_verify::score::{History, ROLLING_WINDOWS, WindowRecord, weights};

use super::window::MinedWindow;
use super::{Estimate, Gpu};

/// The slowest rival has this share of the measured GPU's speed: that of the Python miner on the same GPU.
const SLOWEST_SHARE: f64 = 1.0 / 72.0;
/// The GPU that was measured.
const MEASURED: &str = "h200";
const US: &str = "us";

/// Every miner of the subnet, ourselves first.
pub(super) struct Field {
    seed: u64,
    names: Vec<String>,
    /// Each rival as its own estimate.
    rivals: Vec<Estimate>,
}

/// Our place in the field.
pub(super) struct Standing {
    pub(super) weights: Vec<f64>,
    pub(super) unique_mean: f64,
    pub(super) place: usize,
}

impl Field {
    /// Returns the rivals of this estimate: honest, on the measured GPU, as fast as between the Python miner and this
    /// one.
    pub(super) fn new(estimate: &Estimate) -> Self {
        let measured = EngineSpeed::named(MEASURED).map(|speed| Gpu::of_engine(&speed)).unwrap_or(estimate.gpu);
        let rival = |number: u32| {
            let mut stream = Stream::new(estimate.seed, "estimate/rival", number);
            let share = SLOWEST_SHARE + (1.0 - SLOWEST_SHARE) * stream.below(1_000) as f64 / 1_000.0;
            let gpu = Gpu::of(measured.tokens_per_s * share, measured.proof_ms / share);
            Estimate { seed: stream.bits(), gpu, policy: Default::default(), safety_blocks: 1, ..*estimate }
        };
        let names = std::iter::once(US.to_owned()).chain((0..estimate.rivals).map(|number| format!("rival-{number}")));
        Self { seed: estimate.seed, names: names.collect(), rivals: (0..estimate.rivals).map(rival).collect() }
    }

    /// Lets a validator check and weigh every window.
    pub(super) fn weigh(&self, ours: &[MinedWindow]) -> Standing {
        let mut history = History::new();
        let mut checks = vec![0; self.names.len()];
        let mut sums = vec![0.0; self.names.len()];
        let (mut our_weights, mut our_unique, mut our_checks) = (Vec::new(), 0, 0);
        for (window, mined) in (0u64..).zip(ours) {
            let window_start = window * PROTOCOL.window_blocks;
            let active: Vec<(&str, u32)> = self.names.iter().map(String::as_str).zip(checks.iter().copied()).collect();
            let drawn = select_miners(&active, &format!("{}/block/{window_start}", self.seed));
            for (number, name) in self.names.iter().enumerate().filter(|(_, name)| drawn.contains(&name.as_str())) {
                checks[number] += 1;
                let mut draw = Stream::new(self.seed, "estimate/draw", format!("{window}/{number}"));
                let unique = match number.checked_sub(1) {
                    None => mined.counted(&mut draw),
                    Some(rival) => MinedWindow::live(&self.rivals[rival], window).counted(&mut draw),
                };
                if number == 0 {
                    our_unique += unique;
                    our_checks += 1;
                }
                let windows = history.entry(name.clone()).or_default();
                windows.insert(window_start, WindowRecord { unique, had_failure: false });
            }
            let burnt = ("burn", 0);
            let miners: Vec<(&str, u16)> =
                std::iter::once(burnt).chain(self.names.iter().map(String::as_str).zip(1..)).collect();
            let given = weights(&history, &miners, window_start);
            our_weights.push(given[1]);
            sums.iter_mut().zip(&given[1..]).for_each(|(sum, weight)| *sum += weight);
        }
        let place = 1 + sums[1..].iter().filter(|sum| **sum > sums[0]).count();
        Standing { weights: our_weights, unique_mean: our_unique as f64 / f64::from(our_checks.max(1)), place }
    }
}

/// Returns the mean once twelve windows count; of all values if there are fewer.
pub(super) fn settled_mean(weights: &[f64]) -> f64 {
    let settled = weights.get(ROLLING_WINDOWS as usize..).filter(|rest| !rest.is_empty()).unwrap_or(weights);
    settled.iter().sum::<f64>() / settled.len().max(1) as f64
}
