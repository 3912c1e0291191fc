//! Selection of a file's rollouts, and of a window's miners, that a validator checks.

use std::collections::BTreeMap;

use grail_protocol::python_json::Value;
use grail_protocol::python_random::PythonRandom;
use sha2::{Digest, Sha256};

use crate::verdict::GiveUp;

/// Largest number of rollouts that are all checked.
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
    /// Groups the rollouts of a file; those whose `rollout_group` is missing or null belong to none.
    pub(crate) fn of(inferences: &[Value]) -> Result<Self, GiveUp> {
        let mut groups = Self { order: BTreeMap::new(), members: Vec::new() };
        for (position, inference) in inferences.iter().enumerate() {
            let Value::Object(fields) = inference else {
                return Err(GiveUp::new("AttributeError", "a rollout in the file is not an object"));
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

    /// Returns one group that is at position `index` of its file.
    pub(crate) fn single(name: String, index: u32) -> Self {
        Self { order: BTreeMap::from([(name, index)]), members: Vec::new() }
    }
}

/// Returns how many of `groups` groups are checked in a file of `rollouts` rollouts.
pub const fn groups_checked(groups: usize, rollouts: usize) -> usize {
    if rollouts <= CHECK_ALL_MAX {
        return groups;
    }
    // int(G * 0.1): the float product never exceeds the exact tenth enough to reach the next integer.
    let tenth = groups / 10;
    if tenth > 1 { tenth } else { 1 }
}

/// Returns positions of the rollouts that `validator_hotkey` checks, ascending.
///
/// # Errors
/// [`GiveUp`] if the reference throws: a rollout that is not an object, or a large file in which no rollout has a group.
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
        return Err(GiveUp::new("ValueError", "no rollout of the file has a group to draw from"));
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

/// Returns the miners that are checked in a window: the least often checked first, at most [`MINERS_MAX`].
///
/// `active` holds each active miner's address and how often it was checked before.
pub fn select_miners<'a>(active: &[(&'a str, u32)], block_hash: &str) -> Vec<&'a str> {
    let mut ranked = active.to_vec();
    ranked.sort_by_cached_key(|&(hotkey, checked)| {
        let digest: [u8; 32] = Sha256::digest(format!("{block_hash}:{hotkey}")).into();
        (checked, digest[..8].to_vec(), hotkey)
    });
    ranked.into_iter().take(MINERS_MAX).map(|(hotkey, _)| hotkey).collect()
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

    /// Returns a rollout of this group; the number makes its commit its own.
    fn rollout(group: Value, number: usize) -> Value {
        let commit = Value::Object(BTreeMap::from([("tokens".to_owned(), number.into())]));
        Value::Object(BTreeMap::from([("rollout_group".to_owned(), group), ("commit".to_owned(), commit)]))
    }

    fn groups_of_four(groups: usize) -> Vec<Value> {
        (0..4 * groups).map(|number| rollout((number / 4).into(), number)).collect()
    }

    #[test]
    fn small_files_are_checked_whole_with_rollouts_of_no_group() {
        let mut inferences = groups_of_four(4);
        inferences.push(rollout(Value::Null, 16));
        inferences.push(Value::Object(BTreeMap::new()));
        assert_eq!(select(&inferences, "m", "r", "v"), Ok((0..18).collect()));
        assert_eq!(select(&[], "m", "r", "v"), Ok(vec![]));
    }

    #[test]
    fn large_files_are_checked_by_whole_groups() {
        for groups in [6, 19, 20, 37, 60] {
            let inferences = groups_of_four(groups);
            let positions = select(&inferences, "m", "r", "v").unwrap();
            assert_eq!(positions.len(), 4 * groups_checked(groups, inferences.len()), "{groups} groups");
            for four in positions.chunks(4) {
                let first = four[0] / 4 * 4;
                assert_eq!(four, [first, first + 1, first + 2, first + 3]);
            }
        }
    }

    #[test]
    fn the_draw_depends_on_miner_randomness_and_validator_and_on_nothing_else() {
        let inferences = groups_of_four(200);
        let draw = |miner, randomness, validator| select(&inferences, miner, randomness, validator).unwrap();
        let base = draw("m", "r", "v");
        assert_eq!(base, draw("m", "r", "v"));
        assert!([draw("n", "r", "v"), draw("m", "s", "v"), draw("m", "r", "w")].iter().all(|other| *other != base));
    }

    #[test]
    fn a_group_is_known_by_its_content_at_any_position() {
        let inferences = groups_of_four(30);
        let moved: Vec<Value> = inferences[40..].iter().chain(&inferences[..40]).cloned().collect();
        let commits = |inferences: &[Value]| {
            let positions = select(inferences, "m", "r", "v").unwrap();
            let mut texts: Vec<String> = positions.iter().map(|&i| inferences[i].canonical_text()).collect();
            texts.sort();
            texts
        };
        assert_eq!(commits(&inferences), commits(&moved));
    }

    #[test]
    fn scattered_members_are_found_and_those_without_a_group_never_drawn() {
        let inferences: Vec<Value> = (0..90)
            .map(
                |number| {
                    if number % 9 == 0 { rollout(Value::Null, number) } else { rollout((number % 9).into(), number) }
                },
            )
            .collect();
        let positions = select(&inferences, "m", "r", "v").unwrap();
        assert_eq!(positions.len(), 10);
        assert!(positions.windows(2).all(|pair| pair[1] == pair[0] + 9), "{positions:?}");
        assert_ne!(positions[0] % 9, 0);
    }

    #[test]
    fn names_of_groups_are_the_same_as_python_prints_them() {
        let names = [Value::Int(1), Value::from("1"), Value::Float(1.0), Value::Bool(true)];
        let inferences: Vec<Value> = names.into_iter().enumerate().map(|(i, name)| rollout(name, i)).collect();
        let groups = Groups::of(&inferences).unwrap();
        assert_eq!(groups.order, [("1", 0), ("1.0", 1), ("True", 2)].map(|(name, i)| (name.to_owned(), i)).into());
    }

    #[test]
    fn files_on_which_python_throws_are_given_up() {
        let nameless = vec![Value::Object(BTreeMap::new()); 21];
        assert_eq!(select(&nameless, "m", "r", "v").unwrap_err().exception, "ValueError");
        for inferences in [vec![Value::Null], [groups_of_four(6), vec![Value::from("x")]].concat()] {
            assert_eq!(select(&inferences, "m", "r", "v").unwrap_err().exception, "AttributeError");
        }
    }
}
