//! The settings that a program needs to use a served world.

use std::path::Path;

use grail_protocol::PROTOCOL;

use super::bucket::BucketAccount;
use super::folder::WALLET;
use super::world::World;

/// Returns names and values for a hotkey of this name, in the order in which they are written, with its own bucket if it
/// mines.
pub(super) fn settings(
    world: &World,
    wallets: &Path,
    hotkey: &str,
    account: Option<&BucketAccount>,
) -> Vec<(&'static str, String)> {
    let network = &world.beacon.network;
    let schedule = network.schedule;
    let mut lines = vec![
        ("BT_NETWORK", "custom".to_owned()),
        ("BT_CHAIN_ENDPOINT", world.chain_endpoints().join(",")),
        ("NETUID", PROTOCOL.netuid.to_string()),
        ("BT_WALLET_COLD", WALLET.0.to_owned()),
        ("BT_WALLET_HOT", hotkey.to_owned()),
        ("BT_WALLET_PATH", quoted(&wallets.display().to_string())),
        ("GRAIL_MODEL_NAME", "toy".to_owned()),
        ("GRAIL_BLOCK_TIME", (world.block_ms as f64 / 1000.0).to_string()),
        ("GRAIL_DEVICE", world.device.to_owned()),
        ("GRAIL_DRAND_URLS", world.beacon_url()),
        ("GRAIL_DRAND_CHAIN_HASH", network.chain_hash.clone()),
        ("GRAIL_DRAND_PUBLIC_KEY", network.public_key.clone()),
        ("GRAIL_DRAND_GENESIS", schedule.genesis_s.to_string()),
        ("GRAIL_DRAND_PERIOD", schedule.period_s.to_string()),
        ("R2_ENDPOINT_URL", world.bucket_url()),
        ("R2_REGION", "us-east-1".to_owned()),
        ("R2_FORCE_PATH_STYLE", "true".to_owned()),
    ];
    if let Some(account) = account {
        lines.extend([
            ("R2_ACCOUNT_ID", account.account_id.clone()),
            ("R2_BUCKET_ID", account.account_id.clone()),
            ("R2_READ_ACCESS_KEY_ID", account.read_key.id.clone()),
            ("R2_READ_SECRET_ACCESS_KEY", account.read_key.secret.clone()),
            ("R2_WRITE_ACCESS_KEY_ID", account.write_key.id.clone()),
            ("R2_WRITE_SECRET_ACCESS_KEY", account.write_key.secret.clone()),
        ]);
    }
    lines
}

/// Returns a value that may hold white space and characters with a meaning.
fn quoted(value: &str) -> String {
    format!("'{}'", value.replace('\\', r"\\").replace('\'', r"\'"))
}
