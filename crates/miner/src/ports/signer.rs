//! The hotkey's secret half.

use grail_protocol::signature::{Hotkey, Keypair};

/// Signs with the hotkey.
///
/// # Contract
/// The same message gives the same signature, and it verifies under `hotkey`.
pub trait Signer {
    /// Returns the public half.
    fn hotkey(&self) -> Hotkey;
    /// Returns the signature over these bytes.
    fn sign(&self, message: &[u8]) -> [u8; 64];
}

impl Signer for Keypair {
    fn hotkey(&self) -> Hotkey {
        self.hotkey()
    }

    fn sign(&self, message: &[u8]) -> [u8; 64] {
        self.sign(message)
    }
}
