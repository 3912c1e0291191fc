//! Why a hotkey could not be opened. No variant holds any of a file's content.

use std::path::PathBuf;

use super::form::Form;
use super::phrase::PhraseError;

/// Why a hotkey could not be opened; the operator must fix each of them.
#[derive(Debug, thiserror::Error)]
pub enum WalletError {
    /// The file does not exist.
    #[error(
        "no hotkey file {path}; correct BT_WALLET_COLD, BT_WALLET_HOT or BT_WALLET_PATH, or create it with \
         `btcli wallet new-hotkey --wallet {cold} --wallet-hotkey {hot}` (btcli 9 calls the first option --wallet-name)"
    )]
    Missing {
        /// The path that was tried.
        path: PathBuf,
        /// Name of the coldkey.
        cold: String,
        /// Name of the hotkey.
        hot: String,
    },
    /// The operating system refuses to hand the file out.
    #[error("the wallet file {path} cannot be read; run grail as the user who owns it, or correct its permissions")]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// The operating system's error.
        source: std::io::Error,
    },
    /// Others can read the file.
    #[error("the hotkey file {path} has mode {mode:04o}, so others can read the key; run `chmod 600 {quoted}`")]
    OpenToOthers {
        /// The file.
        path: PathBuf,
        /// Its permission bits.
        mode: u32,
        /// Its path as a shell takes it.
        quoted: String,
    },
    /// No key file is that large.
    #[error("{path} has {bytes} bytes, too many for a wallet file; restore the file from a backup")]
    TooLarge {
        /// The file.
        path: PathBuf,
        /// Its size.
        bytes: u64,
    },
    /// Neither plain nor of a known encrypted form.
    #[error(
        "{path} has no known format: it starts neither with `{{`, `$NACL`, `$ANSIBLE_VAULT` nor `gAAAAA`, and holds \
         neither a phrase nor hex; restore the file from a backup or run `btcli wallet regen-hotkey`"
    )]
    UnknownForm {
        /// The file.
        path: PathBuf,
    },
    /// An encrypted file whose structure is broken.
    #[error(
        "the encrypted file {path} ({form}) is damaged: {what}; restore the file from a backup or run `btcli wallet \
         regen-hotkey`"
    )]
    Damaged {
        /// The file.
        path: PathBuf,
        /// How it is encrypted.
        form: Form,
        /// The problem.
        what: &'static str,
    },
    /// The seal does not open.
    #[error(
        "{path} ({form}) does not open with the password from {password}: the password is wrong or the file was \
         altered; correct the password, or restore the file from a backup"
    )]
    WrongPassword {
        /// The file.
        path: PathBuf,
        /// How it is encrypted.
        form: Form,
        /// Source of the password.
        password: String,
    },
    /// There is no password.
    #[error(
        "{path} is encrypted and there is no terminal to ask for its password; set {variable} to base64 of the password XORed \
         with that name, or start grail in a terminal"
    )]
    NoPassword {
        /// The file.
        path: PathBuf,
        /// The variable that may hold the password.
        variable: String,
        /// Why the terminal did not answer, if it was tried.
        source: Option<std::io::Error>,
    },
    /// The password's variable is not coded as it must be.
    #[error(
        "{variable} does not hold a password as btcli writes it; unset it to be asked, or set it to base64 of the \
         password XORed with the variable's name"
    )]
    BadPasswordVariable {
        /// The variable.
        variable: String,
    },
    /// Not enough memory for the key derivation.
    #[error("decrypting {path} takes 512 MiB of memory, which this machine refuses; free memory or raise the limit")]
    NoMemory {
        /// The file.
        path: PathBuf,
    },
    /// The file is no JSON of the expected shape.
    #[error(
        "{path} is not a key file's JSON: {what} at line {line}, column {column}; restore the file from a backup or \
         run `btcli wallet regen-hotkey`"
    )]
    Json {
        /// The file.
        path: PathBuf,
        /// The mistake.
        what: &'static str,
        /// Line of the mistake.
        line: usize,
        /// Column of the mistake.
        column: usize,
    },
    /// The file holds a public key alone, or nothing.
    #[error(
        "{path} holds no secret key (no secretPhrase, secretSeed or privateKey); point BT_WALLET_HOT at the hotkey \
         itself, not at its public file"
    )]
    NoSecret {
        /// The file.
        path: PathBuf,
    },
    /// The secret is malformed.
    #[error(
        "{field} in {path} is unusable: {source}; restore the file from a backup or run `btcli wallet regen-hotkey`"
    )]
    Secret {
        /// The file.
        path: PathBuf,
        /// The JSON key, or the kind of the whole file.
        field: &'static str,
        /// The problem.
        source: SecretError,
    },
    /// Another signature scheme.
    #[error(
        "{path} holds a key of cryptoType {crypto_type}, and GRAIL signs with sr25519 (cryptoType 1); create an \
         sr25519 hotkey with `btcli wallet new-hotkey`"
    )]
    KeyType {
        /// The file.
        path: PathBuf,
        /// The number in the file.
        crypto_type: u64,
    },
    /// The stored address is not one.
    #[error("{field} in {path} is not an sr25519 address or public key; restore the file from a backup")]
    MalformedAddress {
        /// The file.
        path: PathBuf,
        /// The JSON key.
        field: &'static str,
    },
    /// The stored address belongs to another key.
    #[error(
        "the hotkey's secret gives the address {derived}, and {field} in {path} says {stored}; one of them was \
         exchanged: restore both files from a backup or run `btcli wallet regen-hotkey`"
    )]
    OtherAddress {
        /// The file that stores the address.
        path: PathBuf,
        /// The JSON key.
        field: &'static str,
        /// The address that the secret gives.
        derived: String,
        /// The address that is stored.
        stored: String,
    },
}

/// A problem with a secret.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SecretError {
    /// Not hexadecimal.
    #[error("it is not hexadecimal")]
    NotHex,
    /// Hexadecimal of the wrong length.
    #[error("it has {found} bytes, not {expected}")]
    Length {
        /// Bytes found.
        found: usize,
        /// Bytes that there must be.
        expected: &'static str,
    },
    /// Not the bytes of an sr25519 key.
    #[error("its bytes are not an sr25519 key")]
    NoKey,
    /// Not a phrase.
    #[error(transparent)]
    Phrase(#[from] PhraseError),
}
