//! Hotkeys from Bittensor wallet files: plain JSON in its variants, and the three encrypted forms.
//!
//! Mining needs the hotkey alone; the coldkey is never opened and may be absent. This crate reads the named files and may
//! ask a terminal for a password; it touches no network. [`WalletLocation`] names the files, [`Passwords`] gives
//! passwords, and [`HotkeyWallet`] signs.

#![allow(
    clippy::disallowed_types,
    clippy::disallowed_methods,
    reason = "this crate is at the boundary: real time and the environment may enter here"
)]

mod decrypt;
mod document;
mod error;
mod file;
mod form;
mod inputs;
mod locked;
mod password;
mod phrase;

use std::path::{Path, PathBuf};

use grail_miner::ports::Signer;
use grail_protocol::signature::{Hotkey, Keypair};

pub use self::error::{SecretError, WalletError};
pub use self::form::Form;
pub use self::inputs::{Inputs, is_there_once};
pub use self::password::{
    Passwords, Prompt, ask_terminal, ask_unseen, decoded_password, password_variable, shell_variable,
};
pub use self::phrase::PhraseError;

use self::locked::Locked;

/// Location of a hotkey's files: `{folder}/{cold}/hotkeys/{hot}`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WalletLocation {
    /// The folder of all wallets.
    pub folder: PathBuf,
    /// Name of the coldkey, which is the wallet's name.
    pub cold: String,
    /// Name of the hotkey.
    pub hot: String,
}

impl WalletLocation {
    /// Returns the hotkey's file.
    pub fn hotkey_path(&self) -> PathBuf {
        self.folder.join(&self.cold).join("hotkeys").join(&self.hot)
    }

    /// Returns the file that holds the hotkey's address alone.
    pub fn hotkey_public_path(&self) -> PathBuf {
        self.folder.join(&self.cold).join("hotkeys").join(format!("{}pub.txt", self.hot))
    }
}

/// An opened hotkey. Its secret half is not swapped to disk if that can be had, and wiped when it is dropped.
#[derive(Debug)]
pub struct HotkeyWallet {
    name: String,
    path: PathBuf,
    form: Form,
    keypair: Locked<Keypair>,
    address: String,
}

impl HotkeyWallet {
    /// Reads the file, decrypts it if necessary, and checks it against every address that is stored next to the key.
    ///
    /// Decrypting takes seconds, and 512 MiB of memory for the `$NACL` form.
    ///
    /// # Errors
    /// [`WalletError`], with the file and the remedy.
    pub fn open(location: &WalletLocation, passwords: &Passwords<'_>) -> Result<Self, WalletError> {
        Self::open_with(location, passwords, &Inputs::default())
    }

    /// As [`Self::open`]. Files in `inputs` are not read again; files that are read are kept there.
    ///
    /// # Errors
    /// As [`Self::open`].
    pub fn open_with(
        location: &WalletLocation,
        passwords: &Passwords<'_>,
        inputs: &Inputs,
    ) -> Result<Self, WalletError> {
        let path = location.hotkey_path();
        let content = file::read_secret(&path, location, inputs)?;
        let (keypair, form) = keypair_from(&path, &content, passwords)?;
        if let Some(public) = file::read_public(&location.hotkey_public_path(), inputs)? {
            document::check_public(&location.hotkey_public_path(), &public, keypair.hotkey())?;
        }
        let address = keypair.hotkey().to_ss58();
        Ok(Self {
            name: format!("{}/{}", location.cold, location.hot),
            path,
            form,
            keypair: Locked::new(keypair),
            address,
        })
    }

    /// Coldkey's and hotkey's name with a slash between.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Returns the file that the key was read from.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Returns how the file keeps the key.
    pub const fn form(&self) -> Form {
        self.form
    }

    /// Returns the hotkey's SS58 address.
    pub fn address(&self) -> &str {
        &self.address
    }

    /// Returns the keys, for signatures that a [`Signer`] does not make, such as those of extrinsics.
    pub fn keypair(&self) -> &Keypair {
        &self.keypair
    }
}

impl Signer for HotkeyWallet {
    fn hotkey(&self) -> Hotkey {
        self.keypair.hotkey()
    }

    fn sign(&self, message: &[u8]) -> [u8; 64] {
        self.keypair.sign(message)
    }
}

/// Returns the hotkey in a file with this content; `path` is for errors and for the name of the password's variable.
#[doc(hidden)]
pub fn hotkey_in(path: &Path, content: &[u8], passwords: &Passwords<'_>) -> Result<Hotkey, WalletError> {
    Ok(keypair_from(path, content, passwords)?.0.hotkey())
}

fn keypair_from(path: &Path, content: &[u8], passwords: &Passwords<'_>) -> Result<(Keypair, Form), WalletError> {
    let form = Form::of(content).ok_or_else(|| WalletError::UnknownForm { path: path.to_owned() })?;
    if form == Form::Plain {
        return Ok((document::keypair(path, content)?, form));
    }
    decrypt::check_shape(form, content).map_err(|error| error.at(path, form, None))?;
    let password = passwords.password_for(path)?;
    let plain = decrypt::decrypt(form, content, &password.secret)
        .map_err(|error| error.at(path, form, password.variable.as_deref()))?;
    Ok((document::keypair(path, &plain)?, form))
}
