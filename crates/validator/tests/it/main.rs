//! The core against a world that answers at once: every call failed, every crash, the selection and the weights.

mod crashes;
mod driver;
mod facts;
mod net;
mod trouble;
mod windows;
