//! Which rollouts of a file, and which miners of a window, a validator checks.

use std::collections::BTreeMap;

use grail_protocol::python_json::Value;
use grail_protocol::python_random::PythonRandom;
use sha2::{Digest, Sha256};

use crate::verdict::GiveUp;

/// Up to how many rollouts all are checked.
pub const CHECK_ALL_MAX: usize = 20;
/// Most miners checked per window.
pub const MINERS_MAX: usize = 35;

/// Rollout positions by the name of their group, groups in order of first appearance.
pub(crate) struct Groups {
    /// Position of each group in the file, by name.
    pub(crate) order: BTreeMap<String, u32>,
    members: Vec<Vec<usize>>,
}

impl Groups {
    /// Group the rollouts of a file; those whose `rollout_group` is missing or null belong to none.
    pub(crate) fn of(inferences: &[Value]) -> Result<Self, GiveUp> {
        let mut groups = Self { order: BTreeMap::new(), members: Vec::new() };
        for (position, inference) in inferences.iter().enumerate() {
            let Value::Object(fields) = inference else {
                return Err(GiveUp { exception: "AttributeError", why: "a rollout in the file is no object" });
            };
            let Some(name) = fields.get("rollout_group").filter(|name| !matches!(name, Value::Null)) else {
                continue;
            };
            let next = groups.members.len();
            let index = *groups.order.entry(name.python_str()).or_insert(next as u32) as usize;
            if index == next {
                groups.members.push(Vec::new());
            }
            groups.members[index].push(position);
        }
        Ok(groups)
    }

    /// One group that stands at position `index` of its file.
    pub(crate) fn single(name: String, index: u32) -> Self {
        Self { order: BTreeMap::from([(name, index)]), members: Vec::new() }
    }
}

/// How many of `groups` groups are checked in a file of `rollouts` rollouts.
pub const fn groups_checked(groups: usize, rollouts: usize) -> usize {
    if rollouts <= CHECK_ALL_MAX {
        return groups;
    }
    // int(G * 0.1): the float product never exceeds the exact tenth enough to reach the next integer.
    let tenth = groups / 10;
    if tenth > 1 { tenth } else { 1 }
}

/// Positions of the rollouts that `validator_hotkey` checks, ascending.
///
/// # Errors
/// [`GiveUp`] where the reference throws: a rollout that is no object, or a large file in which no rollout has a group.
pub fn select(
    inferences: &[Value],
    hotkey: &str,
    challenge_randomness: &str,
    validator_hotkey: &str,
) -> Result<Vec<usize>, GiveUp> {
    select_in(inferences, &Groups::of(inferences)?, hotkey, challenge_randomness, validator_hotkey)
}

pub(crate) fn select_in(
    inferences: &[Value],
    groups: &Groups,
    hotkey: &str,
    challenge_randomness: &str,
    validator_hotkey: &str,
) -> Result<Vec<usize>, GiveUp> {
    if inferences.len() <= CHECK_ALL_MAX {
        return Ok((0..inferences.len()).collect());
    }
    if groups.members.is_empty() {
        return Err(GiveUp { exception: "ValueError", why: "no rollout of the file has a group to draw from" });
    }
    let seed: [u8; 32] = Sha256::digest(format!("{hotkey}:{challenge_randomness}:{validator_hotkey}")).into();
    let head = u64::from_be_bytes([seed[0], seed[1], seed[2], seed[3], seed[4], seed[5], seed[6], seed[7]]);
    let mut by_digest: Vec<&Vec<usize>> = groups.members.iter().collect();
    by_digest.sort_by_cached_key(|members| group_digest(inferences, members));
    let count = groups_checked(by_digest.len(), inferences.len());
    let drawn = PythonRandom::from_int(head).sample(by_digest.len(), count);
    let mut positions: Vec<usize> = drawn.into_iter().flat_map(|i| by_digest[i].iter().copied()).collect();
    positions.sort_unstable();
    Ok(positions)
}

/// The miners that are checked in a window: the least often checked first, at most [`MINERS_MAX`].
///
/// `active` holds each active miner's address and how often it was checked before.
pub fn select_miners<'a>(active: &[(&'a str, u32)], block_hash: &str) -> Vec<&'a str> {
    let mut ranked: Vec<_> = active
        .iter()
        .map(|&(hotkey, checked)| {
            let digest: [u8; 32] = Sha256::digest(format!("{block_hash}:{hotkey}")).into();
            (checked, digest[..8].to_vec(), hotkey)
        })
        .collect();
    ranked.sort();
    ranked.into_iter().take(MINERS_MAX).map(|(_, _, hotkey)| hotkey).collect()
}

/// sha256 over the sha256 of each member's canonical commit text, in file order.
fn group_digest(inferences: &[Value], members: &[usize]) -> [u8; 32] {
    let mut digest = Sha256::new();
    for &position in members {
        let text = inferences[position].get("commit").map_or_else(|| "{}".to_owned(), Value::canonical_text);
        digest.update(Sha256::digest(text));
    }
    digest.finalize().into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tenth_of_the_groups_is_checked_as_python_computes_it() {
        for groups in 1..5000usize {
            let python = ((groups as f64 * 0.1) as usize).min(groups).max(1);
            assert_eq!(groups_checked(groups, 4 * groups + 21), python, "{groups} groups");
        }
        assert_eq!(groups_checked(5, 20), 5);
        assert_eq!(groups_checked(6, 24), 1);
    }

    #[test]
    fn the_least_checked_miners_come_first() {
        let active: Vec<(String, u32)> = (0..100).map(|i| (format!("hotkey{i}"), i % 3)).collect();
        let active: Vec<(&str, u32)> = active.iter().map(|(name, count)| (name.as_str(), *count)).collect();
        let chosen = select_miners(&active, "0xab");
        assert_eq!(chosen.len(), MINERS_MAX);
        let count = |wanted: u32| chosen.iter().filter(|name| active.contains(&(**name, wanted))).count();
        assert_eq!((count(0), count(1), count(2)), (34, 1, 0));
        assert_ne!(chosen, select_miners(&active, "0xcd"), "ties are broken by the window's hash");
    }
}
