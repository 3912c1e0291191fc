//! Requested groups and their progress: which group is next, which rollouts are drawn, which are proved.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use grail_protocol::generation::{GeneratedRollout, ProofPass};

use super::{GroupWork, Reply};
use crate::error::CudaEngineError;

/// How often a group is started before its error is handed back.
const ATTEMPTS_MAX: u32 = 4;

/// Rollouts left to a prover when the next groups are started.
const UNPROVED_PER_PROVER: usize = 2;

/// Most groups that a window begins with. A whole batch takes twice as long to draw, and the first group waits for it.
const OPENING_GROUPS: usize = 16;

/// The order in which groups are started: by window, index, and when they came.
pub(super) type GroupKey = (u64, u32, u64);
/// Names a group and the attempt, so that a late proof of an earlier attempt is recognized.
pub(super) type AttemptKey = (GroupKey, u32);

/// All unfinished groups. It only keeps count; it neither draws nor proves.
#[derive(Default)]
pub struct GroupLedger {
    entries: BTreeMap<GroupKey, Entry>,
    slots: BTreeMap<usize, (GroupKey, usize)>,
    arrivals: u64,
    /// Groups that are still to be started together.
    joining: usize,
    /// The window that was begun last.
    window: Option<u64>,
    /// No group of that window is answered yet.
    is_opening: bool,
}

struct Entry {
    work: Arc<GroupWork>,
    reply: Reply,
    canceled: Arc<AtomicBool>,
    attempts: u32,
    rollouts: Vec<Rollout>,
    is_waiting: bool,
}

/// A rollout while it grows.
struct Rollout {
    tokens: Vec<u32>,
    token_logprobs: Vec<f64>,
    pass: Option<ProofPass>,
}

/// A rollout that has ended and is to be proved.
#[derive(Debug, Clone, PartialEq)]
pub struct Finished {
    /// The group and the attempt.
    pub ticket: AttemptKey,
    /// Its index in the group.
    pub index: usize,
    /// Prompt and completion.
    pub tokens: Vec<u32>,
    /// The request.
    pub work: Arc<GroupWork>,
}

impl GroupLedger {
    /// Records a group.
    pub fn add(&mut self, work: GroupWork, reply: Reply, canceled: Arc<AtomicBool>) {
        let first = work.streams.first();
        let key = (first.map_or(0, |s| s.window_start), first.map_or(0, |s| s.group), self.arrivals);
        self.arrivals += 1;
        let entry =
            Entry { work: Arc::new(work), reply, canceled, attempts: 0, rollouts: Vec::new(), is_waiting: true };
        self.entries.insert(key, entry);
    }

    /// Returns whether nothing is left to do.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Returns how many groups are unfinished.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Returns whether the group that this rollout belongs to is unfinished, and in the same attempt.
    pub fn holds(&self, (key, attempt): AttemptKey) -> bool {
        self.entries.get(&key).is_some_and(|entry| entry.attempts == attempt)
    }

    /// Returns whether a rollout is being drawn.
    pub fn is_drawing(&self) -> bool {
        !self.slots.is_empty()
    }

    /// Returns groups that wait to be started.
    pub fn waiting(&self) -> usize {
        self.entries.values().filter(|entry| entry.is_waiting).count()
    }

    /// Returns rollouts that have ended and are not proved yet.
    pub fn unproved(&self) -> usize {
        let unproved = |entry: &Entry| entry.rollouts.iter().filter(|rollout| rollout.pass.is_none()).count();
        self.entries.values().map(unproved).sum::<usize>() - self.slots.len()
    }

    /// Returns the group that is to be started now, if any is. Several groups together take little more time than one,
    /// so groups wait for each other while there is something to prove. A window begins with a few.
    pub fn next_to_begin(&mut self, provers: usize) -> Option<Arc<GroupWork>> {
        if self.unproved() < UNPROVED_PER_PROVER * provers {
            let begun = self.entries.len() - self.waiting();
            let next = self.entries.iter().find(|(_, entry)| entry.is_waiting).map(|(key, _)| key.0);
            if begun == 0 && next.is_some() && next != self.window {
                (self.window, self.is_opening) = (next, true);
            }
            self.joining = match self.is_opening {
                true => self.waiting().min(OPENING_GROUPS.saturating_sub(begun)),
                false => self.waiting(),
            };
        }
        if self.joining > 0 { self.next_waiting() } else { None }
    }

    /// Returns the first group of a window that is drawn and waits for its proof, while none is answered yet. Drawing should
    /// pause for it.
    pub fn first_drawn(&self) -> Option<GroupKey> {
        let is_drawn = |(key, entry): &(&GroupKey, &Entry)| {
            !entry.is_waiting && !self.slots.values().any(|(key_in_slot, _)| key_in_slot == *key)
        };
        let mut entries = self.entries.iter().filter(|_| self.is_opening);
        entries.find(is_drawn).map(|(key, _)| *key)
    }

