//! Arguments of `grail estimate`.

use std::path::PathBuf;

use clap::Args;
use grail_operator::estimate::ALPHA_PER_DAY;

use super::PolicyChoice;

/// `grail estimate`.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n\
        \x20 grail estimate --gpu h200 --windows 240\n\
        \x20 grail estimate --gpu h100 --price 2.50")]
pub struct EstimateArguments {
    /// The GPU by name, such as h200, with further KEY=VALUE after commas: tokens_per_s, proof_ms (a token), prompt_tokens,
    /// completion_tokens, solved and refused (shares).
    #[arg(long, value_name = "NAME|KEY=VALUE,...", help_heading = "GPU")]
    pub gpu: String,
    /// Price of an hour of it.
    #[arg(long, value_name = "P", value_parser = price, help_heading = "Price")]
    pub price: Option<f64>,
    /// Price of one alpha in the same currency.
    #[arg(long, value_name = "P", value_parser = price, requires = "price", help_heading = "Price")]
    pub alpha_price: Option<f64>,
    /// Alpha that all miners of the subnet get a day, burnt weight included; without it 41 % of 7,200 is assumed.
    #[arg(long, value_name = "N", value_parser = price, default_value_t = ALPHA_PER_DAY, help_heading = "Price")]
    pub alpha_per_day: f64,
    /// Windows of each simulation.
    #[arg(long, default_value_t = 240, value_parser = clap::value_parser!(u64).range(12..=100_000), help_heading = "Simulation")]
    pub windows: u64,
    /// Rival miners.
    #[arg(long, value_name = "N", default_value_t = 40, value_parser = clap::value_parser!(u32).range(0..=255), help_heading = "Simulation")]
    pub rivals: u32,
    /// A metagraph as JSON: as many rivals as miners in it have an incentive, instead of --rivals.
    #[arg(long, value_name = "FILE", conflicts_with = "rivals", help_heading = "Simulation")]
    pub metagraph: Option<PathBuf>,
    /// The first seed.
    #[arg(long, default_value_t = 0, help_heading = "Simulation")]
    pub seed: u64,
    /// Seeds over which earnings range.
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u64).range(1..=1_000), help_heading = "Simulation")]
    pub seeds: u64,
    /// Which clean groups to upload.
    #[arg(long, value_enum, default_value_t = PolicyChoice::Score, help_heading = "Simulation")]
    pub policy: PolicyChoice,
    /// Write one self-contained page.
    #[arg(long, value_name = "FILE", help_heading = "Output")]
    pub html: Option<PathBuf>,
    /// Print one JSON object.
    #[arg(long, help_heading = "Output")]
    pub json: bool,
}

/// Not a price.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not a price; write a number such as 3.10")]
struct PriceError(String);

fn price(text: &str) -> Result<f64, PriceError> {
    let number = text.parse().ok().filter(|number: &f64| number.is_finite() && *number >= 0.0);
    number.ok_or_else(|| PriceError(text.to_owned()))
}
