//! A group's signed rollouts, held by several owners without copies of their own.

use std::fmt;
use std::ops::Deref;
use std::sync::{Arc, OnceLock};

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::rollout::Rollout;
use crate::window_file::PackedGroup;

/// The signed rollouts of one group, and their part of a window file after its first use; clones share both.
///
/// Comparison, display and serialization use only the list of rollouts, since the part follows from them.
#[derive(Clone)]
pub struct SignedGroup(Arc<Content>);

struct Content {
    rollouts: Vec<Rollout>,
    packed: OnceLock<PackedGroup>,
}

impl SignedGroup {
    /// Returns the group's part of a file; the first call compresses it.
    pub fn packed(&self) -> &PackedGroup {
        // Early uploads send the first groups of a window several times. Each group is compressed once.
        self.0.packed.get_or_init(|| PackedGroup::new(self))
    }
}

impl From<Vec<Rollout>> for SignedGroup {
    fn from(rollouts: Vec<Rollout>) -> Self {
        Self(Arc::new(Content { rollouts, packed: OnceLock::new() }))
    }
}

impl Deref for SignedGroup {
    type Target = [Rollout];

    fn deref(&self) -> &[Rollout] {
        &self.0.rollouts
    }
}

impl<'a> IntoIterator for &'a SignedGroup {
    type Item = &'a Rollout;
    type IntoIter = std::slice::Iter<'a, Rollout>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

impl PartialEq for SignedGroup {
    fn eq(&self, other: &Self) -> bool {
        self[..] == other[..]
    }
}

impl fmt::Debug for SignedGroup {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Like any shared list.
        f.debug_tuple("Shared").field(&self.0.rollouts).finish()
    }
}

impl Serialize for SignedGroup {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.0.rollouts.serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for SignedGroup {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Vec::deserialize(deserializer).map(Self::from)
    }
}
