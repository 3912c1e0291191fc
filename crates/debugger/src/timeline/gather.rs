//! Turns events and actions into lanes.

use std::collections::BTreeMap;
use std::panic::Location;

use grail_miner::driver::Observer;
use grail_miner::machine::{Action, Event, GroupId, JournalEntry, Machine, Report, Timer};
use grail_miner::ports::{Etag, LAG_BLOCKS_MAX, Now};
use grail_protocol::constants::window_start;
use sha2::{Digest, Sha256};

use super::{ATTEMPTS_MAX, Attempt, Call, End, MARKS_MAX, TEXT_MAX, Timeline, WindowLanes};
use grail_tape::{Moment, Session, Tape};

/// Watches a miner, live or replayed, and makes a [`Timeline`] of what it sees.
#[derive(Debug, Default)]
pub struct Gatherer {
    wall_offset_ms: Option<i64>,
    windows: BTreeMap<u64, WindowLanes>,
    /// The window that the head is in.
    current: Option<u64>,
    /// A head that does not count yet.
    announced: Option<u64>,
    /// Index of each open attempt among its window's attempts.
    open: BTreeMap<GroupId, usize>,
    differs_at_ms: Option<u64>,
}

impl Gatherer {
    /// Returns this build's timeline of a tape's events.
    pub fn of_tape(tape: &Tape) -> Self {
        let mut gatherer = Self::default();
        let mut session = Session::new(tape);
        while let Some(moment) = session.advance() {
            let Moment::Step { step, asked, missing, .. } = moment else { continue };
            let now = step.now();
            gatherer.event(now, &step.event);
            asked.iter().for_each(|asked| gatherer.action(now, &asked.action));
            let is_equal = asked.iter().map(|asked| &asked.line).eq(&step.actions);
            if missing > 0
                && let Some(window) = gatherer.here(now)
            {
                let text = format!(
                    "{missing} steps are missing on the tape; the next ones that are drawn are the next window's"
                );
                push(&mut window.troubles, (now.monotonic_ms, "tape", text));
            }
            if gatherer.differs_at_ms.is_none() && (missing > 0 || !is_equal) {
                gatherer.differs_at_ms = Some(now.monotonic_ms);
            }
            if missing > 0 && !session.skip_to_state() {
                break;
            }
        }
        gatherer
    }

    /// Returns the timeline of what was seen up to now.
    pub fn timeline(&self) -> Timeline {
        let mut attempts = 0;
        let fits = |window: &&WindowLanes| {
            attempts += window.groups.len();
            attempts <= ATTEMPTS_MAX || attempts == window.groups.len()
        };
        let windows: Vec<WindowLanes> = self.windows.values().take_while(fits).cloned().collect();
        Timeline {
            wall_offset_ms: self.wall_offset_ms.unwrap_or_default(),
            left_out: self.windows.len() - windows.len(),
            windows,
            differs_at_ms: self.differs_at_ms,
        }
    }

    /// A head counts once the machine watches for the next one.
    fn head_counts(&mut self, head: u64, now: Now) {
        let start = window_start(head);
        if self.current.is_none_or(|current| current < start || head + LAG_BLOCKS_MAX < current) {
            self.current = Some(start);
        }
        // Late news about an old block belongs to the current window.
        if let Some(window) = self.here(now) {
            push(&mut window.heads, (now.monotonic_ms, head));
        }
    }

    fn window(&mut self, start: u64, now: Now) -> &mut WindowLanes {
        let begin = || WindowLanes { start, from_ms: now.monotonic_ms, ..WindowLanes::default() };
        let window = self.windows.entry(start).or_insert_with(begin);
        window.to_ms = window.to_ms.max(now.monotonic_ms);
        window
    }

    /// Returns the window that something which names none belongs to.
    fn here(&mut self, now: Now) -> Option<&mut WindowLanes> {
        let start = self.current?;
        Some(self.window(start, now))
    }

