//! `grail mine --try`: one window on this machine's own device, judged there, and nothing published.

use std::sync::Arc;
use std::time::Instant;

use anyhow::Context;
use futures_util::future::try_join_all;
use grail_cuda::ProofWatch;
use grail_live::unix_ms;
use grail_miner::ports::{Engine, GenerateRequest};
use grail_miner::seal::{SealedGroup, seal};
use grail_protocol::PROTOCOL;
use grail_protocol::generation::StreamKey;
use grail_protocol::problem::Problem;
use grail_protocol::prompt::prompt;
use grail_protocol::randomness::challenge_randomness;
use grail_protocol::rollout::{GroupOrigin, WindowContext};
use grail_protocol::signature::Keypair;
use grail_protocol::window_file::{PackedGroup, unpack};
use grail_verify::{Report, Scope, Verdict, WindowFacts};
use indicatif::MultiProgress;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use super::parts::{engine, model_named, runtime, spinner};
use crate::args::MineArguments;
use crate::exit::{Exit, ExitError};
use crate::output;
use grail_live::device::{DeviceChoice, DeviceSet};
use grail_observe::contract::Schema;
use grail_operator::judge::{Judging, judge};
use grail_terminal::counted;

/// Groups of the window, unless `--groups-max` says otherwise: as many as a validator checks whole.
const GROUPS: u32 = 5;
/// Attempts at a group that the self-check rejects; the miner makes as many within a window, and more.
const ATTEMPTS_MAX: u32 = 3;

/// Generates, proves, signs, packs and judges a window under a made-up key and block hash.
pub(super) fn run(arguments: &MineArguments, bars: &MultiProgress) -> anyhow::Result<Exit> {
    // Before a model is downloaded that nothing could run.
    arguments.device.ordinals().iter().try_for_each(|ordinal| grail_cuda::driver::Device::open(*ordinal).map(drop))?;
    let environment = grail_config::process_environment();
    let hub_cache = grail_config::hub_cache(&environment);
    let named = grail_config::load(&environment, arguments.env_file.env_file.as_deref())?;
    let named = named.get("GRAIL_MODEL_NAME").filter(|setting| setting.won.origin != grail_config::Origin::Default);
    let named = named.map(|setting| grail_config::Redacted::of("GRAIL_MODEL_NAME", &setting.won.value).to_string());
    let named = named.unwrap_or_else(|| default_model(&arguments.device).to_owned());
    let model = model_named(&arguments.device, &named, hub_cache.as_deref())?;
    let loading = spinner(bars, "loading the model; kernels are compiled where this device has none yet");
    let unwatched: ProofWatch = Arc::new(|_, _| {});
    let (engine, _) = engine(arguments, &model, &unwatched)
        .map_err(|error| ExitError::new(Exit::of_engine(&error), super::super::one_line(&error.into())))?;
    loading.finish_and_clear();
    let working = spinner(bars, "generating and proving one window");
    let began = Instant::now();
    let window = window();
    let groups = arguments.groups_max.unwrap_or(GROUPS);
    let runtime = runtime()?;
    let local = tokio::task::LocalSet::new();
    let sealed = local.block_on(&runtime, try_join_all((0..groups).map(|index| group(&*engine, &window, index))))?;
    let seconds = began.elapsed().as_secs_f64();
    // The judge loads the model itself, and both may not fit the device.
    drop(engine);
    working.finish_and_clear();
    let judging = spinner(bars, "judging it by the validator's rules");
    let report = judged(arguments, &model, &window, &sealed)?;
    judging.finish_and_clear();
    let tokens =
        sealed.iter().flat_map(|group| group.generated.iter()).map(|made| made.tokens.len() - made.prompt_length);
    let trial = Trial {
        report,
        seconds,
        tokens: tokens.sum(),
        rejected: sealed.iter().any(|group| !group.findings.is_empty()),
    };
    output::line(if arguments.json { Schema::Trial.stamp(trial.json()).to_string() } else { trial.text() });
    Ok(if trial.is_ready() { Exit::Success } else { Exit::Negative })
}

const fn default_model(device: &DeviceSet) -> &'static str {
    match device {
        DeviceSet::Cuda(_) => PROTOCOL.model_name,
        DeviceSet::Cpu => "toy",
    }
}

/// Returns a window that no chain has.
fn window() -> WindowContext {
    let block_hash = format!("0x{}", hex::encode(Sha256::digest(format!("grail mine --try {}", unix_ms()))));
    let randomness = challenge_randomness(&block_hash, None);
    WindowContext { hotkey: keypair().hotkey(), window_start: 0, block_hash, randomness, use_drand: false }
}

/// Returns a key that everybody knows, since nothing that it signs leaves this machine.
fn keypair() -> Keypair {
    Keypair::from_seed(&[1; 32])
}

