//! The two runtimes that the chain can have, by their recorded metadata.

use std::sync::LazyLock;

use super::metadata_forms;

/// A runtime of subtensor.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Runtime {
    /// Of the main network, with metadata in version 16.
    Spec365,
    /// Of a local network, with metadata in version 15.
    #[default]
    Spec461,
}

impl Runtime {
    /// Both.
    pub const ALL: [Self; 2] = [Self::Spec365, Self::Spec461];

    /// The runtime with this spec version.
    pub fn of_spec(version: u32) -> Option<Self> {
        Self::ALL.into_iter().find(|runtime| runtime.spec_version() == version)
    }

    /// The number that nodes tell it by.
    pub const fn spec_version(self) -> u32 {
        match self {
            Self::Spec365 => 365,
            Self::Spec461 => 461,
        }
    }

    /// The other one.
    #[must_use]
    pub const fn other(self) -> Self {
        match self {
            Self::Spec365 => Self::Spec461,
            Self::Spec461 => Self::Spec365,
        }
    }

    /// Its metadata as SCALE, with the prefix that nodes send.
    pub const fn metadata(self) -> &'static [u8] {
        match self {
            Self::Spec365 => {
                include_bytes!(concat!(env!("CARGO_MANIFEST_DIR"), "/../../fixtures/chain/finney-spec365.scale"))
            }
            Self::Spec461 => {
                include_bytes!(concat!(env!("CARGO_MANIFEST_DIR"), "/../../fixtures/chain/localnet-spec461.scale"))
            }
        }
    }

    /// What a node answers to who names no version: version 14, or the recorded one where it cannot be brought to that.
    pub fn unversioned_metadata(self) -> &'static [u8] {
        static OLDER: LazyLock<Option<Vec<u8>>> =
            LazyLock::new(|| metadata_forms::from_v15(Runtime::Spec461.metadata()));
        self.reworked(&OLDER)
    }

    /// What a node answers to who names the version: the recorded metadata, readable for older clients too.
    pub fn versioned_metadata(self) -> &'static [u8] {
        static PLAIN: LazyLock<Option<Vec<u8>>> =
            LazyLock::new(|| metadata_forms::with_plain_numbers(Runtime::Spec461.metadata()));
        self.reworked(&PLAIN)
    }

    fn reworked(self, reworked: &'static LazyLock<Option<Vec<u8>>>) -> &'static [u8] {
        match (self, &**reworked) {
            (Self::Spec461, Some(reworked)) => reworked,
            _ => self.metadata(),
        }
    }

    /// The version of the metadata's own format.
    pub const fn metadata_version(self) -> u32 {
        match self {
            Self::Spec365 => 16,
            Self::Spec461 => 15,
        }
    }
}
