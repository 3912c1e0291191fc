//! Passwords of key files: from the variable that btcli writes, or by asking.

use std::collections::BTreeMap;
use std::fs::OpenOptions;
use std::io::{self, Write};
use std::path::Path;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use rustix::termios::{LocalModes, OptionalActions, tcgetattr, tcsetattr};
use secrecy::{ExposeSecret, SecretString};
use zeroize::Zeroizing;

use super::error::WalletError;

/// Starts the names of variables that hold passwords.
const PREFIX: &str = "BT_PW_";

/// Asks for the password of a file.
pub type Prompt<'a> = dyn Fn(&Path) -> io::Result<SecretString> + 'a;

/// Sources of passwords: variables first, then a prompt.
pub struct Passwords<'a> {
    /// Variables by name; those that do not start with `BT_PW_` are ignored.
    pub variables: &'a BTreeMap<String, SecretString>,
    /// Prompt to use if no variable is set.
    pub prompt: Option<&'a Prompt<'a>>,
}

/// A password, and the variable that it came from.
pub(super) struct Password {
    pub(super) secret: SecretString,
    pub(super) variable: Option<String>,
}

impl Passwords<'_> {
    pub(super) fn password_for(&self, path: &Path) -> Result<Password, WalletError> {
        let names = [password_variable(path), shell_variable(path)];
        let coded = |name: &String| self.variables.get(name).map(ExposeSecret::expose_secret).filter(|c| !c.is_empty());
        if let Some((name, coded)) = names.iter().find_map(|name| Some((name, coded(name)?))) {
            let variable = name.clone();
            return match decode(coded, &variable) {
                Some(secret) => Ok(Password { secret, variable: Some(variable) }),
                None => Err(WalletError::BadPasswordVariable { variable }),
            };
        }
        let [_, variable] = names;
        let missing = |source| WalletError::NoPassword { path: path.to_owned(), variable: variable.clone(), source };
        let prompt = self.prompt.ok_or_else(|| missing(None))?;
        let secret = prompt(path).map_err(|error| missing(Some(error)))?;
        Ok(Password { secret, variable: None })
    }
}

/// Returns the variable that may hold the password of this file, as btcli names it: `BT_PW_` and the path in upper case
/// with `/` and `.` as `_`.
pub fn password_variable(path: &Path) -> String {
    let path: String = path.to_string_lossy().chars().map(|c| if matches!(c, '/' | '.') { '_' } else { c }).collect();
    format!("{PREFIX}{}", path.to_uppercase())
}

/// Returns the name that a shell can set, with `_` for everything but letters and digits.
pub fn shell_variable(path: &Path) -> String {
    let is_settable = |c: char| c.is_ascii_alphanumeric() || c == '_';
    password_variable(path).chars().map(|c| if is_settable(c) { c } else { '_' }).collect()
}

/// Asks on the terminal, without echo.
///
/// # Errors
/// If there is no terminal, or it is closed.
pub fn ask_terminal(path: &Path) -> io::Result<SecretString> {
    ask_unseen(&format!("Password of {}: ", path.display()))
}

/// Asks a question at the terminal without showing the answer.
///
/// # Errors
/// If there is no terminal.
pub fn ask_unseen(question: &str) -> io::Result<SecretString> {
    let mut terminal = OpenOptions::new().read(true).write(true).open("/dev/tty")?;
    let before = tcgetattr(&terminal)?;
    // The question comes once nothing is shown any more: an answer that is pasted at once would otherwise be seen.
    let mut unseen = before.clone();
    unseen.local_modes.remove(LocalModes::ECHO);
    tcsetattr(&terminal, OptionalActions::Now, &unseen)?;
    let answer = terminal.write_all(question.as_bytes()).and_then(|()| rpassword::read_password());
    tcsetattr(&terminal, OptionalActions::Now, &before)?;
    answer.map(SecretString::from)
}

/// Returns the password in a variable of this name and value, if it is such a variable and coded correctly.
pub fn decoded_password(name: &str, coded: &str) -> Option<SecretString> {
    decode(coded, name).filter(|_| name.starts_with(PREFIX))
}

/// Returns the password in a variable: base64 of its bytes XORed with the variable's name, repeated.
fn decode(coded: &str, variable: &str) -> Option<SecretString> {
    let mut bytes = Zeroizing::new(STANDARD.decode(coded.trim()).ok()?);
    for (byte, mask) in bytes.iter_mut().zip(variable.bytes().cycle()) {
        *byte ^= mask;
    }
    std::str::from_utf8(&bytes).ok().map(SecretString::from)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_variable_is_named_after_the_path() {
        let variable = password_variable(Path::new("/users/me/.bittensor/wallets/cold-1/hotkeys/hot"));
        assert_eq!(variable, "BT_PW__USERS_ME__BITTENSOR_WALLETS_COLD-1_HOTKEYS_HOT");
        let variable = shell_variable(Path::new("/a b/größe-1/c@d.e"));
        assert_eq!(variable, "BT_PW__A_B_GR_SSE_1_C_D_E");
    }

    #[test]
    fn a_password_is_masked_with_the_name_repeated() {
        let masked: Vec<u8> = "Pässword".bytes().zip(b"BT_".iter().cycle()).map(|(a, b)| a ^ b).collect();
        let decoded = decode(&STANDARD.encode(masked), "BT_").unwrap();
        assert_eq!(decoded.expose_secret(), "Pässword");
    }

    #[test]
    fn uncoded_passwords_are_refused() {
        for coded in ["plain password", "////", "a"] {
            assert!(decode(coded, "BT_PW_X").is_none(), "{coded}");
        }
    }
}
