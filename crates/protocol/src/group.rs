//! A group's signed rollouts, held by several owners without copies of their own.

use std::fmt;
use std::ops::Deref;
use std::sync::{Arc, OnceLock};

use serde::{Deserialize, Serialize};

use crate::rollout::Rollout;
use crate::shared::Shared;
use crate::window_file::PackedGroup;

/// The signed rollouts of one group, and their part of a window file after its first use; clones share both.
///
/// Comparison, display and serialization use only the list of rollouts, since the part follows from them.
#[derive(Clone, Serialize, Deserialize)]
#[serde(transparent)]
pub struct SignedGroup {
    rollouts: Shared<Rollout>,
    #[serde(skip)]
    packed: Arc<OnceLock<PackedGroup>>,
}

impl SignedGroup {
    /// Returns the group's part of a file; the first call compresses it.
    pub fn packed(&self) -> &PackedGroup {
        // Early uploads send the first groups of a window several times. Each group is compressed once.
        self.packed.get_or_init(|| PackedGroup::new(self))
    }
}

impl From<Vec<Rollout>> for SignedGroup {
    fn from(rollouts: Vec<Rollout>) -> Self {
        Self { rollouts: rollouts.into(), packed: Arc::default() }
    }
}

impl Deref for SignedGroup {
    type Target = [Rollout];

    fn deref(&self) -> &[Rollout] {
        &self.rollouts
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
        fmt::Debug::fmt(&self.rollouts, f)
    }
}
