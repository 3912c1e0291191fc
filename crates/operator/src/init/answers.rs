//! The answers, and whether the chain and the bucket confirm them.

use std::path::{Path, PathBuf};
use std::rc::Rc;

use secrecy::{ExposeSecret, SecretString};

use super::InitNetwork;
use crate::doctor::{CheckStatus, ConfigProblem, Limits, Part, Subject, examine_part, lines};
use crate::runtime;
use grail_config::{ConfigErrors, ConfigParts, Environment, MinerConfig};
use grail_live::device::DeviceSet;
use grail_protocol::PROTOCOL;
use grail_terminal::{may_color, output};
use grail_wallet::{HotkeyWallet, Passwords, ask_terminal};

/// How long a server may take to answer a test.
const CALL_MS: u64 = 10_000;

/// Everything that was answered so far.
#[derive(Default)]
pub(super) struct Answers {
    pub(super) network: InitNetwork,
    pub(super) endpoint: Option<String>,
    pub(super) netuid: String,
    pub(super) wallets: PathBuf,
    pub(super) cold: String,
    pub(super) hot: String,
    pub(super) account_id: String,
    /// The S3 server of a custom network; empty or none for R2.
    pub(super) store: Option<String>,
    /// Id and secret.
    pub(super) read: (SecretString, SecretString),
    /// Id and secret.
    pub(super) write: (SecretString, SecretString),
}

impl Answers {
    /// Comments, names and values that are no secrets.
    pub(super) fn plain(&self) -> Vec<(&'static str, &'static str, String)> {
        let network = match self.network {
            InitNetwork::Finney => "finney",
            InitNetwork::Test => "test",
            InitNetwork::Custom | InitNetwork::Served => "custom",
        };
        let mut lines = vec![("The network.", "BT_NETWORK", network.to_owned())];
        lines.extend(
            self.endpoint.clone().map(|endpoint| ("Its nodes, with a comma between.", "BT_CHAIN_ENDPOINT", endpoint)),
        );
        lines.push(("The subnet.", "NETUID", self.netuid.clone()));
        lines.push(("The folder of all wallets.", "BT_WALLET_PATH", self.wallets.display().to_string()));
        lines.push(("Name of the coldkey, which is never read.", "BT_WALLET_COLD", self.cold.clone()));
        lines.push(("Name of the hotkey, which signs.", "BT_WALLET_HOT", self.hot.clone()));
        lines.push(("The account id, which is the bucket's name too.", "R2_ACCOUNT_ID", self.account_id.clone()));
        if let Some(store) = self.store.clone().filter(|store| !store.is_empty()) {
            lines.push(("The S3 server.", "R2_ENDPOINT_URL", store));
            lines.push(("Its region.", "R2_REGION", "us-east-1".to_owned()));
            lines.push(("Whether the bucket is in the path.", "R2_FORCE_PATH_STYLE", "true".to_owned()));
        }
        lines
    }

    /// Comments, names and values of keys.
    pub(super) fn secret(&self) -> [(&'static str, &'static str, &SecretString); 4] {
        let published = "The key that validators read with; it is PUBLISHED on the chain.";
        let private = "The key that the miner writes with; it stays here.";
        [
            (published, "R2_READ_ACCESS_KEY_ID", &self.read.0),
            (published, "R2_READ_SECRET_ACCESS_KEY", &self.read.1),
            (private, "R2_WRITE_ACCESS_KEY_ID", &self.write.0),
            (private, "R2_WRITE_SECRET_ACCESS_KEY", &self.write.1),
        ]
    }

    /// Returns the answers as an environment. Of the process environment it holds only the home folder and passwords.
    fn environment(&self) -> Environment {
        let plain = self.plain().into_iter().map(|(_, name, value)| (name.to_owned(), SecretString::from(value)));
        let secret = self.secret().into_iter().map(|(_, name, value)| (name.to_owned(), value.clone()));
        let is_empty = |(_, value): &(String, SecretString)| value.expose_secret().is_empty();
        let process = grail_config::process_environment().into_iter();
        let of_process = process.filter(|(name, _)| name == "HOME" || name.starts_with("BT_PW_"));
        of_process.chain(plain.chain(secret).filter(|line| !is_empty(line))).collect()
    }
}

/// Returns whether the wallet opens and the chain knows it, or whether the keys have exactly the needed rights.
pub(super) fn passes_test(answers: &Answers, part: Part) -> anyhow::Result<bool> {
    let typed = grail_config::load(&answers.environment(), Some(Path::new("/dev/null")))?;
    let (parts, config) = (ConfigParts::of(&typed), MinerConfig::from_raw(&typed));
    if let (Part::Bucket, Err(ConfigErrors(errors))) = (part, &config) {
        errors.iter().for_each(|error| output::line(format!("  failure  {error}")));
        return Ok(false);
    }
    let config = config.map_err(ConfigProblem::from);
    let prompt = |path: &Path| ask_terminal(path);
    let passwords = Passwords { variables: &parts.wallet_passwords, prompt: Some(&prompt) };
    let wallet = match (part, &parts.wallet) {
        (Part::Chain, Some(location)) => match HotkeyWallet::open(location, &passwords) {
            Ok(wallet) => {
                output::line(format!("  ok       {} is {} ({} file)", wallet.name(), wallet.address(), wallet.form()));
                Some(Rc::new(wallet))
            }
            Err(error) => {
                output::line(format!("  failure  {error}"));
                return Ok(false);
            }
        },
        _ => None,
    };
    let subject = Subject {
        config: config.as_ref(),
        parts: Some(&parts),
        env_file: None,
        wallet: wallet.map(Ok),
        beacon: None,
        device: &DeviceSet::Cpu,
        model: None,
        hub_cache: None,
        data_folder: None,
        block_ms: parts.chain.as_ref().map_or(PROTOCOL.block_ms, |chain| chain.block_ms),
        limits: Limits { call_ms: CALL_MS, ..Limits::default() },
    };
    let mut examination = runtime()?.block_on(examine_part(&subject, part));
    // Checks that depend on missing answers are no findings.
    examination.checks.retain(|check| check.status != CheckStatus::Skipped);
    output::styled(lines(&examination, may_color(&std::io::stdout())).trim_end());
    Ok(examination.failures().next().is_none())
}
