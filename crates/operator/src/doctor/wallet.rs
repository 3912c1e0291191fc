//! Checks that the hotkey opens, matches its address and is private; the coldkey should be elsewhere.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use super::Subject;
use super::check::{Check, Fix, Obstacle};
use super::configuration::VALUES;
use super::passing::wallet_passes;
use grail_wallet::{WalletError, WalletLocation};

/// The check that everything needs which signs or asks for our own entries.
pub(super) const HOTKEY: &str = "wallet.hotkey";
const PERMISSIONS: &str = "wallet.permissions";
const COLDKEY: &str = "wallet.coldkey";

pub(super) fn checks(subject: &Subject<'_>) -> Vec<Check> {
    let location = subject.parts.and_then(|parts| parts.wallet.as_ref());
    let (Some(location), Some(wallet)) = (location, &subject.wallet) else {
        return [HOTKEY, PERMISSIONS, COLDKEY].map(|code| Check::skipped(code, VALUES)).into();
    };
    let path = location.hotkey_path();
    let [hotkey, permissions] = match wallet {
        Ok(wallet) => {
            let value = format!("{} is {} ({})", wallet.name(), wallet.address(), wallet.form());
            [Check::ok(HOTKEY, value), permissions(&path)]
        }
        Err(error @ WalletError::OpenToOthers { .. }) => [
            Check::skipped(HOTKEY, PERMISSIONS),
            Check::blocked_by(PERMISSIONS, Obstacle::Credentials, &error.to_string(), "; ")
                .fixed_by(Fix::Mode { path: path.clone(), mode: 0o600 }),
        ],
        Err(error) => {
            let hotkey = Check::blocked_by(HOTKEY, Obstacle::Credentials, &error.to_string(), "; ")
                .passing_if(wallet_passes(error));
            [hotkey, Check::skipped(PERMISSIONS, HOTKEY)]
        }
    };
    vec![hotkey, permissions, coldkey(location)]
}

/// Reading the file checks the file itself; this checks whether other users can replace it.
fn permissions(path: &Path) -> Check {
    let mode = |path: &Path| std::fs::metadata(path).map(|metadata| metadata.permissions().mode() & 0o7777);
    let folder = path.parent().unwrap_or(path);
    match (mode(path), mode(folder)) {
        (Ok(_), Ok(folder_mode)) if folder_mode & 0o022 != 0 => Check::warning(
            PERMISSIONS,
            format!("the folder {} has mode {folder_mode:04o}, so others can exchange the key", folder.display()),
            format!("run `chmod 700 {}`", folder.display()),
        )
        .fixed_by(Fix::Mode { path: folder.to_owned(), mode: 0o700 }),
        (Ok(file_mode), Ok(folder_mode)) => {
            Check::ok(PERMISSIONS, format!("file {file_mode:04o}, folder {folder_mode:04o}"))
        }
        (Err(error), _) | (_, Err(error)) => Check::warning(
            PERMISSIONS,
            format!("{} cannot be read ({error})", path.display()),
            "run grail as the user who owns the wallet",
        ),
    }
}

fn coldkey(location: &WalletLocation) -> Check {
    let path = location.folder.join(&location.cold).join("coldkey");
    match path.exists() {
        false => Check::ok(COLDKEY, "absent, and not needed"),
        true => Check::warning(
            COLDKEY,
            format!("{} is on this machine", path.display()),
            "mining does not need it: keep it on a machine that does not mine, and remove it here",
        ),
    }
}
