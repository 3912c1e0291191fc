//! Wallet files: every form that bittensor writes, and the errors about broken ones.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use grail_contract as contract;
use grail_miner::ports::Signer;
use grail_wallet::{Form, HotkeyWallet, Passwords, WalletError, WalletLocation, password_variable, shell_variable};
use secrecy::SecretString;
use tempfile::TempDir;

const HOT1: &str = "5EHgWw2Af1pnoc7f1A8bfmM97W3DAYW8xr82RfhLL9oAabAe";
const HOTENC: &str = "5EtaiguVmKZ9Vewv7HkS86hWTS8Lf4twTSADg29PH5rM5Wng";
const PHRASE: &str = "legal winner thank year wave sausage worth useful legal winner thank yellow";
const SEED: &str = "0x6fa2796b0071cac425d8a7851038318c2c37dcebfe4bae73197ce93e75909bd2";
const PRIVATE_KEY: &str = "0xad8a44476e667ef8eab356d1d6f09303f21ba1ac44a3f8b96210bdd603d1900bb25d15f130020fffc3261f584f84168e7a6f0009f6c3abb2f3fa460f493b0595";
/// Another seed, for files whose parts disagree.
const OTHER_SEED: &str = "0x1111111111111111111111111111111111111111111111111111111111111111";

/// A folder of wallets with one hotkey, `cold/hotkeys/hot`.
struct Wallets {
    folder: TempDir,
}

impl Wallets {
    fn with_hotkey(content: impl AsRef<[u8]>) -> Self {
        let wallets = Self { folder: tempfile::tempdir().unwrap() };
        let path = wallets.path();
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, content).unwrap();
        wallets.set_mode(0o600);
        wallets
    }

    fn with_sample(name: &str) -> Self {
        Self::with_hotkey(sample(name))
    }

    fn with_public(self, content: &str) -> Self {
        fs::write(self.location().hotkey_public_path(), content).unwrap();
        self
    }

    fn set_mode(&self, mode: u32) {
        fs::set_permissions(self.path(), fs::Permissions::from_mode(mode)).unwrap();
    }

    fn location(&self) -> WalletLocation {
        WalletLocation { folder: self.folder.path().to_owned(), cold: "cold".into(), hot: "hot".into() }
    }

    fn path(&self) -> PathBuf {
        self.location().hotkey_path()
    }

    fn open(&self) -> Result<HotkeyWallet, WalletError> {
        HotkeyWallet::open(&self.location(), &Passwords { variables: &BTreeMap::new(), prompt: None })
    }

    fn open_with(&self, password: &str) -> Result<HotkeyWallet, WalletError> {
        let password = password.to_owned();
        let prompt = move |_: &Path| Ok(SecretString::from(password.as_str()));
        HotkeyWallet::open(&self.location(), &Passwords { variables: &BTreeMap::new(), prompt: Some(&prompt) })
    }

    /// Opens with a password in its variable, coded as btcli does.
    fn open_with_variable(&self, password: &str) -> Result<HotkeyWallet, WalletError> {
        let name = password_variable(&self.path());
        let variables = BTreeMap::from([(name.clone(), SecretString::from(masked(password, &name)))]);
        let prompt = |_: &Path| -> io::Result<SecretString> { panic!("nobody is asked where a variable is set") };
        HotkeyWallet::open(&self.location(), &Passwords { variables: &variables, prompt: Some(&prompt) })
    }
}

