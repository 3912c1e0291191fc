//! Check `token_distribution_valid`, the soft one: do the chosen tokens' probabilities look like sampling?

mod bounded;
mod numpy;

pub(crate) use bounded::is_decided;

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

/// Judges the probabilities of a completion's tokens under the raw softmax; an error is a soft failure.
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

/// Returns the statistics that the reference computes with numpy, of at least one probability.
///
/// They have numpy's bits where numpy takes powers from the C library. On processors with AVX-512 it has its own faster
/// power, which misses the last bit of one value in 40; then skew, kurtosis and bc may differ in the last bits.
pub fn metrics(probabilities: &[f64]) -> DistributionMetrics {
    let n = probabilities.len() as f64;
    let share = |predicate: &dyn Fn(f64) -> bool| probabilities.iter().filter(|p| predicate(**p)).count() as f64 / n;
    let low_frac = share(&|p| p <= LOW_PROBABILITY);
    let high_frac = share(&|p| p >= HIGH_PROBABILITY);
    let mean = numpy::mean(probabilities);
    let mean_of =
        |term: &dyn Fn(f64) -> f64| numpy::mean(&probabilities.iter().map(|p| term(p - mean)).collect::<Vec<_>>());
    let variance = mean_of(&|distance| distance * distance);
    let (skew, kurtosis) = if variance <= 1e-12 {
        (0.0, 3.0)
    } else {
        let moment = |exponent: f64| mean_of(&|distance| numpy::power(distance, exponent));
        let skew = moment(3.0) / (numpy::power(variance, 1.5) + 1e-12);
        (skew, moment(4.0) / (numpy::power(variance, 2.0) + 1e-12))
    };
    let mut sorted = probabilities.to_vec();
    sorted.sort_unstable_by(f64::total_cmp);
    DistributionMetrics {
        n,
        mean,
        median: numpy::median(&sorted),
        q10: numpy::quantile(&sorted, 0.10),
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

#[cfg(test)]
mod tests {
    use super::*;

    /// `low` probabilities of 0.05 among others of 0.95, spread evenly.
    fn two_peaks(count: usize, low: usize) -> Vec<f64> {
        (0..count).map(|i| if i * low / count < (i + 1) * low / count { 0.05 } else { 0.95 }).collect()
    }

    #[test]
    fn thirty_probabilities_are_the_fewest_that_are_judged() {
        assert_eq!(check(&[]), Err(Reason::Insufficient));
        assert_eq!(check(&[0.8; STEPS_MIN - 1]), Err(Reason::Insufficient));
        assert_eq!(check(&[0.8; STEPS_MIN]), Ok(()));
    }

    #[test]
    fn a_median_at_the_threshold_is_suspicious_and_one_above_it_is_not() {
        assert_eq!(check(&[0.30; 40]), Err(Reason::Suspicious));
        assert_eq!(check(&[0.300_001; 40]), Ok(()));
        // Of an even number, the median is between the two in the middle.
        let halves = |high: f64| [vec![0.25; 20], vec![high; 20]].concat();
        assert_eq!(check(&halves(0.35)), Err(Reason::Suspicious));
        assert_eq!(check(&halves(0.36)), Ok(()));
    }

    #[test]
    fn one_improbable_token_is_suspicious_at_any_position() {
        for position in [0, 20, 99] {
            let with = |probability| {
                let mut probabilities = vec![0.8; 100];
                probabilities[position] = probability;
                check(&probabilities)
            };
            assert_eq!(with(1e-5), Err(Reason::Suspicious), "position {position}");
            assert_eq!(with(1.01e-5), Ok(()), "position {position}");
        }
    }

    #[test]
    fn two_peaks_are_suspicious_once_the_lower_one_reaches_the_tenth() {
        let peaks = two_peaks(100, 20);
        assert!(metrics(&peaks).bc >= BIMODALITY_MIN && metrics(&peaks).q10 <= LOW_QUANTILE_MAX);
        assert_eq!(check(&peaks), Err(Reason::Suspicious));
        // Nine of a hundred leave the 10 % quantile on the upper peak, even if the rest is bimodal.
        let few = two_peaks(100, 9);
        assert!(metrics(&few).bc >= BIMODALITY_MIN && metrics(&few).q10 > LOW_QUANTILE_MAX);
        assert_eq!(check(&few), Ok(()));
    }

    #[test]
    fn a_low_tenth_alone_is_not_suspicious() {
        // Shuffled, so that the first steps are spread like all.
        let even: Vec<f64> = (0..100).map(|i| 0.02 + 0.93 * f64::from(i * 37 % 100) / 99.0).collect();
        let metrics = metrics(&even);
        assert!(metrics.q10 <= LOW_QUANTILE_MAX && metrics.bc < BIMODALITY_MIN, "{metrics:?}");
        assert_eq!(check(&even), Ok(()));
    }

    #[test]
    fn the_first_steps_are_judged_by_themselves() {
        let peaks_first = [two_peaks(INITIAL_STEPS, 8), vec![0.8; 400]].concat();
        assert!(!is_bimodal(&metrics(&peaks_first)));
        assert_eq!(check(&peaks_first), Err(Reason::Suspicious));
        let peaks_later = [vec![0.8; 400], two_peaks(INITIAL_STEPS, 8)].concat();
        assert_eq!(check(&peaks_later), Ok(()));
    }
}
