//! A whole network on this machine: the served world, with a process for each miner and each validator.
//!
//! [`Network::start`] starts the processes, [`Network::follow`] shows what the validators find, and [`Network::end`] ends
//! all in order. It may start processes of this program and read what they leave; it mines and judges nothing itself.

#![allow(
    clippy::disallowed_types,
    clippy::disallowed_methods,
    reason = "this crate is at the boundary: it starts processes in real time"
)]

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use grail_protocol::PROTOCOL;
use grail_protocol::signature::Hotkey;
use grail_serve::{ServeEvent, Served};
use grail_validator::{MinerReceipt, Outcome};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};

use grail_operator::verdicts::Verdicts;
use grail_terminal::{counted, output};

/// Plan of a network.
#[derive(Debug, Clone, Copy)]
pub struct NetworkOptions {
    /// Most groups that each miner makes in a window.
    pub groups_max: u32,
    /// Stops once every validator has judged this many windows in which every miner was ready; without it the network
    /// runs until a signal.
    pub windows: Option<u64>,
    /// Whether standard output is for programs, so that events are shown on standard error.
    pub is_quiet: bool,
}

/// Pause between two checks of the processes.
const LOOK: Duration = Duration::from_millis(300);
/// A process that has not ended this long after it was asked to is killed.
const END: Duration = Duration::from_secs(30);
/// Blocks within which every validator's weights should be on chain after the last window.
const WEIGHTS_BLOCKS: u64 = 25;

/// One process.
struct Member {
    name: String,
    hotkey: Hotkey,
    uid: u16,
    data: PathBuf,
    log: PathBuf,
    /// None for this process's own work.
    child: Option<Child>,
}

/// The servers and every process.
pub struct Network<'a> {
    options: NetworkOptions,
    served: &'a Served,
    miners: Vec<Member>,
    validators: Vec<Member>,
    /// Windows that every validator has judged, and in which every miner was ready.
    judged: BTreeSet<u64>,
}

impl<'a> Network<'a> {
    /// Starts a process for each member of the served world.
    ///
    /// # Errors
    /// If a process cannot be started or its log not be written.
    pub fn start(options: NetworkOptions, served: &'a Served) -> anyhow::Result<Self> {
        let folder = served.env_file().parent().unwrap_or(Path::new(".")).to_owned();
        let logs = folder.join("logs");
        std::fs::create_dir_all(&logs).with_context(|| format!("{} cannot be made", logs.display()))?;
        let (mut miners, mut validators) = (Vec::new(), Vec::new());
        for member in &served.world().members {
            let mut process = Member {
                name: member.name.clone(),
                hotkey: member.hotkey(),
                uid: member.uid,
                data: folder.join(&member.name),
                log: logs.join(format!("{}.log", member.name)),
                child: None,
            };
            let env_file = folder.join(format!("{}.env", member.name));
            if member.account.is_none() {
                let blocks = PROTOCOL.window_blocks.to_string();
                process.spawn(&env_file, &["validate", "--weights-blocks", &blocks])?;
                validators.push(process);
            } else {
                if !member.name.starts_with("cheat") {
                    let groups = options.groups_max.to_string();
                    process.spawn(&env_file, &["mine", "--groups-max", &groups, "--tape", "off"])?;
                }
                miners.push(process);
            }
        }
        let network = Self { options, served, miners, validators, judged: BTreeSet::new() };
        network.notice(format!(
            "Network: {} and {} on chain {}; logs in {}",
            counted(network.miners.len() as u64, "miner"),
            counted(network.validators.len() as u64, "validator"),
            served.world().chain_endpoints().join(" and "),
            logs.display(),
        ));
        Ok(network)
    }

    /// Something for people: next to the output if that is for programs.
    fn notice(&self, text: String) {
        if self.options.is_quiet { output::aside(text) } else { output::line(text) }
    }

    /// Follows the network until enough windows are judged, or until it is interrupted.
    ///
    /// # Errors
    /// If a process ends by itself, or its receipts cannot be read.
    pub fn follow(&mut self) -> anyhow::Result<()> {
        loop {
            if let Some(ServeEvent::Interrupted) = self.served.next_event(Some(LOOK)) {
                self.notice("stopping: miners first, then validators, then the servers".to_owned());
                return Ok(());
            }
            for member in self.miners.iter_mut().chain(&mut self.validators) {
                if let Some(status) =
                    member.child.as_mut().and_then(|child| child.try_wait().transpose()).transpose()?
                {
                    bail!("{} ended ({status}); look into {}", member.name, member.log.display());
                }
            }
            let all = self.verdicts()?;
            self.tell(&all);
            let wanted = self.options.windows.unwrap_or(u64::MAX);
            if self.judged.len() as u64 >= wanted && self.weights_are_settled() {
                return Ok(());
            }
        }
    }

