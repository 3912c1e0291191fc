//! The two runtimes that the chain can have, by their recorded metadata.

use std::sync::LazyLock;

use super::metadata_forms::OlderForms;

/// A runtime of subtensor.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Runtime {
    /// Of the main network, recorded with metadata in version 16.
    Spec365,
    /// Of a local network, recorded with metadata in version 15.
    #[default]
    Spec461,
}

impl Runtime {
    /// Both.
    pub const ALL: [Self; 2] = [Self::Spec365, Self::Spec461];

    /// Returns the version number that nodes report.
    pub const fn spec_version(self) -> u32 {
        match self {
            Self::Spec365 => 365,
            Self::Spec461 => 461,
        }
    }

    /// Returns the other one.
    #[must_use]
    pub const fn other(self) -> Self {
        match self {
            Self::Spec365 => Self::Spec461,
            Self::Spec461 => Self::Spec365,
        }
    }

    /// Returns its metadata as SCALE, with the prefix that nodes send.
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

    /// Returns the metadata in the format of a version, as SCALE with its prefix; none if the node does not offer that
    /// one.
    ///
    /// A node that is asked for no version answers with version 14.
    pub fn metadata_in(self, version: u32) -> Option<&'static [u8]> {
        static OF_365: LazyLock<Option<OlderForms>> = LazyLock::new(|| OlderForms::of(Runtime::Spec365.metadata()));
        static OF_461: LazyLock<Option<OlderForms>> = LazyLock::new(|| OlderForms::of(Runtime::Spec461.metadata()));
        let forms = match self {
            Self::Spec365 => &OF_365,
            Self::Spec461 => &OF_461,
        };
        match (version, &**forms) {
            (14, Some(forms)) => Some(&forms.v14),
            (15, Some(forms)) => Some(&forms.v15),
            (16, _) if self == Self::Spec365 => Some(self.metadata()),
            _ => None,
        }
    }

    /// Returns the versions of the metadata's own format that a node offers.
    pub const fn metadata_versions(self) -> &'static [u32] {
        match self {
            Self::Spec365 => &[14, 15, 16],
            Self::Spec461 => &[14, 15],
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_version_is_offered_that_is_named() {
        for runtime in Runtime::ALL {
            let offered: Vec<u32> = (0..20).filter(|version| runtime.metadata_in(*version).is_some()).collect();
            assert_eq!(offered, runtime.metadata_versions());
            for version in offered {
                // The prefix `meta`, then the version.
                assert_eq!(u32::from(runtime.metadata_in(version).unwrap()[4]), version);
            }
        }
    }
}
