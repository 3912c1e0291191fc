//! A world with everything that a miner needs: node, store, relay, wallet and `.env`, all on loopback and in one
//! folder.

use std::collections::BTreeMap;
use std::fs::{self, DirBuilder, Permissions};
use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::rc::Rc;
use std::time::{SystemTime, UNIX_EPOCH};

use grail_config::{ConfigParts, Environment, MinerConfig};
use grail_live::beacon::{DrandNetwork, DrandRelays, RelayPatience};
use grail_live::chain::{ChainSettings, SubtensorChain};
use grail_live::device::DeviceSet;
use grail_miner::ports::{BeaconSchedule, Chain, Signer};
use grail_operator::doctor::{CheckStatus, ConfigProblem, Examination, Limits, Subject, document, examine, page};
use grail_serve::chain::{Node, State};
use grail_wallet::{HotkeyWallet, Passwords, WalletLocation};
use tempfile::TempDir;

use grail_loopback::drand::{self, honest};
use grail_loopback::node::NETUID;
use grail_loopback::s3::{BUCKET, READ, S3Server, WRITE};
use grail_loopback::scripted::Server;

/// Phrase of the wallet's key.
pub(crate) const PHRASE: &str = "legal winner thank year wave sausage worth useful legal winner thank yellow";
/// Secrets that must never be printed.
const PLANTED: [&str; 7] = [
    PHRASE,
    "6fa2796b0071cac425d8a7851038318c2c37dcebfe4bae73197ce93e75909bd2",
    WRITE.0,
    WRITE.1,
    READ.0,
    READ.1,
    "planted-other-secret",
];

/// Inputs of the examination.
pub(crate) struct World {
    pub(crate) node: Node,
    pub(crate) s3: S3Server,
    pub(crate) folder: TempDir,
    relay: Server,
    variables: BTreeMap<&'static str, String>,
}

impl World {
    /// Returns a healthy one.
    pub(crate) async fn healthy(name: &str) -> Self {
        let world = Self::unregistered(name).await;
        world.node.state().register(NETUID, world.wallet().hotkey(), 7);
        let credentials = world.meant().unwrap().storage.read_credentials().unwrap();
        world.chain().commit(&credentials).await.unwrap();
        world
    }