    fn end_attempt(&mut self, group: &GroupId, now: Now, end: End, why: String) {
        let Some(number) = self.open.remove(group) else { return };
        let attempt = &mut self.window(group.window_start, now).groups[number];
        (attempt.to_ms, attempt.end, attempt.why) = (Some(now.monotonic_ms), end, why);
    }

    fn durable(&mut self, group: &GroupId, now: Now) {
        let window = self.window(group.window_start, now);
        let is_it = |attempt: &&mut Attempt| {
            (attempt.index, attempt.attempt, attempt.generation) == (group.index, group.attempt, group.generation)
        };
        if let Some(attempt) = window.groups.iter_mut().rev().find(is_it) {
            attempt.durable_ms = Some(now.monotonic_ms);
        }
    }
}

impl Observer for Gatherer {
    fn event(&mut self, now: Now, event: &Event) {
        let Now { monotonic_ms, wall_ms } = now;
        self.wall_offset_ms.get_or_insert(wall_ms.cast_signed() - monotonic_ms.cast_signed());
        match event {
            Event::HeadMoved(head) => self.announced = Some(head.number),
            Event::BlockHashRead { block, result } => {
                let block = *block;
                let found = result.as_ref().map(|hash| hash.clone().unwrap_or_else(|| "no such block yet".to_owned()));
                self.window(window_start(block), now).answer_hash(now, &found);
            }
            Event::BeaconAnswered { result, .. } => {
                if let Some(window) = self.here(now) {
                    let result = result.as_ref().map(|round| format!("round {}: {}", round.round, round.randomness));
                    answer(&mut window.beacon, "round", now, &result);
                }
            }
            Event::GroupReady { group, sealed } => {
                let finding = |finding: &grail_verify::OwnFinding| {
                    let rollout = finding.rollout.map_or("group".to_owned(), |index| format!("rollout {index}"));
                    format!("{rollout}: {}/{}", finding.check, finding.reason)
                };
                let findings: Vec<String> = sealed.findings.iter().map(finding).collect();
                let end = if findings.is_empty() { End::Clean } else { End::Rejected };
                let solved = sealed.rollouts.iter().filter(|rollout| rollout.commit.rollout.success).count();
                if let Some(number) = self.open.get(group).copied() {
                    self.window(group.window_start, now).groups[number].successes = Some(solved);
                }
                self.end_attempt(group, now, end, short(&findings.join("; ")));
            }
            Event::GroupFailed { group, why } => self.end_attempt(group, now, End::Failed, short(why)),
            Event::JournalAnswered { entry: JournalEntry::Group(group), result: Ok(()) } => self.durable(group, now),
            Event::UploadAnswered { window_start, result } => {
                let result = result.as_ref().map(|Etag(version)| format!("written as version {version}"));
                answer(&mut self.window(*window_start, now).upload, "put", now, &result);
            }
            Event::ObjectRead { window_start, result } => {
                let outcome_of = |found: &Option<(String, Etag)>| match found {
                    Some((digest, _)) => format!("found {digest}"),
                    None => "nothing there".to_owned(),
                };
                answer(&mut self.window(*window_start, now).upload, "read", now, &result.as_ref().map(outcome_of));
            }
            Event::ObjectDeleted { window_start, result } => {
                let result = result.as_ref().map(|()| "removed".to_owned());
                answer(&mut self.window(*window_start, now).upload, "delete", now, &result);
            }
            Event::TimerFired(Timer::UploadDeadline) => {
                self.here(now).into_iter().for_each(|window| window.closed_ms = Some(monotonic_ms));
            }
            Event::Started(_)
            | Event::HeadFailed(_)
            | Event::RegistrationRead(_)
            | Event::CommitmentRead(_)
            | Event::CommitmentAnswered(_)
            | Event::JournalAnswered { .. }
            | Event::TimerFired(_)
            | Event::Shutdown => {}
        }
    }

