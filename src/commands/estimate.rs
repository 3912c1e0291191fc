//! `grail estimate`: what a GPU would earn among rivals and cost a day, as text, JSON and a page.

use anyhow::anyhow;
use grail_estimate::{Estimate, Gpu};
use serde_json::json;

use crate::args::EstimateArguments;
use crate::exit::Exit;
use grail_observe::contract::Schema;
use grail_operator::estimate::{Economics, Prices, object, page, rivals, text};
use grail_terminal::{OutFile, output};

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
