//! Every constant of the wire, tied to one protocol version.

/// The constants that one release of the reference fixes.
///
/// A later release changes several of them at once, so they travel together.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct ProtocolVersion {
    /// The release of the reference implementation that these values were read from.
    pub reference_release: &'static str,
    /// Length of a window in blocks.
    pub window_blocks: u64,
    /// Nominal time between two blocks, in milliseconds.
    pub block_ms: u64,
    /// Hub id of the model that every rollout must name.
    pub model_name: &'static str,
    /// The hidden state that the sketch is taken of: −1 is the one after the final norm.
    pub layer_index: i32,
    /// Most tokens that a completion may have.
    pub new_tokens_max: usize,
    /// Rollouts in a group; a group is one problem.
    pub rollouts_per_group: usize,
    /// Modulus of the sketch.
    pub modulus: u32,
    /// Positions that a proof opens.
    pub challenge_positions: usize,
    /// Largest distance modulo `modulus` at which two sketch values still agree.
    pub sketch_tolerance: u32,
    /// Smallest probability at which an EOS ends a rollout.
    pub eos_probability_min: f64,
    /// Prefix of SS58 addresses.
    pub ss58_prefix: u8,
    /// Context of sr25519 signatures.
    pub signing_context: &'static [u8],
    /// Network id of the subnet on the public chain.
    pub netuid: u16,
}

/// The protocol spoken by this build: that of the reference 0.0.12.
pub const PROTOCOL: ProtocolVersion = ProtocolVersion {
    reference_release: "0.0.12",
    window_blocks: 30,
    block_ms: 12_000,
    model_name: "Qwen/Qwen3-4B-Instruct-2507",
    layer_index: -1,
    new_tokens_max: 1024,
    rollouts_per_group: 4,
    modulus: 2_147_483_647,
    challenge_positions: 16,
    sketch_tolerance: 3,
    eos_probability_min: 0.1,
    ss58_prefix: 42,
    signing_context: b"substrate",
    netuid: 81,
};

/// Returns the first block of the window that `block` belongs to.
pub const fn window_start(block: u64) -> u64 {
    block / PROTOCOL.window_blocks * PROTOCOL.window_blocks
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_window_starts_at_a_multiple_of_its_length() {
        assert_eq!(window_start(0), 0);
        assert_eq!(window_start(29), 0);
        assert_eq!(window_start(30), 30);
        assert_eq!(window_start(303), 300);
    }
}
