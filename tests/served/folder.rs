//! What the world leaves in its folder, and who may have it.

use grail_serve::{ServeError, ServeOptions, Served};
use grail_wallet::{HotkeyWallet, Passwords};

use crate::world::Rehearsal;

#[test]
fn the_env_file_is_private_and_says_what_a_miner_needs() {
    let rehearsal = Rehearsal::start(250);
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        let mode = std::fs::metadata(rehearsal.served.env_file()).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
    }
    let config = rehearsal.config();
    assert_eq!(config.chain.endpoints.len(), 2);
    let passwords = Passwords { variables: &config.wallet_passwords, prompt: None };
    let wallet = HotkeyWallet::open(&config.wallet, &passwords).unwrap();
    assert_eq!(wallet.keypair().hotkey(), rehearsal.world().miner());
    let env_file = rehearsal.served.env_file().to_owned();
    drop(rehearsal.served);
    assert!(!env_file.exists(), "it points to nobody");
}

#[test]
fn a_folder_serves_one_world_at_a_time() {
    let folder = tempfile::tempdir().unwrap();
    let options = ServeOptions::new(folder.path());
    let first = Served::start(&options).unwrap();
    assert!(matches!(Served::start(&options), Err(ServeError::InUse { .. })));
    let (account, genesis) = (first.world().bucket.account().account_id.clone(), first.world().chain.state().genesis());
    drop(first);
    let second = Served::start(&options).unwrap();
    assert_ne!(second.world().bucket.account().account_id, account, "old objects are not taken for new ones");
    assert_ne!(second.world().chain.state().genesis(), genesis);
}

#[test]
fn what_cannot_be_served_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("file");
    std::fs::write(&file, "").unwrap();
    assert!(matches!(Served::start(&ServeOptions::new(&file)), Err(ServeError::Folder { .. })));
    for block_ms in [0, 49, 60_001] {
        let options = ServeOptions { block_ms, ..ServeOptions::new(folder.path()) };
        assert!(matches!(Served::start(&options), Err(ServeError::BlockTime(ms)) if ms == block_ms));
    }
}
