//! What can be wrong with a miner that runs.

use std::fmt;

/// Something that ought to make progress and does not.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Ailment {
    /// No new head.
    Chain,
    /// No group.
    Engine,
    /// No verified upload.
    Upload,
}

impl Ailment {
    /// All of them.
    pub(super) const ALL: [Self; 3] = [Self::Chain, Self::Engine, Self::Upload];

    /// Its name in metrics and logs.
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Chain => "chain",
            Self::Engine => "engine",
            Self::Upload => "upload",
        }
    }

    pub(super) const fn recovery(self) -> &'static str {
        match self {
            Self::Chain => "blocks arrive again",
            Self::Engine => "the engine finishes groups again",
            Self::Upload => "an upload was verified again",
        }
    }
}

impl fmt::Display for Ailment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Chain => "no new block arrives; every endpoint is tried in turn: run `grail doctor` if it lasts",
            Self::Engine => {
                "the engine has finished no group for a whole window; look at the GPU, or restart the miner"
            }
            Self::Upload => {
                "no upload was verified for two windows; the receipts tell why, and `grail doctor` checks the bucket"
            }
        })
    }
}