    fn verdicts(&self) -> anyhow::Result<Vec<Verdicts>> {
        let read = |validator: &Member| {
            Verdicts::read(&validator.data).with_context(|| format!("{}'s receipts cannot be read", validator.name))
        };
        self.validators.iter().map(read).collect()
    }

    /// Shows the windows that every validator has judged since the last check.
    fn tell(&mut self, all: &[Verdicts]) {
        let Some(ready) = self.ready_from() else { return };
        let windows = |verdicts: &Verdicts| verdicts.weights.keys().map(|(window, _)| *window).collect::<BTreeSet<_>>();
        let judged = all.iter().map(windows).reduce(|a, b| a.intersection(&b).copied().collect()).unwrap_or_default();
        for window in judged.into_iter().filter(|window| *window > ready) {
            if !self.judged.insert(window) {
                continue;
            }
            for miner in &self.miners {
                let words = all.iter().map(|verdicts| words(verdicts.of_miner(window, &miner.hotkey.to_ss58())));
                let words: Vec<String> = words.collect();
                self.notice(format!("window {window}: {}: {}", miner.name, words.join(" | ")));
            }
        }
    }

    /// Returns the block by which every miner had committed its read key; none before that.
    fn ready_from(&self) -> Option<u64> {
        let state = self.served.world().chain.state();
        let blocks = self.miners.iter().map(|miner| Some(state.commitment(PROTOCOL.netuid, miner.hotkey)?.block));
        blocks.collect::<Option<Vec<u64>>>()?.into_iter().max()
    }

    /// Returns whether every validator has set weights since the newest window ended, or should have.
    fn weights_are_settled(&self) -> bool {
        let state = self.served.world().chain.state();
        let Some(end) = self.judged.last().map(|window| window + PROTOCOL.window_blocks) else { return false };
        let is_set = |validator: &Member| state.last_update(PROTOCOL.netuid, validator.uid) >= end;
        self.validators.iter().all(is_set) || state.head() > end + WEIGHTS_BLOCKS
    }

    /// Ends all processes in order: miners, then validators. The servers end last, with anyone who holds them.
    ///
    /// # Errors
    /// If a process can be neither waited for nor killed.
    pub fn end(&mut self) -> anyhow::Result<()> {
        for role in [&mut self.miners, &mut self.validators] {
            role.iter_mut().for_each(Member::ask_to_end);
            let deadline = Instant::now() + END;
            for member in role {
                member.wait_until(deadline)?;
            }
        }
        Ok(())
    }

    /// Returns the result.
    pub fn summary(&self) -> Summary {
        let all = self.verdicts().unwrap_or_default();
        let state = self.served.world().chain.state();
        let weights = |validator: &Member| state.weights(PROTOCOL.netuid, validator.uid).unwrap_or_default();
        let weights = self.validators.iter().map(|validator| (validator.name.clone(), weights(validator))).collect();
        let mut miners = Vec::new();
        for miner in &self.miners {
            let address = miner.hotkey.to_ss58();
            let receipts = |verdicts: &Verdicts| {
                let of = |window: &u64| verdicts.of_miner(*window, &address).cloned();
                self.judged.iter().map(of).collect::<Vec<_>>()
            };
            miners.push((miner.name.clone(), miner.uid, all.iter().map(receipts).collect()));
        }
        Summary { windows: self.judged.iter().copied().collect(), miners, weights }
    }
}

