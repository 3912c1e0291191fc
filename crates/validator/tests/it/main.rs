//! The core against a world that answers at once: every call failed, every crash, and whom it selects and pays.

mod crashes;
mod driver;
mod net;
mod trouble;
mod windows;
