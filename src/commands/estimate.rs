//! `grail estimate`: what a GPU would earn among rivals and cost a day, as text, JSON and a page.

use std::path::Path;

use anyhow::{Context, anyhow};
use grail_estimate::{Estimate, Gpu};
use serde_json::{Value, json};

use crate::args::EstimateArguments;
use crate::exit::Exit;
use grail_folder::bounded;
use grail_observe::contract::Schema;
use grail_operator::estimate::{Economics, Prices, object, page, text};
use grail_terminal::{OutFile, output};

/// Longest metagraph file.
const METAGRAPH_BYTES_MAX: usize = 64 << 20;

pub(super) fn run(arguments: &EstimateArguments) -> anyhow::Result<Exit> {
    let stated = &arguments.gpu;
    let gpu = Gpu::parse(stated).map_err(|error| anyhow!("--gpu: {error}"))?;
    let file = arguments.html.as_deref().map(|path| OutFile::open(path, "--html")).transpose()?;
    let estimate = Estimate {
        seed: arguments.seed,
        windows: arguments.windows,
        rivals: arguments.metagraph.as_deref().map_or(Ok(arguments.rivals), rivals)?,
        gpu,
        safety_blocks: 1,
        policy: arguments.policy.into(),
    };
    let report = estimate.report();
    let economics = arguments.price.map(|hour| {
        let prices = Prices { hour, alpha: arguments.alpha_price, alpha_per_day: arguments.alpha_per_day };
        Economics::of(&estimate, arguments.seeds, &prices)
    });
    if let Some(file) = file {
        file.write(page(stated, &estimate, &report, economics.as_ref()).as_bytes())?;
    }
    if arguments.json {
        let mut object = object(stated, &estimate, &report);
        object["economics"] = json!(economics);
        output::line(Schema::Estimate.stamp(object));
    } else {
        output::line(text(stated, &estimate, &report));
        if let Some(economics) = &economics {
            output::line(format!("\n{}", economics.text()));
        }
    }
    Ok(Exit::Success)
}

/// Miners with an incentive, without uid 0, which gets what validators burn: in a list of numbers by uid, a list of objects
/// with `incentive` and `uid` (if it is missing, their place), or an object with such a list.
fn rivals(path: &Path) -> anyhow::Result<u32> {
    let unusable = || format!("cannot use {}; give --metagraph the subnet's metagraph as JSON", path.display());
    let document: Value = serde_json::from_slice(&bounded::read(path, METAGRAPH_BYTES_MAX).with_context(unusable)?)
        .with_context(unusable)?;
    let listed = [&document, &document["incentive"], &document["neurons"]].into_iter().find_map(Value::as_array);
    let incentives = listed.ok_or_else(|| anyhow!("no list of incentives is in it")).with_context(unusable)?;
    let earns = |(place, miner): &(u64, &Value)| {
        let share = miner.as_f64().or_else(|| miner["incentive"].as_f64());
        miner["uid"].as_u64().unwrap_or(*place) != 0 && share.is_some_and(|share| share > 0.0)
    };
    let count = (0..).zip(incentives).filter(earns).count();
    // The subnet has 256 places, and this miner takes one.
    u32::try_from(count.min(255)).context("a count below 256 fits")
}
