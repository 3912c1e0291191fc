//! The number of rivals, from a subnet's metagraph.

use std::path::Path;

use anyhow::{Context, anyhow};
use grail_folder::bounded;
use serde_json::Value;

/// Longest metagraph file.
const METAGRAPH_BYTES_MAX: usize = 64 << 20;

/// Counts the miners with an incentive, without uid 0, which gets what validators burn. The file holds a list of numbers by
/// uid, a list of objects with `incentive` and `uid` (their place, if it is missing), or an object with such a list.
///
/// # Errors
/// If the file cannot be read, or holds no such list.
pub fn rivals(path: &Path) -> anyhow::Result<u32> {
    let unusable = || format!("cannot use {}; give --metagraph the subnet's metagraph as JSON", path.display());
    let document: Value = serde_json::from_slice(&bounded::read(path, METAGRAPH_BYTES_MAX).with_context(unusable)?)
        .with_context(unusable)?;
    let listed = [&document, &document["incentive"], &document["neurons"]].into_iter().find_map(Value::as_array);
    let incentives = listed.ok_or_else(|| anyhow!("no list of incentives is in it")).with_context(unusable)?;
    let earns = |(place, miner): &(u64, &Value)| {
        let share = miner.as_f64().or_else(|| miner["incentive"].as_f64());
        miner["uid"].as_u64().unwrap_or(*place) != 0 && share.is_some_and(|share| share > 0.0)
    };
    let count = (0..).zip(incentives).filter(earns).count();
    // The subnet has 256 places, and this miner takes one.
    u32::try_from(count.min(255)).context("a count below 256 fits")
}