    /// Returns one whose hotkey is not registered.
    pub(crate) async fn unregistered(name: &str) -> Self {
        let (node, s3, relay, folder) = (
            grail_loopback::node::start(State::new(name)).await,
            S3Server::start(),
            Server::start(honest),
            tempfile::tempdir().unwrap(),
        );
        let path = location(folder.path()).hotkey_path();
        DirBuilder::new().recursive(true).mode(0o700).create(path.parent().unwrap()).unwrap();
        fs::copy(Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/wallets/hot1"), &path).unwrap();
        fs::set_permissions(&path, Permissions::from_mode(0o600)).unwrap();
        let variables = BTreeMap::from([
            ("BT_NETWORK", "custom".to_owned()),
            ("BT_CHAIN_ENDPOINT", node.address().to_owned()),
            ("BT_WALLET_PATH", folder.path().join("wallets").display().to_string()),
            ("BT_WALLET_COLD", "cold".to_owned()),
            ("BT_WALLET_HOT", "hot".to_owned()),
            ("R2_ACCOUNT_ID", BUCKET.to_owned()),
            ("R2_READ_ACCESS_KEY_ID", READ.0.to_owned()),
            ("R2_READ_SECRET_ACCESS_KEY", READ.1.to_owned()),
            ("R2_WRITE_ACCESS_KEY_ID", WRITE.0.to_owned()),
            ("R2_WRITE_SECRET_ACCESS_KEY", WRITE.1.to_owned()),
            ("R2_ENDPOINT_URL", format!("http://{}", s3.address)),
            ("R2_FORCE_PATH_STYLE", "true".to_owned()),
        ]);
        let world = Self { node, s3, folder, relay, variables };
        world.write_env();
        world
    }

    /// The clock that makes blocks is ahead of ours by this much.
    pub(crate) async fn set_chain_clock(&self, offset_ms: i64) {
        self.node.state().clock_offset_ms = offset_ms;
        let mut changes = self.node.changes();
        // The block that is being made may still have the old time.
        for _ in 0..2 {
            changes.changed().await.expect("the node makes blocks");
        }
    }

    /// With another value in `.env`.
    pub(crate) fn with(mut self, name: &'static str, value: &str) -> Self {
        self.variables.insert(name, value.to_owned());
        self.write_env();
        self
    }

    /// With another store.
    pub(crate) fn with_s3(mut self, s3: S3Server) -> Self {
        self.s3 = s3;
        let url = format!("http://{}", self.s3.address);
        self.with("R2_ENDPOINT_URL", &url)
    }

    /// With another relay.
    pub(crate) fn with_relay(self, relay: Server) -> Self {
        Self { relay, ..self }
    }

    pub(crate) fn hotkey_path(&self) -> PathBuf {
        location(self.folder.path()).hotkey_path()
    }

    pub(crate) fn wallet(&self) -> HotkeyWallet {
        let variables = BTreeMap::new();
        HotkeyWallet::open(&location(self.folder.path()), &Passwords { variables: &variables, prompt: None }).unwrap()
    }

    /// Returns the node as the wallet's hotkey sees it.
    pub(crate) fn chain(&self) -> SubtensorChain {
        let settings = ChainSettings::custom([self.node.address()], NETUID);
        SubtensorChain::new(&settings, Rc::new(self.wallet())).unwrap()
    }

    pub(crate) async fn examined(&self) -> Examination {
        self.examined_within(Limits::default()).await
    }

    pub(crate) async fn examined_within(&self, limits: Limits) -> Examination {
        self.examination(self.folder.path(), "toy", limits).await
    }

    pub(crate) async fn examined_in(&self, data_folder: &Path) -> Examination {
        self.examination(data_folder, "toy", Limits::default()).await
    }

    /// Returns how many of the doctor's objects are in the bucket.
    pub(crate) fn probes(&self) -> usize {
        fs::read_dir(self.s3.folder.path().join(BUCKET).join("grail/doctor")).map_or(0, Iterator::count)
    }

    /// Returns the command, run as a user would.
    pub(crate) async fn run(&self, arguments: &[&str]) -> Output {
        let mut command = Command::new(env!("CARGO_BIN_EXE_grail"));
        command.args(["doctor", "--device", "cpu", "--model", "toy", "--no-drand", "--data-dir", "."]);
        command
            .args(arguments)
            .current_dir(self.folder.path())
            .env_clear()
            .env("HOME", "/nowhere")
            .stdin(Stdio::null());
        // The node answers on this thread meanwhile.
        let output = tokio::task::spawn_blocking(move || command.output()).await.unwrap().unwrap();
        assert_no_secret(&String::from_utf8_lossy(&[&output.stdout[..], &output.stderr[..]].concat()));
        output
    }

    /// Returns the text without parts that differ between runs.
    pub(crate) fn redacted(&self, page: &str) -> String {
        let folder = self.folder.path().display().to_string();
        let store = format!("http://{}", self.s3.address);
        let page = page.replace(&folder, "[folder]").replace(self.node.address(), "[node]").replace(&store, "[store]");
        let measured = ["chain.head", "beacon.signature", "disk.free"];
        let line = |line: &str| match measured.iter().any(|code| line.contains(code)) {
            true => without_numbers(line),
            false => line.to_owned(),
        };
        page.lines().map(line).collect::<Vec<_>>().join("\n")
    }

    pub(crate) async fn examination(&self, data_folder: &Path, model: &str, limits: Limits) -> Examination {
        let config = self.meant();
        let no_passwords = BTreeMap::new();
        let passwords = Passwords { variables: &no_passwords, prompt: None };
        let parts = grail_config::load(&Environment::new(), Some(&self.env_path())).ok();
        let parts = parts.as_ref().map(ConfigParts::of);
        let location = parts.as_ref().and_then(|parts| parts.wallet.as_ref());
        let wallet = location.map(|location| HotkeyWallet::open(location, &passwords).map(Rc::new));
        let schedule = BeaconSchedule { genesis_s: unix_ms() / 1000 - 300, period_s: 3 };
        let patience = RelayPatience { request_ms: limits.call_ms, ..RelayPatience::default() };
        let network = DrandNetwork::new(drand::CHAIN_HASH, &drand::public_key(), schedule).unwrap();
        let relays = DrandRelays::new(network, &[self.relay.url()], patience).unwrap();
        let env_file = self.env_path();
        let subject = Subject {
            config: config.as_ref(),
            parts: parts.as_ref(),
            env_file: Some(&env_file),
            wallet: wallet.as_ref().map(|wallet| wallet.as_ref().map(Rc::clone)),
            beacon: Some(Ok(&relays)),
            device: &DeviceSet::Cpu,
            model: Some(model),
            hub_cache: None,
            data_folder: Some(data_folder),
            block_ms: 12_000,
            limits,
        };
        let examination = grail_loopback::node::soon(examine(&subject)).await;
        assert_no_secret(&format!("{}{}{examination:?}", page(&examination, true), document(&examination)));
        examination
    }

    fn meant(&self) -> Result<MinerConfig, ConfigProblem> {
        let typed = grail_config::load(&Environment::new(), Some(&self.env_path()))?;
        Ok(MinerConfig::from_raw(&typed)?)
    }

    fn env_path(&self) -> PathBuf {
        self.folder.path().join(".env")
    }

    fn write_env(&self) {
        let lines: String = self.variables.iter().map(|(name, value)| format!("{name}={value}\n")).collect();
        fs::write(self.env_path(), lines).unwrap();
        fs::set_permissions(self.env_path(), Permissions::from_mode(0o600)).unwrap();
    }
}

/// Returns the codes of all checks that ended so.
pub(crate) fn codes(examination: &Examination, status: CheckStatus) -> Vec<&'static str> {
    examination.checks.iter().filter(|check| check.status == status).map(|check| check.code).collect()
}

pub(crate) fn unix_ms() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis() as u64
}

fn location(folder: &Path) -> WalletLocation {
    WalletLocation { folder: folder.join("wallets"), cold: "cold".to_owned(), hot: "hot".to_owned() }
}

fn assert_no_secret(text: &str) {
    for secret in PLANTED {
        assert!(!text.contains(secret), "{secret} is reported: {text}");
    }
}

fn without_numbers(line: &str) -> String {
    let mut text = String::new();
    for c in line.chars() {
        match c.is_ascii_digit() {
            true if text.ends_with("[N]") => {}
            true => text.push_str("[N]"),
            false => text.push(c),
        }
    }
    text
}
