//! Numerics of a proof, and the arrangement of its work.

/// Which releases of PyTorch's reductions are followed: they differ in the order in which a row is added.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum TorchNumerics {
    /// Up to 2.9: what the network's validators run.
    #[default]
    Torch2_8,
    /// From 2.10 on.
    Torch2_10,
}

impl TorchNumerics {
    /// Returns the name in the configuration.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Torch2_8 => "torch-2.8",
            Self::Torch2_10 => "torch-2.10",
        }
    }

    /// Returns the numerics that a release of PyTorch, such as `2.11.0+cu130`, belongs to.
    pub fn of_release(release: &str) -> Option<Self> {
        let mut parts = release.split(['.', '+']).map(str::parse::<u32>);
        match (parts.next()?.ok()?, parts.next()?.ok()?) {
            (2, minor) if minor <= 9 => Some(Self::Torch2_8),
            (2, _) => Some(Self::Torch2_10),
            _ => None,
        }
    }
}

/// An unknown name of numerics.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("unknown numerics {name:?}; write torch-2.8, which the network's validators run, or torch-2.10")]
pub struct TorchNumericsNameError {
    /// The typed text.
    pub name: String,
}

impl std::str::FromStr for TorchNumerics {
    type Err = TorchNumericsNameError;

    fn from_str(name: &str) -> Result<Self, Self::Err> {
        let known = [Self::Torch2_8, Self::Torch2_10].into_iter().find(|numerics| numerics.name() == name);
        known.ok_or_else(|| TorchNumericsNameError { name: name.to_owned() })
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
    /// Exactly the reference's operations, in its order.
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
    fn releases_map_to_the_numerics_of_their_summation_order() {
        for (release, numerics) in [
            ("2.8.0", Some(TorchNumerics::Torch2_8)),
            ("2.9.1+cu128", Some(TorchNumerics::Torch2_8)),
            ("2.10.0", Some(TorchNumerics::Torch2_10)),
            ("2.11.0+cu130", Some(TorchNumerics::Torch2_10)),
            ("1.13.1", None),
            ("nightly", None),
        ] {
            assert_eq!(TorchNumerics::of_release(release), numerics, "{release}");
        }
    }

    #[test]
    fn names_parse_back_to_their_numerics() {
        for numerics in [TorchNumerics::Torch2_8, TorchNumerics::Torch2_10] {
            assert_eq!(numerics.name().parse(), Ok(numerics));
        }
        assert!("torch-3".parse::<TorchNumerics>().unwrap_err().to_string().contains("torch-2.8"));
    }
}
