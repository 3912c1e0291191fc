//! The upload policy on the command line.

use clap::ValueEnum;
use grail_miner::policy::UploadPolicy;

/// Which clean groups to upload.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum PolicyChoice {
    /// The prefix with the best expected score.
    Score,
    /// All of them.
    All,
}

impl From<PolicyChoice> for UploadPolicy {
    fn from(choice: PolicyChoice) -> Self {
        match choice {
            PolicyChoice::Score => Self::Score,
            PolicyChoice::All => Self::All,
        }
    }
}