    fn action(&mut self, now: Now, action: &Action) {
        let Now { monotonic_ms, .. } = now;
        match action {
            Action::WatchHead { after } if self.announced.take_if(|announced| announced == after).is_some() => {
                self.head_counts(*after, now);
            }
            Action::WatchHead { .. } => {}
            Action::ReadBlockHash(block) => {
                let window = self.window(window_start(*block), now);
                ask(&mut window.hash, format!("hash of block {block}"), now);
            }
            Action::FetchBeacon(round) => {
                self.here(now).into_iter().for_each(|window| ask(&mut window.beacon, format!("round {round}"), now));
            }
            Action::Generate(order) => {
                let GroupId { window_start, generation, index, attempt } = order.id;
                let groups = &mut self.window(window_start, now).groups;
                groups.push(Attempt { index, attempt, generation, from_ms: monotonic_ms, ..Attempt::default() });
                let number = groups.len() - 1;
                self.open.insert(order.id.clone(), number);
            }
            Action::CancelGroup(group) => self.end_attempt(group, now, End::Canceled, String::new()),
            Action::Upload { window_start, bytes, .. } => {
                let digest = hex::encode(Sha256::digest(bytes));
                let what = format!("put of {} bytes, sha256 {digest}", bytes.len());
                ask(&mut self.window(*window_start, now).upload, what, now);
            }
            Action::ReadObject { window_start, .. } => {
                ask(&mut self.window(*window_start, now).upload, "read back".to_owned(), now);
            }
            Action::DeleteObject { window_start, .. } => {
                ask(&mut self.window(*window_start, now).upload, "delete".to_owned(), now);
            }
            Action::SetTimer { timer: Timer::UploadDeadline, at_ms } => {
                if let Some(window) = self.here(now) {
                    window.closed_ms = None;
                    push(&mut window.deadline, (monotonic_ms, *at_ms));
                }
            }
            Action::ClearTimer(Timer::UploadDeadline) => {
                self.here(now).into_iter().for_each(|window| window.closed_ms = Some(monotonic_ms));
            }
            Action::Report(Report::Trouble(trouble)) => {
                if let Some(window) = self.here(now) {
                    push(&mut window.troubles, (monotonic_ms, trouble.area.name(), short(&trouble.text)));
                }
            }
            Action::Report(Report::Receipt(receipt)) => {
                self.window(receipt.window_start, now).receipt = Some(receipt.clone());
            }
            _ => {}
        }
    }

    fn handled(&mut self, _: Now, _: &Machine) {}

    fn origin(&mut self, _: Now, _: &'static Location<'static>) {}
}

impl WindowLanes {
    /// A hash that is another one than before means that the first block was replaced.
    fn answer_hash<E: ToString>(&mut self, now: Now, found: &Result<String, E>) {
        let is_hash = |text: &&str| text.starts_with("0x");
        let known = self.hash.iter().rev().map(|call| call.answer.as_str()).find(is_hash).map(str::to_owned);
        if let (Ok(hash), Some(known)) = (found, known)
            && hash.starts_with("0x")
            && *hash != known
        {
            push(&mut self.replaced_ms, now.monotonic_ms);
        }
        answer(&mut self.hash, "hash", now, found);
    }
}

fn ask(calls: &mut Vec<Call>, what: String, now: Now) {
    let call = Call { what, from_ms: now.monotonic_ms, to_ms: None, is_good: true, answer: String::new() };
    push(calls, call);
}

/// The newest question of this kind is answered; answers to none, as on a tape with a gap, are left out.
fn answer<E: ToString>(calls: &mut [Call], kind: &str, now: Now, result: &Result<String, E>) {
    let is_open = |call: &&mut Call| call.to_ms.is_none() && call.what.starts_with(kind);
    let Some(call) = calls.iter_mut().rev().find(is_open) else { return };
    call.to_ms = Some(now.monotonic_ms);
    (call.is_good, call.answer) = match result {
        Ok(text) => (true, short(text)),
        Err(error) => (false, short(&error.to_string())),
    };
}

fn push<T>(marks: &mut Vec<T>, mark: T) {
    if marks.len() < MARKS_MAX {
        marks.push(mark);
    }
}

fn short(text: &str) -> String {
    text.chars().take(TEXT_MAX).collect()
}
