//! The banner at a miner's start: six lines that say what mines, where, and how fast.

use std::io::{self, Write};
use std::panic::Location;
use std::path::PathBuf;

use grail_miner::driver::Observer;
use grail_miner::machine::{Action, Event, Machine};
use grail_miner::ports::Now;
use grail_protocol::PROTOCOL;
use grail_terminal::escaped;
use indicatif::MultiProgress;

use crate::SharedState;

/// Facts that are known before the first block.
#[derive(Debug, Clone)]
pub struct BannerFacts {
    /// Name of the network.
    pub network: String,
    /// The subnet.
    pub netuid: u16,
    /// Address of the hotkey.
    pub hotkey: String,
    /// Names of coldkey and hotkey.
    pub wallet: String,
    /// The device with its libraries and numerics, and whether golden proofs of the pair were recorded.
    pub device: String,
    /// Folder of journal and receipts.
    pub data_folder: PathBuf,
    /// Address of the metrics server.
    pub metrics: Option<String>,
}

/// Prints the banner on standard error: five lines with the first block, the speed with the first clean group.
pub struct Banner {
    facts: BannerFacts,
    bars: MultiProgress,
    state: SharedState,
    block_ms: u64,
    uid: Option<u16>,
    /// When the first group was asked for.
    begun_ms: Option<u64>,
    printed: Printed,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Printed {
    Nothing,
    Facts,
    All,
}

impl Banner {
    /// Returns a banner with these facts that is printed around whatever `bars` draw.
    pub fn new(facts: BannerFacts, bars: &MultiProgress, state: SharedState, block_ms: u64) -> Self {
        let bars = bars.clone();
        Self { facts, bars, state, block_ms, uid: None, begun_ms: None, printed: Printed::Nothing }
    }

    /// The first five lines, once block `head` is known.
    fn lines(&self, head: u64) -> String {
        let BannerFacts { network, netuid, hotkey, wallet, device, data_folder, metrics } = &self.facts;
        let left_blocks = PROTOCOL.window_blocks - head % PROTOCOL.window_blocks;
        let next_s = left_blocks * self.block_ms / 1000;
        let version = env!("CARGO_PKG_VERSION");
        let uid = self.uid.map_or_else(|| "no uid yet".to_owned(), |uid| format!("uid {uid}"));
        let metrics = metrics.as_ref().map_or_else(|| "off".to_owned(), |address| format!("http://{address}/"));
        format!(
            "grail    {version} on {network}, subnet {netuid}\n\
             hotkey   {hotkey} ({wallet}), {uid}\n\
             device   {device}\n\
             data     {}; metrics {metrics}\n\
             window   {} at block {head}; the next starts in {}:{:02}",
            data_folder.display(),
            head - head % PROTOCOL.window_blocks,
            next_s / 60,
            next_s % 60,
        )
    }

    fn print(&self, text: &str) {
        // A terminal that is gone must not end the miner.
        self.bars.suspend(|| drop(writeln!(io::stderr(), "{}", escaped(text))));
    }

    /// The sixth line, once a group is clean.
    fn speed(&self, now_ms: u64) -> Option<String> {
        let state = self.state.read();
        let (start, window) = state.current_window()?;
        let tokens = window.sums().tokens;
        let begun_ms = self.begun_ms.filter(|_| tokens > 0)?;
        let seconds = now_ms.saturating_sub(begun_ms).max(1) as f64 / 1000.0;
        let rate = tokens as f64 / seconds;
        Some(format!("speed    {rate:.0} tokens/s in the first {seconds:.1} s of window {start}"))
    }
}

impl Observer for Banner {
    fn event(&mut self, _: Now, event: &Event) {
        if let Event::RegistrationRead(Ok(Some(uid))) = event {
            self.uid = Some(*uid);
        }
    }

    fn action(&mut self, now: Now, action: &Action) {
        if matches!(action, Action::Generate(_)) {
            self.begun_ms.get_or_insert(now.monotonic_ms);
        }
    }

    fn handled(&mut self, now: Now, machine: &Machine) {
        match self.printed {
            Printed::Nothing => {
                let Some(head) = machine.head().filter(|_| self.uid.is_some()) else { return };
                self.print(&self.lines(head));
                self.printed = Printed::Facts;
            }
            Printed::Facts => {
                let Some(speed) = self.speed(now.monotonic_ms) else { return };
                self.print(&speed);
                self.printed = Printed::All;
            }
            Printed::All => {}
        }
    }

    fn origin(&mut self, _: Now, _: &'static Location<'static>) {}
}

#[cfg(test)]
mod tests {
    use indicatif::ProgressDrawTarget;

    use super::*;
    use crate::StateObserver;

    #[test]
    fn five_lines_tell_what_mines_and_when_the_next_window_begins() {
        let facts = BannerFacts {
            network: "finney".to_owned(),
            netuid: 81,
            hotkey: "5abc".to_owned(),
            wallet: "cold/hot".to_owned(),
            device: "0 is NVIDIA H200".to_owned(),
            data_folder: "/data".into(),
            metrics: Some("127.0.0.1:9464".to_owned()),
        };
        let bars = MultiProgress::with_draw_target(ProgressDrawTarget::hidden());
        let observer = StateObserver::new(12_000, Box::new(|| false));
        let mut banner = Banner::new(facts, &bars, observer.state(), 12_000);
        let now = Now { monotonic_ms: 0, wall_ms: 0 };
        banner.event(now, &Event::RegistrationRead(Ok(Some(7))));
        let version = env!("CARGO_PKG_VERSION");
        let expected = [
            &format!("grail    {version} on finney, subnet 81"),
            "hotkey   5abc (cold/hot), uid 7",
            "device   0 is NVIDIA H200",
            "data     /data; metrics http://127.0.0.1:9464/",
            "window   90 at block 101; the next starts in 3:48",
        ];
        assert_eq!(banner.lines(101), expected.join("\n"));
        assert_eq!(banner.speed(1_000), None, "nothing was generated");
    }
}
