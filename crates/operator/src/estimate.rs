//! Shows an estimate of what a GPU would earn among rivals, as text, JSON and a page.

mod economics;
mod page;
mod rivals;

use grail_estimate::{Estimate, Gpu, Outcome, Report, Variant};
use grail_sim::speeds::EngineSpeed;
use grail_terminal::table::render;
use serde_json::{Value, json};

pub use self::economics::{ALPHA_PER_DAY, Economics, Prices, Range};
pub use self::page::page;
pub use self::rivals::rivals;

/// Returns where the GPU's numbers are from.
fn source(stated: &str) -> String {
    let gpus = EngineSpeed::gpus();
    let known = gpus.iter().find(|preset| stated.split(',').any(|part| part.trim_start_matches("gpu=") == preset.name));
    known.map_or("as stated".to_owned(), |preset| format!("{}: {}", preset.name, preset.source))
}

/// Returns the assumptions, in sentences.
fn assumptions(estimate: &Estimate) -> Vec<String> {
    let Gpu { prompt_tokens, completion_tokens, solved, refused, batch_groups, .. } = estimate.gpu;
    vec![
        format!("Prompts of {prompt_tokens} tokens, completions of {completion_tokens} on average (half to one and a half times that)."),
        format!("{:.0} % of the rollouts solve their problem, in as many ways; {:.0} % are refused by the miner's own check and drawn again.", 100.0 * solved, 100.0 * refused),
        format!("The GPU draws {batch_groups} groups together and then proves them. A file goes up at 5 MB/s and is read back."),
        "In one window of 20 the bucket refuses for 5 to 60 s; a file of a minute earlier then counts.".to_owned(),
        format!("{} rivals are honest and choose as this miner does, with between 1/72 (the Python miner) and all of an H200's measured speed.", estimate.rivals),
        "Sampling, choice of miners, scores over twelve windows and weights follow the validator's rules; 80 % of all weight goes to uid 0.".to_owned(),
    ]
}

fn row(name: &str, outcome: &Outcome) -> Vec<String> {
    vec![
        name.to_owned(),
        format!("{:.1}", outcome.groups_mean()),
        format!("{:.1}", outcome.unique_mean),
        percent(outcome.clean_share),
        percent(outcome.last_file_share),
        format!("{:.6}", outcome.weight_mean()),
        format!("{:.2} %", 500.0 * outcome.weight_mean()),
        outcome.place.to_string(),
    ]
}

fn percent(share: f64) -> String {
    format!("{:.1} %", 100.0 * share)
}

const HEADINGS: [&str; 8] = ["", "groups", "counted", "clean", "last file", "weight", "of miners'", "place"];

/// Returns the report as lines for a terminal.
pub fn text(stated: &str, estimate: &Estimate, report: &Report) -> String {
    let Gpu { tokens_per_s, proof_ms, .. } = estimate.gpu;
    let plain = &report.plain;
    let section = |what: &str, variants: &[Variant]| {
        let rows: Vec<_> = variants.iter().map(|variant| row(&variant.name, &variant.outcome)).collect();
        let mut headings = HEADINGS;
        headings[0] = what;
        render(&headings, &rows)
    };
    format!(
        "Simulating {} windows among {} rivals: {tokens_per_s:.0} tokens/s, {proof_ms:.3} ms of proof a token ({}).\n\n\
         Groups a window: {:.1} on average, {} in the worst tenth, {} in the best.\n\
         Share of clean windows: {}. Weight: {:.6} on average, {:.2} % of what all miners get, place {} of {}.\n\n\
         {}\n{}\n{}\n\
         groups: clean per window; counted: distinct solutions that the validator counts; clean: windows with an accepted \
         file;\nlast file: windows whose last file came in time\n\n{}",
        estimate.windows,
        estimate.rivals,
        source(stated),
        plain.groups_mean(),
        plain.groups_quantile(0.1),
        plain.groups_quantile(0.9),
        percent(plain.clean_share),
        plain.weight_mean(),
        500.0 * plain.weight_mean(),
        plain.place,
        estimate.rivals + 1,
        section("speed", &report.speeds),
        section("safety blocks", &report.safety),
        section("policy", &report.policies),
        assumptions(estimate).iter().map(|line| format!("- {line}")).collect::<Vec<_>>().join("\n"),
    )
}

/// Returns the report as JSON.
pub fn object(stated: &str, estimate: &Estimate, report: &Report) -> Value {
    let outcome = |outcome: &Outcome| {
        json!({
            "groups_mean": outcome.groups_mean(),
            "groups_p10": outcome.groups_quantile(0.1),
            "groups_p90": outcome.groups_quantile(0.9),
            "unique_mean": outcome.unique_mean,
            "clean_share": outcome.clean_share,
            "last_file_share": outcome.last_file_share,
            "weight_mean": outcome.weight_mean(),
            "place": outcome.place,
        })
    };
    let variants = |variants: &[Variant]| -> Value {
        variants.iter().map(|variant| (variant.name.as_str(), outcome(&variant.outcome))).collect()
    };
    json!({
        "gpu": stated,
        "source": source(stated),
        "seed": estimate.seed,
        "windows": estimate.windows,
        "rivals": estimate.rivals,
        "tokens_per_s": estimate.gpu.tokens_per_s,
        "proof_ms": estimate.gpu.proof_ms,
        "assumptions": assumptions(estimate),
        "plain": outcome(&report.plain),
        "speed": variants(&report.speeds),
        "safety_blocks": variants(&report.safety),
        "policy": variants(&report.policies),
    })
}
