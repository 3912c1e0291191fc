//! What was asked for and how far it is: which group is next, which rollouts are drawn, which are proved.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use grail_protocol::generation::{GeneratedRollout, ProofPass};

use super::{GroupWork, Reply};
use crate::error::CudaEngineError;

/// How often a group is begun before its error is handed back.
const ATTEMPTS_MAX: u32 = 4;

/// Rollouts left to a prover when the next groups are begun.
const UNPROVED_PER_PROVER: usize = 2;

/// The order in which groups are begun: by window, index, and when they came.
type Order = (u64, u32, u64);

/// All unfinished groups. It draws nothing and proves nothing: it keeps count.
#[derive(Default)]
pub struct Ledger {
    entries: BTreeMap<Order, Entry>,
    seats: BTreeMap<usize, (Order, usize)>,
    arrivals: u64,
    /// Groups that are still to be begun together.
    joining: usize,
}

struct Entry {
    work: Arc<GroupWork>,
    reply: Option<Reply>,
    cancelled: Arc<AtomicBool>,
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
    /// Names the group and the attempt, so that a late proof of an earlier attempt is recognised.
    pub ticket: (u64, u32, u64, u32),
    /// Its index in the group.
    pub index: usize,
    /// Prompt and completion.
    pub tokens: Vec<u32>,
    /// What was asked for.
    pub work: Arc<GroupWork>,
}

impl Ledger {
    /// Note a group.
    pub fn add(&mut self, work: GroupWork, reply: Reply, cancelled: Arc<AtomicBool>) {
        let first = work.streams.first();
        let order = (first.map_or(0, |s| s.window_start), first.map_or(0, |s| s.group), self.arrivals);
        self.arrivals += 1;
        let entry = Entry {
            work: Arc::new(work),
            reply: Some(reply),
            cancelled,
            attempts: 0,
            rollouts: Vec::new(),
            is_waiting: true,
        };
        self.entries.insert(order, entry);
    }

    /// Whether nothing is left to do.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Whether a rollout is being drawn.
    pub fn is_drawing(&self) -> bool {
        !self.seats.is_empty()
    }

    /// Groups that wait to be begun.
    pub fn waiting(&self) -> usize {
        self.entries.values().filter(|entry| entry.is_waiting).count()
    }

    /// Rollouts that have ended and are not proved yet.
    pub fn unproved(&self) -> usize {
        let unproved = |entry: &Entry| entry.rollouts.iter().filter(|rollout| rollout.pass.is_none()).count();
        self.entries.values().map(unproved).sum::<usize>() - self.seats.len()
    }

    /// The group that is to be begun now, if any is. Together groups are drawn in little more time than one alone, so
    /// while there is something to prove they wait for each other.
    pub fn next_to_begin(&mut self, provers: usize) -> Option<Arc<GroupWork>> {
        if self.unproved() < UNPROVED_PER_PROVER * provers {
            self.joining = self.waiting();
        }
        if self.joining > 0 { self.next_waiting() } else { None }
    }

    /// Forget the groups that nobody waits for any more; gives the slots they sat in.
    pub fn drop_cancelled(&mut self) -> Vec<usize> {
        self.entries.retain(|_, entry| !entry.cancelled.load(Ordering::Relaxed));
        let entries = &self.entries;
        let left: Vec<usize> =
            self.seats.iter().filter(|(_, (order, _))| !entries.contains_key(order)).map(|(slot, _)| *slot).collect();
        for slot in &left {
            self.seats.remove(slot);
        }
        left
    }

    /// The first of the groups that wait.
    pub fn next_waiting(&self) -> Option<Arc<GroupWork>> {
        self.entries.values().find(|entry| entry.is_waiting).map(|entry| entry.work.clone())
    }

