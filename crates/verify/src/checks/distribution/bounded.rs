//! The verdict on probabilities that are known within bounds.

use grail_protocol::generation::Bounds;

use super::{BIMODALITY_MIN, INITIAL_STEPS, LOW_QUANTILE_MAX, MEDIAN_LOW_MAX, STEPS_MIN, TOKEN_PROBABILITY_MIN, numpy};

/// Room for the rounding of float64 in the statistics, relative and absolute.
const ROUNDING: f64 = 1e-9;
/// Variance that the statistics count as none.
const VARIANCE_NONE: f64 = 1e-12;

/// Returns whether `value <= limit`; none where the bounds leave it open.
fn at_most(value: Bounds, limit: f64) -> Option<bool> {
    match () {
        () if value.high + ROUNDING * limit <= limit => Some(true),
        () if value.low - ROUNDING * limit > limit => Some(false),
        () => None,
    }
}

/// Returns whether [`super::check`] gives one verdict for all probabilities within these bounds.
pub(crate) fn is_decided(probabilities: &[Bounds]) -> bool {
    if !probabilities.iter().all(|p| p.low <= p.high && p.high.is_finite()) {
        return false;
    }
    if probabilities.len() < STEPS_MIN {
        return true;
    }
    let sorted = Sorted::of(probabilities);
    let initial = &probabilities[..probabilities.len().min(INITIAL_STEPS)];
    let conditions = [
        at_most(sorted.both(numpy::median), MEDIAN_LOW_MAX),
        at_most(sorted.both(|sorted| sorted[0]), TOKEN_PROBABILITY_MIN),
        bimodal(probabilities, &sorted),
        bimodal(initial, &Sorted::of(initial)),
    ];
    conditions.contains(&Some(true)) || conditions == [Some(false); 4]
}

/// The lower bounds by size, and the upper ones: between the k-th of each lies the k-th smallest probability.
struct Sorted {
    low: Vec<f64>,
    high: Vec<f64>,
}

impl Sorted {
    fn of(probabilities: &[Bounds]) -> Self {
        let sorted = |bound: fn(&Bounds) -> f64| {
            let mut values: Vec<f64> = probabilities.iter().map(bound).collect();
            values.sort_unstable_by(f64::total_cmp);
            values
        };
        Self { low: sorted(|p| p.low), high: sorted(|p| p.high) }
    }

    /// Returns the bounds of a statistic that grows with every probability.
    fn both(&self, statistic: impl Fn(&[f64]) -> f64) -> Bounds {
        Bounds { low: statistic(&self.low), high: statistic(&self.high) }
    }
}

/// Returns whether there are two peaks, the lower one at the tenth; none where the bounds leave it open.
fn bimodal(probabilities: &[Bounds], sorted: &Sorted) -> Option<bool> {
    let low_tenth = at_most(sorted.both(|sorted| numpy::quantile(sorted, 0.10)), LOW_QUANTILE_MAX);
    if low_tenth == Some(false) {
        return Some(false);
    }
    let coefficient = bimodality(probabilities);
    match () {
        () if coefficient.low >= BIMODALITY_MIN => low_tenth,
        () if coefficient.high < BIMODALITY_MIN => Some(false),
        () => None,
    }
}

/// Returns the bounds of the bimodality coefficient, from those of the second to fourth central moments.
fn bimodality(probabilities: &[Bounds]) -> Bounds {
    let mean = |of: &dyn Fn(&Bounds) -> f64| probabilities.iter().map(of).sum::<f64>() / probabilities.len() as f64;
    let centre = mean(&|p| (p.low + p.high) / 2.0);
    let radius = |p: &Bounds| (p.high - p.low) / 2.0;
    let mean_radius = mean(&radius);
    // A probability and the mean may both lie elsewhere; their distance differs by no more than both radii.
    let distance = |p: &Bounds| ((p.low + p.high) / 2.0 - centre, radius(p) + mean_radius);
    let smallest = |p: &Bounds| distance(p).0.abs() - distance(p).1;
    let largest = |p: &Bounds| distance(p).0.abs() + distance(p).1;
    let variance = around(mean(&|p| smallest(p).max(0.0).powi(2)), mean(&|p| largest(p).powi(2)));
    let fourth = around(mean(&|p| smallest(p).max(0.0).powi(4)), mean(&|p| largest(p).powi(4)));
    let third = Bounds {
        low: mean(&|p| (distance(p).0 - distance(p).1).powi(3)),
        high: mean(&|p| (distance(p).0 + distance(p).1).powi(3)),
    };
    if variance.low <= 2.0 * VARIANCE_NONE {
        return Bounds { low: f64::NEG_INFINITY, high: f64::INFINITY };
    }
    let third_least = if third.low <= 0.0 && third.high >= 0.0 { 0.0 } else { third.low.abs().min(third.high.abs()) };
    let third = around(third_least, third.low.abs().max(third.high.abs()));
    let ratio = |above: Bounds, below: fn(f64) -> f64| {
        let (low, high) = (below(variance.low), below(variance.high));
        around(above.low / high, above.high / low)
    };
    let skew = ratio(third, |variance| variance.powf(1.5) + 1e-12);
    let kurtosis = ratio(fourth, |variance| variance.powi(2) + 1e-12);
    around((skew.low.powi(2) + 1.0) / kurtosis.high.max(1e-6), (skew.high.powi(2) + 1.0) / kurtosis.low.max(1e-6))
}

