//! The folder of a served world: the lock, the wallet, and the `.env` that a miner is started with.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use grail_protocol::signature::Keypair;
use serde_json::json;

use super::ServeError;
use super::chain::hex_text;

/// Names of coldkey and hotkey of the wallet.
pub(super) const WALLET: (&str, &str) = ("served", "miner");

/// Words on the first line of every `.env` of a served world, including those that `grail init` writes.
const MARK: &str = "network on this machine";

/// The folder, held by this process alone.
pub(super) struct WorldFolder {
    path: PathBuf,
    _lock: File,
}

impl WorldFolder {
    /// Takes the folder. A `.env` of an earlier world becomes `.env.before`, so that a miner is started with this one's alone.
    /// Any other `.env` may hold the keys of a real miner, and is refused.
    pub(super) fn take(path: &Path) -> Result<Self, ServeError> {
        let unusable = |source| ServeError::Folder { path: path.to_owned(), source };
        fs::create_dir_all(path).map_err(unusable)?;
        // A miner reads the file from wherever it is started.
        let path = path.canonicalize().map_err(unusable)?;
        let lock = File::create(path.join("serve.lock")).map_err(unusable)?;
        match fs4::FileExt::try_lock(&lock) {
            Ok(()) => {}
            Err(fs4::TryLockError::WouldBlock) => return Err(ServeError::InUse(path)),
            Err(fs4::TryLockError::Error(source)) => return Err(unusable(source)),
        }
        let folder = Self { path, _lock: lock };
        if fs::read_to_string(folder.env_file()).is_ok_and(|text| !is_of_a_world(&text)) {
            return Err(ServeError::Foreign(folder.env_file()));
        }
        match fs::rename(folder.env_file(), folder.env_file_before()) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(unusable(error)),
            _ => Ok(folder),
        }
    }

    pub(super) fn env_file(&self) -> PathBuf {
        self.path.join(".env")
    }

    /// Returns the `.env` of the world before, or what somebody else had put there.
    pub(super) fn env_file_before(&self) -> PathBuf {
        self.path.join(".env.before")
    }

    pub(super) fn wallets(&self) -> PathBuf {
        self.path.join("wallets")
    }

    pub(super) fn objects(&self) -> PathBuf {
        self.path.join("s3")
    }

    /// Writes a hotkey as a wallet file that every tool of bittensor reads.
    pub(super) fn write_wallet(&self, name: &str, seed: &[u8; 32]) -> Result<(), ServeError> {
        let hotkey = Keypair::from_seed(seed).hotkey();
        let folder = self.wallets().join(WALLET.0).join("hotkeys");
        fs::create_dir_all(&folder).map_err(|source| ServeError::Folder { path: folder.clone(), source })?;
        let (key, address) = (hex_text(hotkey.bytes()), hotkey.to_ss58());
        let secret = json!({
            "accountId": key, "publicKey": key, "privateKey": null, "secretPhrase": null, "secretSeed": hex_text(seed),
            "ss58Address": address,
        });
        replace(&folder.join(name), &secret.to_string())?;
        let public = json!({ "accountId": key, "publicKey": key, "ss58Address": address });
        replace(&folder.join(format!("{name}pub.txt")), &public.to_string())
    }

    /// Returns the file that a member of the network is started with.
    pub(super) fn member_file(&self, name: &str) -> PathBuf {
        self.path.join(format!("{name}.env"))
    }

    /// Returns the miner's hotkey file.
    pub(super) fn hotkey(&self) -> PathBuf {
        self.wallets().join(WALLET.0).join("hotkeys").join(WALLET.1)
    }
}

/// Returns whether a `.env` was written for a served world.
pub(super) fn is_of_a_world(text: &str) -> bool {
    text.lines().next().is_some_and(|line| line.starts_with('#') && line.contains(MARK))
}

/// Writes a file that only its owner may read, so that nobody ever sees half of it.
pub(super) fn replace(path: &Path, content: &str) -> Result<(), ServeError> {
    let part = path.with_extension("part");
    let mut options = OpenOptions::new();
    options.write(true).create(true).truncate(true).mode(0o600);
    let written = options.open(&part).and_then(|mut file| {
        file.write_all(content.as_bytes())?;
        file.sync_all()?;
        fs::rename(&part, path)
    });
    written.map_err(|source| ServeError::Folder { path: path.to_owned(), source })
}
