//! The simulated world: virtual time, a chain, a beacon, a bucket, validators and faults around the real driver and machine
//! of `grail-miner`.
//!
//! It runs on one thread without system time, files, sockets or outside randomness: every draw comes from a named stream of
//! the seed, so the same configuration gives the same trace hash in any process and build. [`run::simulate`] makes a
//! [`run::SimReport`] of a [`run::SimConfig`], [`case::Case`] is a world as data, [`faults::FaultKind`] lists what can go
//! wrong, and [`engine::Generator`] is where rollouts come from.
//!
//! ```
//! use std::rc::Rc;
//!
//! use grail_sim::engine::EngineSpeed;
//! use grail_sim::run::{SimConfig, simulate};
//! use grail_sim::synthetic::SyntheticModel;
//!
//! let speed = EngineSpeed::named("reference").expect("a known speed");
//! let config = SimConfig::new(Rc::new(SyntheticModel::default()), speed, 7, 1);
//! let report = simulate(&config, |_| {});
//! assert_eq!(report.trace_hash, simulate(&config, |_| {}).trace_hash, "one seed, one trace");
//! ```

pub mod beacon;
pub mod bucket;
pub mod calls;
pub mod case;
pub mod chain;
pub mod clock;
mod config;
pub mod disk;
pub mod engine;
pub mod faults;
pub mod fork;
pub mod health;
pub mod income;
pub mod journal;
pub mod ledger;
pub mod marks;
pub mod nearest;
pub mod node;
pub mod past;
mod reasons;
mod receipts;
mod report;
pub mod rivals;
pub mod run;
pub mod safety;
pub mod scenario;
pub mod shrink;
pub mod speeds;
pub mod stream;
pub mod synthetic;
pub mod time;
pub mod toy;
pub mod trace;
pub mod validator;
mod world;