    /// The next group sits in these slots, one for each of its rollouts.
    pub fn begin(&mut self, slots: &[usize]) {
        let Some((order, entry)) = self.entries.iter_mut().find(|(_, entry)| entry.is_waiting) else { return };
        entry.is_waiting = false;
        self.joining = self.joining.saturating_sub(1);
        let prompt = &entry.work.prompt;
        let fresh = || Rollout { tokens: prompt.clone(), token_logprobs: vec![0.0; prompt.len()], pass: None };
        entry.rollouts = slots.iter().map(|_| fresh()).collect();
        for (index, slot) in slots.iter().enumerate() {
            self.seats.insert(*slot, (*order, index));
        }
    }

    /// A token was drawn in `slot`; gives the rollout if it ended with it.
    pub fn draw(&mut self, slot: usize, token: u32, logprob: f64, eos_token: u32) -> Option<Finished> {
        let (order, index) = *self.seats.get(&slot)?;
        let entry = self.entries.get_mut(&order)?;
        let rollout = &mut entry.rollouts[index];
        rollout.tokens.push(token);
        rollout.token_logprobs.push(logprob);
        let drawn = rollout.tokens.len() - entry.work.prompt.len();
        if token != eos_token && drawn < entry.work.new_tokens_max {
            return None;
        }
        self.seats.remove(&slot);
        let ticket = (order.0, order.1, order.2, entry.attempts);
        Some(Finished { ticket, index, tokens: rollout.tokens.clone(), work: entry.work.clone() })
    }

    /// A rollout was proved, or could not be; answers whoever waits once the group is complete.
    pub fn proved(&mut self, ticket: (u64, u32, u64, u32), index: usize, pass: Result<ProofPass, CudaEngineError>) {
        let order = (ticket.0, ticket.1, ticket.2);
        let Some(entry) = self.entries.get_mut(&order).filter(|entry| entry.attempts == ticket.3) else { return };
        match pass {
            Ok(pass) => entry.rollouts[index].pass = Some(pass),
            Err(error) => return self.retry(order, error),
        }
        if entry.rollouts.iter().any(|rollout| rollout.pass.is_none()) {
            return;
        }
        let Some(Entry { work, reply, rollouts, .. }) = self.entries.remove(&order) else { return };
        let generated = rollouts.into_iter().map(|rollout| GeneratedRollout {
            tokens: rollout.tokens,
            prompt_length: work.prompt.len(),
            token_logprobs: rollout.token_logprobs,
            pass: rollout.pass.unwrap_or_default(),
        });
        answer(reply, Ok(generated.collect()));
    }

    /// The next group cannot be done at all.
    pub fn refuse_next(&mut self, error: CudaEngineError) {
        let waiting = self.entries.iter().find(|(_, entry)| entry.is_waiting).map(|(order, _)| *order);
        if let Some(entry) = waiting.and_then(|order| self.entries.remove(&order)) {
            answer(entry.reply, Err(error));
        }
    }

    /// Everything that was begun begins again, since the device failed or its memory holds nonsense; what failed too often
    /// is answered with the error. Gives the slots that are free now.
    pub fn restart(&mut self, error: impl Fn() -> CudaEngineError) -> Vec<usize> {
        let begun: Vec<Order> =
            self.entries.iter().filter(|(_, entry)| !entry.is_waiting).map(|(order, _)| *order).collect();
        let slots = self.seats.keys().copied().collect();
        for order in begun {
            self.retry(order, error());
        }
        slots
    }

    fn retry(&mut self, order: Order, error: CudaEngineError) {
        self.seats.retain(|_, (seated, _)| *seated != order);
        let Some(entry) = self.entries.get_mut(&order) else { return };
        entry.attempts += 1;
        entry.is_waiting = true;
        entry.rollouts.clear();
        if entry.attempts >= ATTEMPTS_MAX
            && let Some(entry) = self.entries.remove(&order)
        {
            answer(entry.reply, Err(error));
        }
    }
}

fn answer(reply: Option<Reply>, outcome: Result<Vec<GeneratedRollout>, CudaEngineError>) {
    if let Some(reply) = reply {
        reply(outcome);
    }
}

#[cfg(test)]
mod tests;
