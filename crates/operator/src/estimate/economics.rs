//! Earnings and cost of a GPU per day.

use grail_estimate::Estimate;
use serde::Serialize;

/// Alpha that a subnet's miners get a day, as subtensor divides it (`pallets/subtensor/src/coinbase/run_coinbase.rs`): a
/// day has 7,200 blocks, and a block makes one alpha while the subnet has less than 10.5 million. The owner gets 18 % of
/// it (`SubnetOwnerCut` is 11,796 of 65,535), the miners half of the rest.
pub const ALPHA_PER_DAY: f64 = 7_200.0 * 0.82 / 2.0;
/// Why, for a reader of the figures.
const ASSUMED: &str = "an assumption, that each of 7,200 blocks makes one alpha, of which the subnet's owner gets 18 % and \
                       the miners half of the rest; a subnet with more than 10.5 million alpha makes half of it or less; \
                       --alpha-per-day states another number";
/// Range of speeds in which the break-even is searched, in percent.
const PERCENT: (u64, u64) = (5, 1_000);

/// Prices, all in one currency.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Prices {
    /// Of an hour of the GPU.
    pub hour: f64,
    /// Of one alpha; none if it is not known.
    pub alpha: Option<f64>,
    /// Alpha that all miners of the subnet get a day, burnt weight included.
    pub alpha_per_day: f64,
}

/// The least, the mean and the most over several seeds.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Range {
    /// The least.
    pub least: f64,
    /// The mean.
    pub mean: f64,
    /// The most.
    pub most: f64,
}

/// Earnings and cost of a GPU per day.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Economics {
    /// Seeds that were simulated.
    pub seeds: u64,
    /// Cost per day.
    pub cost: f64,
    /// Alpha that all miners of the subnet get a day, which was assumed or stated.
    pub alpha_per_day: f64,
    /// Alpha that it earns a day.
    pub alpha: Range,
    /// Value of that; none without a price.
    pub earnings: Option<Range>,
    /// The price of an alpha at which a day's earnings are a day's cost; none if nothing is earned.
    pub alpha_price_even: Option<f64>,
    /// The percentage of the speed at which earnings equal the cost; none if it is beyond the limits.
    pub speed_even_percent: Option<u64>,
}

impl Range {
    fn of(values: &[f64]) -> Self {
        let count = values.len().max(1) as f64;
        Self {
            least: values.iter().copied().fold(f64::INFINITY, f64::min),
            mean: values.iter().sum::<f64>() / count,
            most: values.iter().copied().fold(0.0, f64::max),
        }
    }

    fn times(self, factor: f64) -> Self {
        Self { least: self.least * factor, mean: self.mean * factor, most: self.most * factor }
    }
}

impl Economics {
    /// Simulates `seeds` seeds, starting with the estimate's own.
    pub fn of(estimate: &Estimate, seeds: u64, prices: &Prices) -> Self {
        let alpha_at = |percent: u64| {
            let seeds = (0..seeds.max(1)).map(|more| Estimate {
                seed: estimate.seed + more,
                gpu: estimate.gpu.at_speed(percent),
                ..*estimate
            });
            Range::of(&seeds.map(|one| one.outcome().weight_mean() * prices.alpha_per_day).collect::<Vec<_>>())
        };
        let (cost, alpha) = (prices.hour * 24.0, alpha_at(100));
        Self {
            seeds: seeds.max(1),
            cost,
            alpha_per_day: prices.alpha_per_day,
            alpha,
            earnings: prices.alpha.map(|price| alpha.times(price)),
            alpha_price_even: (alpha.mean > 0.0).then(|| cost / alpha.mean),
            speed_even_percent: prices.alpha.and_then(|price| even(|percent| alpha_at(percent).mean * price >= cost)),
        }
    }