    /// Forgets canceled groups. Returns their slots.
    pub fn drop_canceled(&mut self) -> Vec<usize> {
        self.entries.retain(|_, entry| !entry.canceled.load(Ordering::Relaxed));
        let entries = &self.entries;
        let left: Vec<usize> =
            self.slots.iter().filter(|(_, (key, _))| !entries.contains_key(key)).map(|(slot, _)| *slot).collect();
        for slot in &left {
            self.slots.remove(slot);
        }
        left
    }

    /// Returns the first of the groups that wait.
    pub fn next_waiting(&self) -> Option<Arc<GroupWork>> {
        self.entries.values().find(|entry| entry.is_waiting).map(|entry| entry.work.clone())
    }

    /// Starts the next group in these slots, one for each of its rollouts.
    pub fn begin(&mut self, slots: &[usize]) {
        let Some((key, entry)) = self.entries.iter_mut().find(|(_, entry)| entry.is_waiting) else { return };
        entry.is_waiting = false;
        self.joining = self.joining.saturating_sub(1);
        let prompt = &entry.work.prompt;
        let fresh = || Rollout { tokens: prompt.clone(), token_logprobs: vec![0.0; prompt.len()], pass: None };
        entry.rollouts = slots.iter().map(|_| fresh()).collect();
        for (index, slot) in slots.iter().enumerate() {
            self.slots.insert(*slot, (*key, index));
        }
    }

    /// Records a token that was drawn in `slot`. Returns the rollout if the token ended it.
    pub fn draw(&mut self, slot: usize, token: u32, logprob: f64, eos_token: u32) -> Option<Finished> {
        let (key, index) = *self.slots.get(&slot)?;
        let entry = self.entries.get_mut(&key)?;
        let rollout = &mut entry.rollouts[index];
        rollout.tokens.push(token);
        rollout.token_logprobs.push(logprob);
        let drawn = rollout.tokens.len() - entry.work.prompt.len();
        if token != eos_token && drawn < entry.work.new_tokens_max {
            return None;
        }
        self.slots.remove(&slot);
        let ticket = (key, entry.attempts);
        Some(Finished { ticket, index, tokens: rollout.tokens.clone(), work: entry.work.clone() })
    }

    /// Records the proof of a rollout, or its failure. Answers the waiting caller once the group is complete.
    pub fn proved(&mut self, (key, attempt): AttemptKey, index: usize, pass: Result<ProofPass, CudaEngineError>) {
        let Some(entry) = self.entries.get_mut(&key).filter(|entry| entry.attempts == attempt) else { return };
        match pass {
            Ok(pass) => entry.rollouts[index].pass = Some(pass),
            Err(error) => return self.retry(key, error),
        }
        if entry.rollouts.iter().any(|rollout| rollout.pass.is_none()) {
            return;
        }
        self.is_opening = false;
        let Some(Entry { work, reply, rollouts, .. }) = self.entries.remove(&key) else { return };
        let generated = rollouts.into_iter().map(|rollout| GeneratedRollout {
            tokens: rollout.tokens,
            prompt_length: work.prompt.len(),
            token_logprobs: rollout.token_logprobs,
            pass: rollout.pass.unwrap_or_default(),
        });
        reply(Ok(generated.collect()));
    }

    /// The next group cannot be done at all.
    pub fn refuse_next(&mut self, error: CudaEngineError) {
        let waiting = self.entries.iter().find(|(_, entry)| entry.is_waiting).map(|(key, _)| *key);
        if let Some(entry) = waiting.and_then(|key| self.entries.remove(&key)) {
            (entry.reply)(Err(error));
        }
    }

    /// Restarts everything that was started, because the device failed or its memory is damaged; groups that failed too
    /// often get the error. Returns the free slots.
    pub fn restart(&mut self, error: impl Fn() -> CudaEngineError) -> Vec<usize> {
        let begun: Vec<GroupKey> =
            self.entries.iter().filter(|(_, entry)| !entry.is_waiting).map(|(key, _)| *key).collect();
        let slots = self.slots.keys().copied().collect();
        for key in begun {
            self.retry(key, error());
        }
        slots
    }

    fn retry(&mut self, key: GroupKey, error: CudaEngineError) {
        self.slots.retain(|_, (key_in_slot, _)| *key_in_slot != key);
        let Some(entry) = self.entries.get_mut(&key) else { return };
        entry.attempts += 1;
        entry.is_waiting = true;
        entry.rollouts.clear();
        if entry.attempts >= ATTEMPTS_MAX
            && let Some(entry) = self.entries.remove(&key)
        {
            (entry.reply)(Err(error));
        }
    }
}

#[cfg(test)]
mod tests;
