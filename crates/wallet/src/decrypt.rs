//! Opening the encrypted forms. Formats: bittensor-wallet's `keyfile` for salts and costs, Ansible's vault 1.1, Fernet.

mod ansible_vault;
mod fernet;
mod nacl;

use std::path::Path;

use secrecy::{ExposeSecret, SecretString};
use zeroize::Zeroizing;

use super::error::WalletError;
use super::form::Form;

/// Why an encrypted file does not open.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum DecryptError {
    Damaged(&'static str),
    WrongPassword,
    NoMemory,
}

impl DecryptError {
    /// Returns the error of this file, whose password came from a variable or from the prompt.
    pub(super) fn at(self, path: &Path, form: Form, variable: Option<&str>) -> WalletError {
        let path = path.to_owned();
        match self {
            Self::Damaged(what) => WalletError::Damaged { path, form, what },
            Self::NoMemory => WalletError::NoMemory { path },
            Self::WrongPassword => {
                let password = variable.unwrap_or("the prompt").to_owned();
                WalletError::WrongPassword { path, form, password }
            }
        }
    }
}

/// Checks the file's structure, so that nobody is asked for the password of a broken file.
pub(super) fn check_shape(form: Form, content: &[u8]) -> Result<(), DecryptError> {
    match form {
        Form::Plain => Ok(()),
        Form::Nacl => nacl::parts(content).map(|_| ()),
        Form::AnsibleVault => ansible_vault::parts(content).map(|_| ()),
        Form::Fernet => fernet::token(content).map(|_| ()),
    }
}

/// Returns the file's content in the clear.
pub(super) fn decrypt(form: Form, content: &[u8], password: &SecretString) -> Result<Zeroizing<Vec<u8>>, DecryptError> {
    let password = password.expose_secret().as_bytes();
    match form {
        Form::Plain => Ok(Zeroizing::new(content.to_vec())),
        Form::Nacl => nacl::decrypt(content, password),
        Form::AnsibleVault => ansible_vault::decrypt(content, password),
        Form::Fernet => fernet::decrypt(content, password),
    }
}