/// btcli's variable name can hold characters that no shell can set; a name that a shell can set works too.
#[test]
fn a_password_is_found_under_both_names_and_the_message_names_the_one_that_can_be_set() {
    let wallets = Wallets::with_sample("hot1_ansible_vault");
    let location = WalletLocation { cold: "my wallet-1@größe".into(), ..wallets.location() };
    fs::rename(wallets.folder.path().join("cold"), wallets.folder.path().join(&location.cold)).unwrap();
    let path = location.hotkey_path();
    let [by_btcli, by_shell] = [password_variable(&path), shell_variable(&path)];
    assert!(by_btcli.ends_with("MY WALLET-1@GRÖSSE_HOTKEYS_HOT"), "{by_btcli}");
    assert!(by_shell.ends_with("MY_WALLET_1_GR_SSE_HOTKEYS_HOT"), "{by_shell}");
    let open = |variables: &BTreeMap<String, SecretString>| {
        HotkeyWallet::open(&location, &Passwords { variables, prompt: None })
    };
    let reported = open(&BTreeMap::new()).unwrap_err().to_string();
    assert!(reported.contains(&format!("set {by_shell} to")) && !reported.contains(&by_btcli), "{reported}");
    for name in [&by_btcli, &by_shell] {
        let variables = BTreeMap::from([(name.clone(), SecretString::from(masked("legacy-Passw0rd", name)))]);
        let opened = open(&variables);
        assert_eq!(opened.as_ref().map(HotkeyWallet::address).map_err(shown), Ok(HOT1), "{name}");
    }
}

#[test]
fn the_signers_contract_holds() {
    for (name, password, form) in [
        ("hot1", "", Form::Plain),
        ("hot1_fernet_legacy", "fernet-Passw0rd", Form::Fernet),
        ("hot1_ansible_vault", "legacy-Passw0rd", Form::AnsibleVault),
    ] {
        let wallet = Wallets::with_sample(name).open_with(password).unwrap();
        contract::signer(&wallet);
        assert_eq!(wallet.hotkey().to_ss58(), HOT1, "{name}");
        assert_eq!((wallet.address(), wallet.form()), (HOT1, form), "{name}");
    }
}