/// Bounds of a number that is not negative, with room for rounding.
fn around(low: f64, high: f64) -> Bounds {
    Bounds { low: low * (1.0 - ROUNDING) - 1e-15, high: high * (1.0 + ROUNDING) + 1e-15 }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::check;
    use super::*;

    /// Bounds whose odds lie a factor `factor` below and above those of `p`.
    fn near(p: f64, factor: f64) -> Bounds {
        Bounds { low: p / (p + (1.0 - p) * factor), high: p * factor / (p * factor + 1.0 - p) }
    }

    fn all(probabilities: &[f64], factor: f64) -> Vec<Bounds> {
        probabilities.iter().map(|p| near(*p, factor)).collect()
    }

    #[test]
    fn a_threshold_between_the_bounds_is_open_and_beside_them_it_is_not() {
        let with = |p: f64| [vec![0.8; 99], vec![p]].concat();
        for (p, decided) in [(0.9e-5, true), (0.99e-5, false), (1.01e-5, false), (1.1e-5, true)] {
            assert_eq!(is_decided(&all(&with(p), 1.02)), decided, "lowest {p}");
        }
        for (p, decided) in [(0.28, true), (0.299, false), (0.301, false), (0.32, true)] {
            assert_eq!(is_decided(&all(&[p; 50], 1.02)), decided, "median {p}");
        }
        assert!(is_decided(&all(&[0.3; STEPS_MIN - 1], 1.02)), "too few are never judged");
        assert!(!is_decided(&[Bounds { low: f64::NAN, high: 0.5 }; 40]));
    }

    #[test]
    fn peaks_are_decided_away_from_the_threshold() {
        let peaks = |low: usize| (0..100).map(move |i| if i * low / 100 < (i + 1) * low / 100 { 0.05 } else { 0.95 });
        for low in [5, 20] {
            assert!(is_decided(&all(&peaks(low).collect::<Vec<_>>(), 1.02)), "{low} of 100 low");
        }
        // A tenth is at the edge of the quantile.
        let edge: Vec<f64> = (0..100).map(|i| if i % 7 == 0 { 0.15 } else { 0.95 }).collect();
        assert!(check(&edge).is_err());
        assert!(!is_decided(&all(&edge, 1.02)));
    }

    /// Probabilities as models give them: most near one, some anywhere, few tiny; often near what the check compares with.
    fn probabilities() -> impl Strategy<Value = Vec<f64>> {
        let usual = prop_oneof![
            6 => 0.5f64..0.9999,
            2 => 0.01f64..0.5,
            1 => 0.25f64..0.35,
            1 => 0.13f64..0.17,
        ];
        let tiny = prop_oneof![4 => Just(None), 1 => (-12.5f64..-10.5).prop_map(|ln| Some(ln.exp()))];
        (prop::collection::vec(usual, 30..120), tiny, 0.0f64..1.0, 0.02f64..0.3).prop_map(
            |(mut all, tiny, low_share, low)| {
                let count = all.len();
                for (i, p) in all.iter_mut().enumerate() {
                    if (i * 7919 % count) as f64 <= low_share * low_share * count as f64 * 0.5 {
                        *p = low;
                    }
                }
                if let Some(tiny) = tiny {
                    all[count / 2] = tiny;
                }
                all
            },
        )
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2000))]

        /// The oracle is the check itself at many points within the bounds, its corners among them.
        #[test]
        fn where_it_is_decided_every_point_within_the_bounds_has_one_verdict(
            centre in probabilities(),
            factor in prop_oneof![Just(1.001), Just(1.05), 1.1f64..2.0],
            shares in prop::collection::vec(prop::collection::vec(0.0f64..=1.0, 120), 6),
        ) {
            let bounds = all(&centre, factor);
            if !is_decided(&bounds) {
                return Ok(());
            }
            let at = |share: &dyn Fn(usize) -> f64| -> Vec<f64> {
                bounds.iter().enumerate().map(|(i, p)| p.low + share(i) * (p.high - p.low)).collect()
            };
            let verdict = check(&at(&|_| 0.5));
            let mut points = vec![at(&|_| 0.0), at(&|_| 1.0), centre.clone()];
            points.extend(shares.iter().map(|share| at(&|i| share[i])));
            points.extend(shares.iter().map(|share| at(&|i| share[i].round())));
            // Towards two peaks, and away from them.
            points.push(at(&|i| if centre[i] < 0.5 { 0.0 } else { 1.0 }));
            points.push(at(&|i| if centre[i] < 0.5 { 1.0 } else { 0.0 }));
            for point in points {
                prop_assert_eq!(check(&point), verdict);
            }
        }
    }

    /// Else the property above would hold for a function that always says no.
    #[test]
    fn with_tight_bounds_nearly_everything_is_decided() {
        use proptest::strategy::ValueTree;
        use proptest::test_runner::TestRunner;
        let mut runner = TestRunner::deterministic();
        let mut decided = |factor: f64| {
            let tried = (0..500).map(|_| probabilities().new_tree(&mut runner).unwrap().current());
            tried.filter(|centre| is_decided(&all(centre, factor))).count()
        };
        let (tight, wide) = (decided(1.0001), decided(1.5));
        assert!(tight >= 490 && wide >= 50 && wide < tight, "{tight} and {wide} of 500");
    }
}