    /// Returns the figures as lines.
    pub fn text(&self) -> String {
        let range = |range: &Range| format!("{:.2} ({:.2} to {:.2})", range.mean, range.least, range.most);
        let seeds = grail_terminal::counted(self.seeds, "seed");
        let mut text = format!("A day: {} alpha over {seeds}; the GPU costs {:.2}.\n", range(&self.alpha), self.cost);
        if let Some(earnings) = &self.earnings {
            let net = earnings.mean - self.cost;
            text += &format!(
                "That is worth {}: {} {:.2} a day.\n",
                range(earnings),
                if net < 0.0 { "a loss of" } else { "a gain of" },
                net.abs()
            );
            text += &match self.speed_even_percent {
                Some(percent) => format!("It breaks even at {percent} % of this speed.\n"),
                None if net < 0.0 => format!("It does not break even at up to {} % of this speed.\n", PERCENT.1),
                None => format!("It pays at {} % of this speed already.\n", PERCENT.0),
            };
        }
        text += &match self.alpha_price_even {
            Some(price) => format!("It breaks even where an alpha is worth {price:.3}.\n"),
            None => "It earns nothing at this speed.\n".to_owned(),
        };
        let is_assumed = (self.alpha_per_day - ALPHA_PER_DAY).abs() < 1e-9;
        let why = if is_assumed { ASSUMED } else { "as stated" };
        text + &format!("All miners together get {:.0} alpha a day: {why}.", self.alpha_per_day)
    }
}

/// Returns the smallest percentage of the speed at which it pays, to one percent of itself; earnings grow with the
/// speed.
fn even(pays: impl Fn(u64) -> bool) -> Option<u64> {
    let (mut low, mut high) = PERCENT;
    if !pays(high) || pays(low) {
        return None;
    }
    while high - low > (high / 50).max(1) {
        let middle = low.midpoint(high);
        if pays(middle) { high = middle } else { low = middle }
    }
    Some(high)
}

#[cfg(test)]
mod tests {
    use grail_estimate::Gpu;
    use grail_miner::policy::UploadPolicy;

    use super::*;

    #[test]
    fn the_break_even_price_is_found() {
        assert!(even(|percent| percent >= 137).is_some_and(|found| (137..=140).contains(&found)));
        assert_eq!((even(|_| true), even(|_| false)), (None, None));
    }

    #[test]
    fn the_assumed_share_of_alpha_is_shown_with_its_reason() {
        // subtensor's default owner cut, of 65,535, and a half of the rest.
        let miners = (1.0 - 11_796.0 / 65_535.0) / 2.0;
        assert!((ALPHA_PER_DAY / 7_200.0 - miners).abs() < 1e-5, "{ALPHA_PER_DAY}");
        let range = Range { least: 0.0, mean: 0.0, most: 0.0 };
        let economics = Economics {
            seeds: 1,
            cost: 48.0,
            alpha_per_day: ALPHA_PER_DAY,
            alpha: range,
            earnings: Some(range),
            alpha_price_even: None,
            speed_even_percent: None,
        };
        let text = economics.text();
        for part in
            ["It does not break even at up to 1000 % of this speed.", "get 2952 alpha a day: an assumption", "18 %"]
        {
            assert!(text.contains(part), "{part}: {text}");
        }
        let paying = Economics { earnings: Some(Range { mean: 50.0, ..range }), ..economics };
        assert!(paying.text().contains("It pays at 5 % of this speed already."), "{}", paying.text());
    }

    #[test]
    fn a_day_follows_from_the_weight_and_the_prices() {
        let gpu = Gpu::parse("gpu=h200").expect("a known name");
        let estimate = Estimate { seed: 1, windows: 24, rivals: 3, gpu, safety_blocks: 1, policy: UploadPolicy::Score };
        let weight = estimate.outcome().weight_mean();
        let prices = Prices { hour: 2.0, alpha: Some(0.5), alpha_per_day: 1_000.0 };
        let one = Economics::of(&estimate, 1, &prices);
        assert!((one.alpha.mean - weight * 1_000.0).abs() < 1e-9 && one.cost == 48.0, "{one:?}");
        assert!(one.text().ends_with("All miners together get 1000 alpha a day: as stated."), "{}", one.text());
        assert!((one.earnings.unwrap().mean - weight * 500.0).abs() < 1e-9, "{one:?}");
        assert!((one.alpha_price_even.unwrap() * one.alpha.mean - 48.0).abs() < 1e-9, "{one:?}");
        let three = Economics::of(&estimate, 3, &Prices { alpha: None, ..prices });
        assert!(three.alpha.least <= three.alpha.mean && three.alpha.mean <= three.alpha.most);
        assert!(
            three.earnings.is_none() && three.text().contains("over 3 seeds; the GPU costs 48.00"),
            "{}",
            three.text()
        );
    }
}
