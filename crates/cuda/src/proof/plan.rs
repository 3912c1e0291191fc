//! Whose bits a proof has, and how its work is arranged.

/// Which releases of PyTorch's reductions are followed: they differ in the order in which a row is added.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum TorchProfile {
    /// Up to 2.9: what the network's validators run.
    #[default]
    Torch2_8,
    /// From 2.10 on.
    Torch2_10,
}

impl TorchProfile {
    /// The name in the configuration.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Torch2_8 => "torch-2.8",
            Self::Torch2_10 => "torch-2.10",
        }
    }

    /// The profile of this name.
    pub fn named(name: &str) -> Option<Self> {
        [Self::Torch2_8, Self::Torch2_10].into_iter().find(|profile| profile.name() == name)
    }

    /// The profile that a release of PyTorch, such as `2.11.0+cu130`, belongs to.
    pub fn of_release(release: &str) -> Option<Self> {
        let mut parts = release.split(['.', '+']).map(str::parse::<u32>);
        match (parts.next()?.ok()?, parts.next()?.ok()?) {
            (2, minor) if minor <= 9 => Some(Self::Torch2_8),
            (2, _) => Some(Self::Torch2_10),
            _ => None,
        }
    }
}

/// Not the name of a profile.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{name:?} is no profile; write torch-2.8, as the network's validators run, or torch-2.10")]
pub struct ProfileNameError {
    /// What was typed.
    pub name: String,
}

impl std::str::FromStr for TorchProfile {
    type Err = ProfileNameError;

    fn from_str(name: &str) -> Result<Self, Self::Err> {
        Self::named(name).ok_or_else(|| ProfileNameError { name: name.to_owned() })
    }
}

/// How the work of a proof is arranged. Every arrangement that is on by default was measured to keep the bits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ProofPlan {
    /// Products that do not wait for each other run side by side, which fills the multiprocessors that a product's last
    /// wave of blocks leaves idle.
    pub parallel: bool,
    /// Linear layers take the fastest kernel that sums as the one that cuBLAS takes; sequences can be proved together.
    pub named: bool,
    /// The launches of a length are recorded as a graph.
    pub graphs: bool,
}

impl ProofPlan {
    /// Nothing but what the reference does, in its order.
    pub const PLAIN: Self = Self { parallel: false, named: false, graphs: false };
}

impl Default for ProofPlan {
    fn default() -> Self {
        Self { parallel: true, named: true, ..Self::PLAIN }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn releases_belong_to_the_profile_of_their_order() {
        for (release, profile) in [
            ("2.8.0", Some(TorchProfile::Torch2_8)),
            ("2.9.1+cu128", Some(TorchProfile::Torch2_8)),
            ("2.10.0", Some(TorchProfile::Torch2_10)),
            ("2.11.0+cu130", Some(TorchProfile::Torch2_10)),
            ("1.13.1", None),
            ("nightly", None),
        ] {
            assert_eq!(TorchProfile::of_release(release), profile, "{release}");
        }
    }

    #[test]
    fn names_lead_back_to_their_profile() {
        for profile in [TorchProfile::Torch2_8, TorchProfile::Torch2_10] {
            assert_eq!(TorchProfile::named(profile.name()), Some(profile));
        }
        assert!("torch-3".parse::<TorchProfile>().unwrap_err().to_string().contains("torch-2.8"));
    }
}
