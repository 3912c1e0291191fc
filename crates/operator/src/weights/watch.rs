//! The weight that validators give, read once a window while the miner runs.

use std::path::Path;
use std::time::Duration;

use grail_miner::ports::Chain;
use grail_protocol::signature::Hotkey;

use grail_live::chain::{SetWeights, SubtensorChain};
use grail_observe::SharedState;
use grail_observe::control::Rank;

use super::{WeightReading, unsigned};

/// Block times between two readings: one in each window.
const WEIGHT_BLOCKS: u64 = 30;

/// Reads `hotkey`'s weights once a window, within `limit`, keeps them for `grail report`, and passes them to the alert
/// rules. `chain` is a separate connection, since mining does not wait for the answer.
pub fn read_weights(
    chain: SubtensorChain,
    hotkey: Hotkey,
    data_folder: &Path,
    block_ms: u64,
    limit: Duration,
    state: SharedState,
) {
    let folder = data_folder.to_owned();
    let pause = Duration::from_millis(WEIGHT_BLOCKS * block_ms);
    tokio::task::spawn_local(async move {
        loop {
            let reading = tokio::time::timeout(limit, async {
                let head = chain.next_head(0).await?;
                anyhow::Ok((head.number, chain.weights_for(hotkey).await?))
            });
            // On an error the next window reads them again.
            if let Ok(Ok((block, Some(mut set)))) = reading.await {
                set.shares = unsigned(set.shares);
                if let Some(is_weighted) = set.is_weighted() {
                    let rank = set.rank.map(|(place, of)| Rank { place, of });
                    state.weight_read(is_weighted, set.shares.iter().map(|(_, share)| *share).reduce(f64::max), rank);
                }
                let SetWeights { uid, shares, rank: _ } = set;
                let kept = WeightReading { block, uid, validators: shares }.keep(&folder);
                let _ = kept.inspect_err(|error| tracing::debug!("the weight of block {block} is not kept: {error}"));
            }
            tokio::time::sleep(pause).await;
        }
    });
}