impl Drop for Network<'_> {
    fn drop(&mut self) {
        // After an error no process stays behind.
        for child in self.miners.iter_mut().chain(&mut self.validators).filter_map(|member| member.child.as_mut()) {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

impl Member {
    fn spawn(&mut self, env_file: &Path, arguments: &[&str]) -> anyhow::Result<()> {
        let open = |path: &Path| File::create(path).with_context(|| format!("{} cannot be written", path.display()));
        let program = std::env::current_exe().context("this program's own file is not known")?;
        let mut command = Command::new(program);
        command.args(arguments).arg("--env-file").arg(env_file).arg("--data-dir").arg(&self.data);
        command.args(["--device", "cpu", "--json"]).stdin(Stdio::null());
        command.stdout(open(&self.log.with_extension("out"))?).stderr(open(&self.log)?);
        // A Ctrl-C at the terminal reaches this process alone, which ends the others in order.
        std::os::unix::process::CommandExt::process_group(&mut command, 0);
        self.child = Some(command.spawn().with_context(|| format!("{} cannot be started", self.name))?);
        Ok(())
    }

    fn ask_to_end(&mut self) {
        let pid = self.child.as_ref().and_then(|child| Pid::from_raw(i32::try_from(child.id()).ok()?));
        // A process that has ended need not be asked.
        let _ = pid.map(|pid| kill_process(pid, Signal::TERM));
    }

    fn wait_until(&mut self, deadline: Instant) -> anyhow::Result<()> {
        let Some(mut child) = self.child.take() else { return Ok(()) };
        while Instant::now() < deadline {
            if child.try_wait()?.is_some() {
                return Ok(());
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        output::aside(format!("grail: {} does not end; it is killed", self.name));
        child.kill()?;
        child.wait()?;
        Ok(())
    }
}

/// Returns a verdict in few words.
fn words(receipt: Option<&MinerReceipt>) -> String {
    let Some(receipt) = receipt else { return "not seen".to_owned() };
    match (receipt.check, receipt.reason) {
        (Some(check), Some(reason)) => format!("{} ({check} {reason})", receipt.outcome.name()),
        _ => receipt.outcome.name().to_owned(),
    }
}

/// A miner's name, its uid, and by validator its receipt in each window.
type MinerSummary = (String, u16, Vec<Vec<Option<MinerReceipt>>>);

/// Result of a network.
#[derive(Debug)]
pub struct Summary {
    windows: Vec<u64>,
    miners: Vec<MinerSummary>,
    /// Weights on chain, by validator.
    weights: Vec<(String, Vec<(u16, u16)>)>,
}

impl Summary {
    /// Returns whether honest miners were accepted everywhere, cheats nowhere, and all validators have set the same
    /// weights.
    pub fn is_well(&self) -> bool {
        let is = |receipt: &Option<MinerReceipt>, outcome| receipt.as_ref().is_some_and(|it| it.outcome == outcome);
        let verdicts_are_well = self.miners.iter().all(|(name, _, receipts)| {
            let outcome = if name.starts_with("cheat") { Outcome::Rejected } else { Outcome::Accepted };
            receipts.iter().flatten().all(|receipt| is(receipt, outcome))
        });
        !self.windows.is_empty() && verdicts_are_well && self.weights_are_equal()
    }

    fn weights_are_equal(&self) -> bool {
        let distinct: BTreeSet<&Vec<(u16, u16)>> = self.weights.iter().map(|(_, weights)| weights).collect();
        distinct.len() == 1 && distinct.first().is_some_and(|weights| !weights.is_empty())
    }

    /// Returns the result as text.
    pub fn lines(&self) -> Vec<String> {
        let mut lines = vec![format!("{} judged by all validators", counted(self.windows.len() as u64, "window"))];
        for (name, uid, by_validator) in &self.miners {
            let mut counts: BTreeMap<String, usize> = BTreeMap::new();
            by_validator.iter().flatten().for_each(|receipt| *counts.entry(words(receipt.as_ref())).or_default() += 1);
            let counts: Vec<String> = counts.iter().map(|(what, count)| format!("{count} {what}")).collect();
            lines.push(format!("{name} (uid {uid}): {}", counts.join(", ")));
        }
        for (name, weights) in &self.weights {
            let weights: Vec<String> = weights.iter().map(|(uid, weight)| format!("{uid}: {weight}")).collect();
            lines.push(format!(
                "{name} has set {}",
                if weights.is_empty() { "nothing".to_owned() } else { weights.join(", ") }
            ));
        }
        let equal = if self.weights_are_equal() { "equal" } else { "not equal" };
        lines.push(format!("the validators' weights are {equal}"));
        lines
    }

    /// Returns the same as JSON.
    pub fn json(&self) -> Value {
        let miners =
            self.miners.iter().map(|(name, uid, receipts)| json!({ "name": name, "uid": uid, "receipts": receipts }));
        let weights = self.weights.iter().map(|(name, weights)| json!({ "name": name, "weights": weights }));
        json!({
            "windows": self.windows, "miners": miners.collect::<Vec<_>>(), "validators": weights.collect::<Vec<_>>(),
            "weights_equal": self.weights_are_equal(), "well": self.is_well(),
        })
    }
}
