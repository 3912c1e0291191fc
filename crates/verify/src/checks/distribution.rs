//! Check `token_distribution_valid`, the soft one: do the chosen tokens' probabilities look like sampling?

use crate::verdict::Reason;

/// Statistics of chosen-token probabilities.
#[derive(Debug, Clone, Copy, PartialEq)]
#[allow(missing_docs, reason = "the names are the reference's own")]
pub struct DistributionMetrics {
    pub n: f64,
    pub mean: f64,
    pub median: f64,
    pub q10: f64,
    pub low_frac: f64,
    pub high_frac: f64,
    pub mid_frac: f64,
    pub skew: f64,
    pub kurtosis: f64,
    pub bc: f64,
}

const STEPS_MIN: usize = 30;
const INITIAL_STEPS: usize = 35;
const MEDIAN_LOW_MAX: f64 = 0.30;
const TOKEN_PROBABILITY_MIN: f64 = 1e-5;
const LOW_QUANTILE_MAX: f64 = 0.15;
const BIMODALITY_MIN: f64 = 0.58;
const LOW_PROBABILITY: f64 = 0.10;
const HIGH_PROBABILITY: f64 = 0.90;

/// Judge the probabilities of a completion's tokens under the raw softmax; an error is a soft failure.
pub fn check(probabilities: &[f64]) -> Result<(), Reason> {
    if probabilities.len() < STEPS_MIN {
        return Err(Reason::Insufficient);
    }
    let whole = metrics(probabilities);
    let initial = metrics(&probabilities[..probabilities.len().min(INITIAL_STEPS)]);
    let lowest = probabilities.iter().copied().fold(f64::INFINITY, f64::min);
    let suspicious =
        whole.median <= MEDIAN_LOW_MAX || lowest <= TOKEN_PROBABILITY_MIN || is_bimodal(&whole) || is_bimodal(&initial);
    if suspicious { Err(Reason::Suspicious) } else { Ok(()) }
}

/// The statistics that the reference computes; all zero but the kurtosis for no probabilities at all.
pub fn metrics(probabilities: &[f64]) -> DistributionMetrics {
    let n = probabilities.len() as f64;
    let share = |predicate: &dyn Fn(f64) -> bool| probabilities.iter().filter(|p| predicate(**p)).count() as f64 / n;
    let low_frac = share(&|p| p <= LOW_PROBABILITY);
    let high_frac = share(&|p| p >= HIGH_PROBABILITY);
    let mean = mean_of(probabilities.iter().copied());
    let moment = |power: i32| mean_of(probabilities.iter().map(|p| (p - mean).powi(power)));
    let variance = moment(2);
    let (skew, kurtosis) = if variance <= 1e-12 {
        (0.0, 3.0)
    } else {
        (moment(3) / (variance * variance.sqrt() + 1e-12), moment(4) / (variance * variance + 1e-12))
    };
    let mut sorted = probabilities.to_vec();
    sorted.sort_by(f64::total_cmp);
    DistributionMetrics {
        n,
        mean,
        median: quantile(&sorted, 0.5),
        q10: quantile(&sorted, 0.10),
        low_frac,
        high_frac,
        mid_frac: (1.0 - low_frac - high_frac).max(0.0),
        skew,
        kurtosis,
        bc: (skew * skew + 1.0) / kurtosis.max(1e-6),
    }
}

fn is_bimodal(metrics: &DistributionMetrics) -> bool {
    metrics.q10 <= LOW_QUANTILE_MAX && metrics.bc >= BIMODALITY_MIN
}

/// Linear interpolation between the two nearest of the sorted values.
fn quantile(sorted: &[f64], share: f64) -> f64 {
    if sorted.is_empty() {
        return 0.0;
    }
    let position = share * (sorted.len() - 1) as f64;
    let below = position.floor() as usize;
    let above = (below + 1).min(sorted.len() - 1);
    let fraction = position - below as f64;
    let span = sorted[above] - sorted[below];
    // numpy interpolates from the nearer end.
    if fraction >= 0.5 { sorted[above] - span * (1.0 - fraction) } else { sorted[below] + span * fraction }
}

fn mean_of(values: impl ExactSizeIterator<Item = f64>) -> f64 {
    let count = values.len() as f64;
    values.sum::<f64>() / count
}