fn sample(name: &str) -> Vec<u8> {
    fs::read(Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fixtures/wallets").join(name)).unwrap()
}

fn masked(password: &str, name: &str) -> String {
    use base64::Engine;
    let bytes: Vec<u8> = password.bytes().zip(name.bytes().cycle()).map(|(byte, mask)| byte ^ mask).collect();
    base64::engine::general_purpose::STANDARD.encode(bytes)
}

/// Returns everything that an error shows, causes included.
fn shown(error: &WalletError) -> String {
    let source = std::error::Error::source(error).map(|source| format!("{source} {source:?}"));
    format!("{error} {error:?} {}", source.unwrap_or_default())
}

#[test]
fn a_plain_file_opens_and_signs() {
    let wallets = Wallets::with_sample("hot1").with_public(std::str::from_utf8(&sample("hot1pub.txt")).unwrap());
    let wallet = wallets.open().unwrap();
    assert_eq!((wallet.name(), wallet.address(), wallet.form()), ("cold/hot", HOT1, Form::Plain));
    assert_eq!(wallet.path(), wallets.path());
    let signer: &dyn Signer = &wallet;
    assert!(signer.hotkey().verifies(b"message", &signer.sign(b"message")));
    for secret in [PHRASE, &SEED[2..], &PRIVATE_KEY[2..]] {
        assert!(!format!("{wallet:?}").contains(secret), "{wallet:?}");
    }
}

#[test]
fn every_plain_variant_gives_the_same_key() {
    let address = format!(r#""ss58Address":"{HOT1}""#);
    let variants = [
        PHRASE.to_owned(),
        format!("  {PHRASE}\n"),
        SEED.to_owned(),
        format!("{}\n", &SEED[2..]),
        PRIVATE_KEY.to_owned(),
        format!(r#"{{"secretPhrase":"{PHRASE}"}}"#),
        format!(r#"{{"secretPhrase":null,"secretSeed":"{SEED}",{address}}}"#),
        format!(r#"{{"secretPhrase":"","secretSeed":"{}",{address},"cryptoType":1}}"#, &SEED[2..]),
        format!(r#"{{"secretPhrase":null,"secretSeed":null,"privateKey":"{PRIVATE_KEY}","accountId":null,{address}}}"#),
        format!(r#"{{"secretSeed":"{SEED}"," ss58Address":"{HOT1}","somethingNewer":[1,{{}}]}}"#),
        format!(r#"{{"secretPhrase":"{PHRASE}","secretSeed":"{OTHER_SEED}","privateKey":"nonsense",{address}}}"#),
        format!(r#"{{"secretSeed":"{SEED}","privateKey":"nonsense",{address}}}"#),
    ];
    for content in variants {
        let wallet = Wallets::with_hotkey(&content).open();
        assert_eq!(wallet.as_ref().map(HotkeyWallet::address).map_err(shown), Ok(HOT1), "{content}");
    }
}

#[test]
fn the_nacl_form_opens_by_prompt() {
    let wallets = Wallets::with_sample("hotenc").with_public(std::str::from_utf8(&sample("hotencpub.txt")).unwrap());
    let wallet = wallets.open_with("Hot-Passw0rd-1!").unwrap();
    assert_eq!((wallet.address(), wallet.form()), (HOTENC, Form::Nacl));
}

#[test]
fn the_ansible_vault_form_opens_by_variable_and_refuses_a_wrong_password() {
    let wallets = Wallets::with_sample("hot1_ansible_vault");
    let wallet = wallets.open_with_variable("legacy-Passw0rd").unwrap();
    assert_eq!((wallet.address(), wallet.form()), (HOT1, Form::AnsibleVault));
    let by_variable = wallets.open_with_variable("planted-password").unwrap_err();
    assert!(by_variable.to_string().contains("BT_PW_"), "{by_variable}");
    let by_prompt = wallets.open_with("planted-password").unwrap_err();
    assert!(by_prompt.to_string().contains("from the prompt"), "{by_prompt}");
    for error in [by_variable, by_prompt] {
        assert!(matches!(error, WalletError::WrongPassword { form: Form::AnsibleVault, .. }), "{error:?}");
        assert!(!shown(&error).contains("planted"), "{error:?}");
    }
}

#[test]
fn truncated_encrypted_files_are_refused_before_the_prompt() {
    for (name, length) in [("hotenc", 30), ("hot1_ansible_vault", 500), ("hot1_fernet_legacy", 101)] {
        let error = Wallets::with_hotkey(&sample(name)[..length]).open().unwrap_err();
        assert!(matches!(error, WalletError::Damaged { .. }), "{name}: {error:?}");
    }
}

#[test]
fn without_a_password_the_variable_is_named() {
    let wallets = Wallets::with_sample("hot1_ansible_vault");
    let variable = password_variable(&wallets.path());
    let error = wallets.open().unwrap_err();
    assert!(matches!(error, WalletError::NoPassword { .. }) && error.to_string().contains(&variable), "{error}");
    let closed = |_: &Path| Err(io::Error::other("no terminal"));
    let passwords = Passwords { variables: &BTreeMap::new(), prompt: Some(&closed) };
    let error = HotkeyWallet::open(&wallets.location(), &passwords).unwrap_err();
    assert!(shown(&error).contains("no terminal"), "{error:?}");
    let variables = BTreeMap::from([(variable, SecretString::from("planted secret, not coded"))]);
    let passwords = Passwords { variables: &variables, prompt: None };
    let error = HotkeyWallet::open(&wallets.location(), &passwords).unwrap_err();
    assert!(matches!(error, WalletError::BadPasswordVariable { .. }), "{error:?}");
    assert!(!shown(&error).contains("planted"), "{error:?}");
}

#[test]
fn files_that_others_can_read_are_refused_with_the_command_to_run() {
    let wallets = Wallets::with_sample("hot1");
    for mode in [0o640, 0o604, 0o644, 0o620] {
        wallets.set_mode(mode);
        let error = wallets.open().unwrap_err().to_string();
        let command = format!("run `chmod 600 {}`", wallets.path().display());
        assert!(error.contains(&command) && error.contains(&format!("{mode:04o}")), "{error}");
    }
    wallets.set_mode(0o400);
    assert!(wallets.open().is_ok());
}

#[test]
fn a_missing_hotkey_names_path_and_command() {
    let wallets = Wallets::with_sample("hot1");
    let location = WalletLocation { hot: "absent".into(), ..wallets.location() };
    let passwords = Passwords { variables: &BTreeMap::new(), prompt: None };
    let error = HotkeyWallet::open(&location, &passwords).unwrap_err().to_string();
    let command = "btcli wallet new-hotkey --wallet cold --wallet-hotkey absent";
    assert!(error.contains(command) && error.contains("cold/hotkeys/absent"), "{error}");
}

#[test]
fn addresses_that_disagree_are_refused() {
    let other = "5FHneW46xGXgs5mUiveU4sbTyGBzmstUspZC92UhjJM694ty";
    let files = [
        (format!(r#"{{"secretSeed":"{SEED}","ss58Address":"{other}"}}"#), "ss58Address"),
        (format!(r#"{{"secretSeed":"{SEED}"," ss58Address":"{other}"}}"#), " ss58Address"),
        (format!(r#"{{"secretSeed":"{SEED}","publicKey":"{OTHER_SEED}"}}"#), "publicKey"),
        (format!(r#"{{"secretSeed":"{OTHER_SEED}","ss58Address":"{HOT1}"}}"#), "ss58Address"),
    ];
    for (content, place) in files {
        let error = Wallets::with_hotkey(content).open().unwrap_err();
        assert!(matches!(&error, WalletError::OtherAddress { field, .. } if *field == place), "{error:?}");
    }
    let wallets = Wallets::with_hotkey(PHRASE).with_public(&format!(r#"{{"ss58Address":"{other}"}}"#));
    let error = wallets.open().unwrap_err().to_string();
    for part in ["hotpub.txt", other, HOT1] {
        assert!(error.contains(part), "{error}");
    }
}

#[test]
fn broken_files_are_distinguished_and_show_nothing_of_their_content() {
    let planted = "plantedsecret";
    let phrase = format!("{planted} {}", &PHRASE[6..]);
    type Expected = fn(&WalletError) -> bool;
    let files: [(String, Expected); 14] = [
        (String::new(), |error| matches!(error, WalletError::UnknownForm { .. })),
        (planted.to_owned(), |error| matches!(error, WalletError::UnknownForm { .. })),
        (format!("$OTHER;{planted}"), |error| matches!(error, WalletError::UnknownForm { .. })),
        (format!(r#"{{"secretSeed":"{planted}""#), |error| matches!(error, WalletError::Json { line: 1, .. })),
        (format!(r#"{{"secretSeed":{planted}}}"#), |error| matches!(error, WalletError::Json { .. })),
        (format!(r#"{{"cryptoType":"{planted}"}}"#), |error| matches!(error, WalletError::Json { .. })),
        (format!(r#"{{"ss58Address":"{HOT1}"}}"#), |error| matches!(error, WalletError::NoSecret { .. })),
        (format!(r#"{{"secretSeed":"{planted}"}}"#), |error| {
            matches!(error, WalletError::Secret { field: "secretSeed", .. })
        }),
        (format!(r#"{{"secretSeed":"{}"}}"#, &SEED[..60]), |error| matches!(error, WalletError::Secret { .. })),
        (format!(r#"{{"privateKey":"{SEED}"}}"#), |error| {
            matches!(error, WalletError::Secret { field: "privateKey", .. })
        }),
        (format!(r#"{{"secretPhrase":"{phrase}"}}"#), |error| {
            matches!(error, WalletError::Secret { field: "secretPhrase", .. })
        }),
        (phrase.clone(), |error| matches!(error, WalletError::Secret { field: "the phrase", .. })),
        (format!(r#"{{"secretSeed":"{SEED}","ss58Address":"{planted}"}}"#), |error| {
            matches!(error, WalletError::MalformedAddress { .. })
        }),
        (format!(r#"{{"secretSeed":"{SEED}","cryptoType":0}}"#), |error| {
            matches!(error, WalletError::KeyType { crypto_type: 0, .. })
        }),
    ];
    for (content, is_expected) in files {
        let wallets = Wallets::with_hotkey(&content);
        let error = wallets.open().unwrap_err();
        assert!(is_expected(&error), "{content}: {error:?}");
        assert!(error.to_string().contains(&wallets.path().display().to_string()), "{error}");
        for secret in [planted, &PHRASE[6..], &SEED[2..60]] {
            assert!(!shown(&error).contains(secret), "{error:?}");
        }
    }
    let large = Wallets::with_hotkey(vec![b'a'; 70_000]).open().unwrap_err();
    assert!(matches!(large, WalletError::TooLarge { bytes: 70_000, .. }), "{large:?}");
}
