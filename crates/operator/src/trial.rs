//! One window on this machine's device, under an invented key and block hash; nothing leaves the machine.

use std::time::Instant;

use anyhow::Context;
use futures_util::future::try_join_all;
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
use grail_terminal::{Exit, ExitError, counted};
use grail_verify::{Report, RolloutOutcome, RolloutReport, Scope, Verdict, WindowFacts};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use crate::judge::{Judging, judge};

/// Attempts at a group that the self-check rejects; the miner makes as many within a window, and more.
const ATTEMPTS_MAX: u32 = 3;

/// Returns a window that no chain has.
fn window() -> WindowContext {
    let block_hash = format!("0x{}", hex::encode(Sha256::digest(format!("grail mine --try {}", unix_ms()))));
    let randomness = challenge_randomness(&block_hash, None);
    WindowContext { hotkey: keypair().hotkey(), window_start: 0, block_hash, randomness, use_drand: false }
}

/// Returns a public key pair, since its signatures never leave this machine.
fn keypair() -> Keypair {
    Keypair::from_seed(&[1; 32])
}

/// Returns a group as the miner makes it; after the last attempt also one that the self-check rejects.
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

/// Returns the groups of a window that no chain has, as the miner makes them.
///
/// # Errors
/// If the engine fails.
pub async fn made(engine: &dyn Engine, groups: u32) -> anyhow::Result<(WindowContext, Vec<SealedGroup>)> {
    let window = window();
    let sealed = try_join_all((0..groups).map(|index| group(engine, &window, index))).await?;
    Ok((window, sealed))
}

/// How a trial came out.
#[derive(Debug)]
pub struct Trial {
    report: Report,
    seconds: f64,
    judging_seconds: f64,
    tokens: usize,
    /// Whether the self-check rejected a group at each attempt.
    rejected: bool,
}

impl Trial {
    /// Judges the generated groups by the validator's rules; `seconds` is the time that they took.
    ///
    /// # Errors
    /// If the model cannot be had a second time.
    pub fn judged(
        judging: &Judging<'_>,
        window: &WindowContext,
        sealed: &[SealedGroup],
        seconds: f64,
    ) -> anyhow::Result<Self> {
        let packed: Vec<&PackedGroup> = sealed.iter().map(|group| group.rollouts.packed()).collect();
        let hotkey = window.hotkey.to_ss58();
        let file = PackedGroup::join(&packed, &hotkey, window.window_start, unix_ms() as f64 / 1000.0);
        let document = unpack(&file).context("the window's file cannot be read back; report this")?;
        let facts = |limits| Ok(WindowFacts::of_own(window, limits));
        let model = judging.model()?;
        let began = Instant::now();
        let report = judge(&model, &document, Scope::Everything, facts)?;
        let tokens =
            sealed.iter().flat_map(|group| group.generated.iter()).map(|made| made.tokens.len() - made.prompt_length);
        Ok(Self {
            report,
            seconds,
            judging_seconds: began.elapsed().as_secs_f64(),
            tokens: tokens.sum(),
            rejected: sealed.iter().any(|group| !group.findings.is_empty()),
        })
    }

    /// Returns whether the window would be accepted.
    pub const fn is_ready(&self) -> bool {
        matches!(self.report.verdict, Verdict::Accepted { .. })
    }

    /// Returns rollouts that were judged, and those that are valid.
    fn counts(&self) -> (usize, usize) {
        let rollouts = &self.report.rollouts;
        let is_valid =
            |rollout: &&RolloutReport| matches!(rollout.outcome, RolloutOutcome::Valid | RolloutOutcome::Soft(_));
        (rollouts.len(), rollouts.iter().filter(is_valid).count())
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
            Verdict::GaveUp(give_up) => Some(give_up.why.to_string()),
        }
    }

    /// Returns the line for people.
    pub fn text(&self) -> String {
        let (judged, valid) = self.counts();
        let speed = format!(
            "{:.0} tokens/s in {:.1} s, judged in {:.1} s",
            self.tokens_per_second(),
            self.seconds,
            self.judging_seconds
        );
        let verdict = match (self.missing(), self.report.verdict.remedy()) {
            (None, _) => "ready".to_owned(),
            (Some(why), Some(remedy)) => format!("NOT ready: {why}; {remedy}"),
            (Some(why), None) => format!("NOT ready: {why}; run `grail golden --device cuda` and `grail doctor`"),
        };
        format!("1 window, {}, {valid}/{judged} valid, {speed}; {verdict}", counted(judged, "rollout"))
    }

    /// Returns the same as JSON.
    pub fn json(&self) -> Value {
        let (rollouts, valid) = self.counts();
        json!({
            "ready": self.is_ready(),
            "rollouts": rollouts,
            "valid": valid,
            "missing": self.missing(),
            "seconds": self.seconds,
            "judging_seconds": self.judging_seconds,
            "tokens_per_second": self.tokens_per_second(),
        })
    }
}
