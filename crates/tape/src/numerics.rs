//! Runs an engine over a tape: proves recorded tokens again, or draws them again if the seed is known, and compares.

use std::collections::BTreeMap;
use std::ops::Range;

use grail_miner::machine::{Action, Event, GroupId, GroupRequest};
use grail_miner::ports::{EngineError, GenerateRequest};
use grail_miner::seal::SealedGroup;
use grail_protocol::generation::{GeneratedRollout, ProofPass};
use grail_protocol::sketch::agrees;
use grail_verify::RecomputeError;
use serde::Serialize;

use super::divergence::{Class, Divergence, Line};
use super::fields::FieldChange;
use super::format::Step;
use super::reader::Tape;
use super::session::{Moment, Session};

/// An engine that computes again.
pub trait Numerics {
    /// Returns the exact pass over a sequence.
    ///
    /// # Errors
    /// If the model cannot be run.
    fn pass(&mut self, tokens: &[u32], randomness: &str) -> Result<ProofPass, RecomputeError>;

    /// Returns the rollouts of these streams, if this engine is deterministic.
    fn generate(&mut self, request: &GenerateRequest) -> Option<Result<Vec<GeneratedRollout>, EngineError>>;
}

/// Result of proving a tape again.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
pub struct Recomputation {
    /// Rollouts whose proof was computed again.
    pub proved: usize,
    /// Rollouts that were drawn again.
    pub drawn: usize,
    /// Groups with a difference.
    pub divergences: Vec<Divergence>,
}

/// Why an engine could not do it.
#[derive(Debug, thiserror::Error)]
pub enum NumericsError {
    /// A pass failed.
    #[error(transparent)]
    Pass(#[from] RecomputeError),
    /// Drawing failed.
    #[error(transparent)]
    Draw(#[from] EngineError),
}

/// Computes the groups that were recorded in these steps again.
///
/// # Errors
/// [`NumericsError`] if the engine fails.
pub fn recompute(
    tape: &Tape,
    steps: Range<usize>,
    numerics: &mut dyn Numerics,
) -> Result<Recomputation, NumericsError> {
    let mut recomputation = Recomputation::default();
    let mut session = Session::new(tape);
    let mut orders: BTreeMap<GroupId, GroupRequest> = BTreeMap::new();
    while let Some(moment) = session.advance() {
        let Moment::Step { step, asked, .. } = moment else { continue };
        let at = session.steps() - 1;
        if let Event::GroupReady { group, sealed } = &step.event
            && steps.contains(&at)
        {
            let order = orders.remove(group);
            let found = compare(tape, step, at, sealed, order.as_ref(), numerics, &mut recomputation)?;
            let causes = session.causes(at);
            recomputation.divergences.extend(found.map(|found| Divergence { causes, ..found }));
        }
        for order in asked.into_iter().filter_map(|asked| match asked.action {
            Action::Generate(order) => Some(*order),
            _ => None,
        }) {
            orders.insert(order.id.clone(), order);
        }
    }
    Ok(recomputation)
}

fn compare(
    tape: &Tape,
    step: &Step,
    at: usize,
    sealed: &SealedGroup,
    order: Option<&GroupRequest>,
    numerics: &mut dyn Numerics,
    done: &mut Recomputation,
) -> Result<Option<Divergence>, NumericsError> {
    let mut differences = Vec::new();
    for (index, (generated, rollout)) in (0u32..).zip(sealed.generated.iter().zip(&sealed.rollouts)) {
        let pass = numerics.pass(&generated.tokens, &rollout.commit.beacon.randomness)?;
        done.proved += 1;
        differences.extend(sketches(index, &generated.pass.s_vals, &pass.s_vals));
    }
    if let Some((seed, order)) = tape.header.simulated_seed.zip(order) {
        let wanted = order.wanted();
        if let Some(drawn) = draw(&wanted, seed, order, sealed, numerics) {
            let drawn = drawn?;
            done.drawn += drawn.len();
            differences.extend(wanted.into_iter().zip(drawn).filter_map(|(i, drawn)| tokens(i, sealed, &drawn)));
        }
    }
    let Some(class) = differences.iter().map(|(class, _)| *class).max() else { return Ok(None) };
    let fields = differences.into_iter().map(|(_, change)| change).collect();
    let lines = step.actions.iter().cloned().map(Line::Both).collect();
    Ok(Some(Divergence { class, fields, lines, ..Divergence::at(at, step, &step.actions) }))
}

fn sketches(rollout: u32, recorded: &[u32], replayed: &[u32]) -> Option<(Class, FieldChange)> {
    let first = (0..recorded.len().max(replayed.len())).find(|&i| recorded.get(i) != replayed.get(i))?;
    let pairs = recorded.iter().zip(replayed);
    let differing = pairs.clone().filter(|(a, b)| a != b).count() + recorded.len().abs_diff(replayed.len());
    let is_near = recorded.len() == replayed.len() && pairs.clone().all(|(a, b)| agrees(*b, i128::from(*a)));
    let class = if is_near { Class::DifferentRounding } else { Class::DifferentSketches };
    let path = format!("rollout {rollout}: {differing} of {} sketches differ, s_vals.{first}", recorded.len());
    Some((class, change(path, recorded.get(first), replayed.get(first))))
}

fn tokens(rollout: u32, sealed: &SealedGroup, drawn: &GeneratedRollout) -> Option<(Class, FieldChange)> {
    let (recorded, replayed) = (&sealed.generated.get(rollout as usize)?.tokens, &drawn.tokens);
    let first = (0..recorded.len().max(replayed.len())).find(|&i| recorded.get(i) != replayed.get(i))?;
    let path = format!("rollout {rollout}: tokens.{first}");
    Some((Class::DifferentTokens, change(path, recorded.get(first), replayed.get(first))))
}

fn change(path: String, recorded: Option<&u32>, replayed: Option<&u32>) -> FieldChange {
    FieldChange { path, recorded: recorded.map(u32::to_string), replayed: replayed.map(u32::to_string) }
}

fn draw(
    wanted: &[u32],
    seed: u64,
    order: &GroupRequest,
    sealed: &SealedGroup,
    numerics: &mut dyn Numerics,
) -> Option<Result<Vec<GeneratedRollout>, EngineError>> {
    let first = sealed.generated.first()?;
    numerics.generate(&order.generation(first.tokens[..first.prompt_length].to_vec(), wanted, seed))
}
