//! The mining core: one deterministic state machine decides what to do and when, and a driver carries it out.
//!
//! This crate performs no I/O, reads no clock and draws no randomness: the world is behind the [`ports`], and the machine
//! sees only their [`answers`]. [`machine::Machine`] takes events and gives actions, [`driver`] connects it to the ports,
//! live and simulated alike, and `grail-contract` is the test suite that every implementation of a port must pass.
//!
//! ```
//! use grail_miner::answers::Now;
//! use grail_miner::machine::{Event, Machine, MachineSecrets, MachineSettings};
//! use grail_protocol::signature::Hotkey;
//!
//! let hotkey = Hotkey::from_ss58("5HTMhsBiLimpNawLfGAdH9yn1nWALyjprVMxmAsVt9SrFu4W").expect("an address");
//! let secrets = MachineSecrets { seed: 1, read_credentials: vec![0; 128] };
//! let mut machine = Machine::new(MachineSettings::new(hotkey), secrets);
//! // The first event says what survived the last process; the answer starts with watching for a head.
//! let actions = machine.handle(Now { monotonic_ms: 0, wall_ms: 0 }, Event::Started(Vec::new()));
//! assert!(!actions.is_empty());
//! ```

pub mod actions;
pub mod answers;
pub mod calls;
pub mod decisions;
pub mod driver;
pub mod line;
pub mod machine;
pub mod outstanding;
pub mod policy;
pub mod ports;
pub mod seal;
