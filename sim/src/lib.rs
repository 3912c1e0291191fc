//! The simulated world: virtual time, a chain, a beacon, a bucket, a validator and faults around the real mining core.
//!
//! [`run::simulate`] runs the real driver and machine of `grail-miner` against these, on one thread, with every draw from
//! a named stream of the seed: the same configuration gives the same trace hash in any process and build.

pub mod beacon;
pub mod bucket;
pub mod calls;
pub mod case;
pub mod chain;
pub mod clock;
pub mod engine;
pub mod faults;
pub mod fork;
pub mod health;
pub mod hindsight;
pub mod journal;
pub mod ledger;
pub mod marks;
mod node;
pub mod past;
mod reasons;
pub mod rehearsal;
pub mod rivals;
pub mod run;
pub mod safety;
pub mod scenario;
pub mod shrink;
pub mod stream;
pub mod synthetic;
pub mod time;
pub mod tiny;
pub mod trace;
pub mod validator;
mod world;
