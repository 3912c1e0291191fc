//! The two runtimes that the chain can have, by their recorded metadata.

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
                include_bytes!(concat!(env!("CARGO_MANIFEST_DIR"), "/fixtures/chain/finney-spec365.scale"))
            }
            Self::Spec461 => {
                include_bytes!(concat!(env!("CARGO_MANIFEST_DIR"), "/fixtures/chain/localnet-spec461.scale"))
            }
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
