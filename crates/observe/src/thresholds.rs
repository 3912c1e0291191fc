//! Every limit beyond which the miner counts as unwell. Each limit is defined here once, with its reason.

use grail_protocol::PROTOCOL;

/// Block times without a new head after which the chain counts as stale.
///
/// The driver gives each wait for a head 4 block times, and the next wait uses another endpoint. After 10 block times, two
/// endpoints have failed in turn, so a single bad endpoint raises no alarm.
pub const STALE_CHAIN_BLOCKS: u64 = 10;

/// Block times without a new head, although a node is connected, after which a restart may help: twice
/// [`STALE_CHAIN_BLOCKS`], since changing the endpoint must have failed first.
pub const DEAF_BLOCKS: u64 = 2 * STALE_CHAIN_BLOCKS;

/// Block times without a group, although some are in flight, after which the engine counts as stuck: one window, because
/// an engine that finishes nothing in a whole window can upload nothing.
pub const STUCK_ENGINE_BLOCKS: u64 = PROTOCOL.window_blocks;

/// Windows in a row without a verified upload after which uploads count as broken. One missed window can be a replaced
/// block or a restart.
pub const MISSED_WINDOWS: u64 = 2;

/// Block times without any event after which `/healthz` fails. A failed wait for a head is an event and comes within 5
/// block times, so 10 block times without one mean that the event loop is stuck.
pub const SILENT_LOOP_BLOCKS: u64 = 10;

/// Block times without any event after which the watchdog ends the process: twice [`SILENT_LOOP_BLOCKS`], so that a
/// supervisor that asks `/healthz` can act first.
pub const STALLED_LOOP_BLOCKS: u64 = 2 * SILENT_LOOP_BLOCKS;

/// Lower bound in milliseconds of the limits that ask for a restart. Test chains have blocks of a fraction of a second,
/// and a busy machine may pause a process for longer than a few of them.
pub const RESTART_AFTER_MIN_MS: u64 = 30_000;

/// Verified uploads without a weight after which the hotkey counts as excluded. Validators set weights once in 12 windows,
/// so 24 uploads have met at least one whole interval.
pub const UPLOADS_WITHOUT_WEIGHT: u64 = 24;