/// Returns a group as the miner makes it; one that the self-check rejects to the last is given as it is.
async fn group(engine: &dyn Engine, window: &WindowContext, index: u32) -> anyhow::Result<SealedGroup> {
    let problem = Problem::canonical(&window.hotkey.to_ss58(), &window.block_hash, index);
    let (prompt, mut attempt) = (engine.tokenizer().encode(&prompt(&problem)), 0);
    loop {
        let stream = |rollout| StreamKey { seed: 0, window_start: window.window_start, group: index, rollout, attempt };
        let request = GenerateRequest {
            prompt: prompt.clone(),
            streams: (0..PROTOCOL.rollouts_per_group as u32).map(stream).collect(),
            randomness: window.randomness.clone(),
            new_tokens_max: PROTOCOL.new_tokens_max,
        };
        let generated =
            engine.generate(&request).await.map_err(|error| ExitError::new(Exit::Retry, error.to_string()))?;
        let origin = GroupOrigin { group: index, block: window.window_start, timestamp: unix_ms() as f64 / 1000.0 };
        let sealed = seal(window, origin, generated, engine.limits(), engine.tokenizer(), &keypair())
            .context("the generated rollouts make no group; report this")?;
        attempt += 1;
        if sealed.findings.is_empty() || attempt == ATTEMPTS_MAX {
            return Ok(sealed);
        }
    }
}

/// Returns what a validator says about the window's file, on the device that made it.
fn judged(
    arguments: &MineArguments,
    model: &str,
    window: &WindowContext,
    sealed: &[SealedGroup],
) -> anyhow::Result<Report> {
    let hotkey = window.hotkey.to_ss58();
    let packed: Vec<&PackedGroup> = sealed.iter().map(|group| group.rollouts.packed()).collect();
    let file = PackedGroup::join(&packed, &hotkey, window.window_start, unix_ms() as f64 / 1000.0);
    let document = unpack(&file).context("the window's file cannot be read back; report this")?;
    let device = arguments.device.ordinals().first().map_or(DeviceChoice::Cpu, |ordinal| DeviceChoice::Cuda(*ordinal));
    let judging = Judging { device, model, numerics: arguments.numerics };
    judge(&document, &judging, Scope::Everything, |limits| {
        Ok(WindowFacts {
            validator_hotkey: hotkey.clone(),
            hotkey,
            window_start: window.window_start,
            block_hash: window.block_hash.clone(),
            challenge_randomness: window.randomness.clone(),
            limits,
        })
    })
}

/// How a trial came out.
struct Trial {
    report: Report,
    seconds: f64,
    tokens: usize,
    /// Whether the self-check rejected a group at each attempt.
    rejected: bool,
}

impl Trial {
    const fn is_ready(&self) -> bool {
        matches!(self.report.verdict, Verdict::Accepted { .. })
    }

    /// Returns rollouts that were judged, and those that are valid.
    fn counts(&self) -> (usize, usize) {
        let is_valid = |outcome: &grail_verify::RolloutOutcome| {
            matches!(outcome, grail_verify::RolloutOutcome::Valid | grail_verify::RolloutOutcome::Soft(_))
        };
        let rollouts = &self.report.rollouts;
        (rollouts.len(), rollouts.iter().filter(|rollout| is_valid(&rollout.outcome)).count())
    }

    fn tokens_per_second(&self) -> f64 {
        self.tokens as f64 / self.seconds.max(1e-3)
    }

    /// Returns why the window would not be accepted.
    fn missing(&self) -> Option<String> {
        match &self.report.verdict {
            Verdict::Accepted { .. } => None,
            Verdict::Rejected { failure, .. } => {
                let again = if self.rejected { ", at each of several attempts" } else { "" };
                Some(format!("{} ({}){again}", failure.check, failure.reason))
            }
            Verdict::Ignored(reason) => Some(reason.to_string()),
            Verdict::GaveUp(give_up) => Some(give_up.why.to_owned()),
        }
    }

    fn text(&self) -> String {
        let (judged, valid) = self.counts();
        let speed = format!("{:.0} tokens/s in {:.1} s", self.tokens_per_second(), self.seconds);
        let verdict = match (self.missing(), self.report.verdict.remedy()) {
            (None, _) => "ready".to_owned(),
            (Some(why), Some(remedy)) => format!("NOT ready: {why}; {remedy}"),
            (Some(why), None) => format!("NOT ready: {why}; run `grail golden --device cuda` and `grail doctor`"),
        };
        format!("1 window, {}, {valid}/{judged} valid, {speed}; {verdict}", counted(judged, "rollout"))
    }

    fn json(&self) -> Value {
        let (rollouts, valid) = self.counts();
        json!({
            "ready": self.is_ready(),
            "rollouts": rollouts,
            "valid": valid,
            "missing": self.missing(),
            "seconds": self.seconds,
            "tokens_per_second": self.tokens_per_second(),
        })
    }
}
