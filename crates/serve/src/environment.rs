//! The `.env` of a served world, and the fault that breaks it.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};

use grail_protocol::PROTOCOL;

use super::ServeError;
use super::bucket::BucketAccount;
use super::folder::{WALLET, replace};
use super::world::World;

const HEAD: &str = "# A simulated network on this machine: every key below is made up. The servers run until `grail sim serve` \
                    ends; `grail why` reads this file afterwards too.\n";
/// A mistake that an editor of the file might make.
const MISTAKE: &str = "NETUID 81\n";

/// The file, whole at any time.
pub(super) struct EnvironmentFile {
    path: PathBuf,
    text: String,
    is_broken: AtomicBool,
}

impl EnvironmentFile {
    /// Writes the file, whole or not at all, with the lines of `before` whose names are none of these.
    pub(super) fn write(path: PathBuf, lines: &[(&str, String)], before: &str) -> Result<Self, ServeError> {
        let kept = kept(before, lines);
        let lines: String = lines.iter().map(|(name, value)| format!("{name}={value}\n")).collect();
        let text = format!("{HEAD}{lines}{kept}");
        replace(&path, &text)?;
        Ok(Self { path, text, is_broken: AtomicBool::new(false) })
    }

    /// Adds an unreadable line, or removes it again.
    pub(super) fn set_broken(&self, is_broken: bool) {
        if self.is_broken.swap(is_broken, Ordering::Relaxed) != is_broken {
            let mistake = if is_broken { MISTAKE } else { "" };
            // A fault that cannot strike does not.
            let _ = replace(&self.path, &format!("{}{mistake}", self.text));
        }
    }
}

/// Returns the settings of an earlier `.env` that this world does not make itself.
fn kept(before: &str, lines: &[(&str, String)]) -> String {
    let is_kept = |line: &&str| {
        let Some((name, _)) = line.split_once('=') else { return false };
        let name = name.trim().trim_start_matches("export ").trim();
        !name.starts_with('#') && lines.iter().all(|(ours, _)| *ours != name)
    };
    before.lines().filter(is_kept).map(|line| format!("{line}\n")).collect()
}

/// Returns names and values, in the order in which they are written, for the miner.
pub(super) fn lines(world: &World, wallets: &Path) -> Vec<(&'static str, String)> {
    lines_for(world, wallets, WALLET.1, Some(world.bucket.account()))
}

/// Returns the same for a hotkey of this name, with its own bucket if it mines.
pub(super) fn lines_for(
    world: &World,
    wallets: &Path,
    hotkey: &str,
    account: Option<&BucketAccount>,
) -> Vec<(&'static str, String)> {
    let network = world.beacon.network();
    let schedule = network.schedule();
    let mut lines = vec![
        ("BT_NETWORK", "custom".to_owned()),
        ("BT_CHAIN_ENDPOINT", world.chain_endpoints().join(",")),
        ("NETUID", PROTOCOL.netuid.to_string()),
        ("BT_WALLET_COLD", WALLET.0.to_owned()),
        ("BT_WALLET_HOT", hotkey.to_owned()),
        ("BT_WALLET_PATH", quoted(&wallets.display().to_string())),
        ("GRAIL_MODEL_NAME", "toy".to_owned()),
        ("GRAIL_BLOCK_TIME", (world.block_ms() as f64 / 1000.0).to_string()),
        ("GRAIL_DEVICE", world.device().to_owned()),
        ("GRAIL_DRAND_URLS", world.beacon_url()),
        ("GRAIL_DRAND_CHAIN_HASH", network.chain_hash().to_owned()),
        ("GRAIL_DRAND_PUBLIC_KEY", network.public_key().to_owned()),
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_that_somebody_added_are_kept_and_those_of_an_earlier_world_are_not() {
        let ours = [("NETUID", "81".to_owned())];
        let before = "# a comment\nNETUID=80\nNETUID 81\nWANDB_PROJECT=mine\nexport NETUID=79\n#OFF=1\n";
        assert_eq!(kept(before, &ours), "WANDB_PROJECT=mine\n");
    }
}
