//! Files that the world leaves in its folder, and their protection.

use std::os::unix::fs::PermissionsExt;

use grail_serve::{ServeError, ServeOptions, Served};
use grail_wallet::{HotkeyWallet, Passwords};

use crate::world::{ServedWorld, read};

#[test]
fn the_env_file_is_private_and_says_what_a_miner_needs() {
    let served_world = ServedWorld::start(250);
    let mode = std::fs::metadata(served_world.served.env_file()).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    let config = served_world.config();
    assert_eq!(config.chain.endpoints.len(), 2);
    let passwords = Passwords { variables: &config.wallet_passwords, prompt: None };
    let wallet = HotkeyWallet::open(&config.wallet, &passwords).unwrap();
    assert_eq!(wallet.keypair().hotkey(), served_world.world().miner);
    let env_file = served_world.served.env_file().to_owned();
    drop(served_world.served);
    // Commands that look at the world's windows afterwards still need it.
    assert_eq!(read(&env_file).chain.endpoints.len(), 2);
}

#[test]
fn keys_follow_from_a_seed_that_is_asked_for_and_from_nothing_else() {
    let miner = |seed| {
        let folder = tempfile::tempdir().unwrap();
        let served = Served::start(&ServeOptions { seed, ..ServeOptions::new(folder.path()) }).unwrap();
        (served.world().miner, served.world().beacon.network.public_key.clone())
    };
    assert_eq!(miner(Some(7)), miner(Some(7)));
    let [one, other, default] = [miner(None), miner(None), miner(Some(0))];
    assert!(one.0 != other.0 && one.0 != default.0, "{one:?} {other:?} {default:?}");
    assert!(one.1 != other.1 && one.1 != default.1, "{one:?} {other:?} {default:?}");
}

#[test]
fn a_folder_serves_one_world_at_a_time() {
    let folder = tempfile::tempdir().unwrap();
    let options = ServeOptions::new(folder.path());
    let first = Served::start(&options).unwrap();
    assert!(matches!(Served::start(&options), Err(ServeError::InUse(_))));
    let (account, genesis) = (first.world().bucket.account().account_id.clone(), first.world().chain.state().genesis());
    drop(first);
    let second = Served::start(&options).unwrap();
    assert_ne!(second.world().bucket.account().account_id, account, "old objects are not taken for new ones");
    assert_ne!(second.world().chain.state().genesis(), genesis);
}

#[test]
fn lines_added_to_the_env_file_outlive_the_world() {
    let folder = tempfile::tempdir().unwrap();
    let options = ServeOptions::new(folder.path());
    let first = Served::start(&options).unwrap();
    let env_file = first.env_file().to_owned();
    let text = std::fs::read_to_string(&env_file).unwrap() + "GRAIL_SAFETY_BLOCKS=2\n";
    std::fs::write(&env_file, &text).unwrap();
    drop(first);
    let second = Served::start(&options).unwrap();
    let now = std::fs::read_to_string(second.env_file()).unwrap();
    assert!(now.ends_with("GRAIL_SAFETY_BLOCKS=2\n") && now.matches("NETUID=").count() == 1, "{now}");
    assert_eq!(std::fs::read_to_string(folder.path().join(".env.before")).unwrap(), text);
}

#[test]
fn a_miners_own_env_file_is_refused_and_stays() {
    let folder = tempfile::tempdir().unwrap();
    let env_file = folder.path().join(".env");
    let text = "# My miner.\nR2_WRITE_SECRET_ACCESS_KEY=real\n";
    std::fs::write(&env_file, text).unwrap();
    let refused = Served::start(&ServeOptions::new(folder.path())).err().unwrap();
    assert!(refused.to_string().contains(".env is not of a served world and stays as it is; give --dir"), "{refused}");
    assert_eq!(std::fs::read_to_string(&env_file).unwrap(), text);
    assert!(!folder.path().join(".env.before").exists());
}

#[test]
fn impossible_worlds_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("file");
    std::fs::write(&file, "").unwrap();
    assert!(matches!(Served::start(&ServeOptions::new(&file)), Err(ServeError::Folder { .. })));
    for block_ms in [0, 49, 60_001] {
        let options = ServeOptions { block_ms, ..ServeOptions::new(folder.path()) };
        assert!(matches!(Served::start(&options), Err(ServeError::BlockTime(ms)) if ms == block_ms));
    }
}
