//! Questions to a person at a terminal, or to lines on standard input.

use std::io::{self, BufRead, IsTerminal, Write};
use std::path::Path;

use super::InitNetwork;
use super::wallets::Found;
use clap::ValueEnum;
use grail_terminal::{Exit, ExitError, output, printable};
use grail_wallet::ask_unseen;
use secrecy::{ExposeSecret, SecretString};

/// Asks questions on standard error and reads answers from standard input.
pub(super) struct Questions {
    /// Whether a person answers, so that a wrong answer is asked for again and secrets are typed unseen.
    is_terminal: bool,
}

impl Questions {
    pub(super) fn of_process() -> Self {
        Self { is_terminal: io::stdin().is_terminal() }
    }

    /// Returns an answer; `default` if it is empty.
    pub(super) fn text(&mut self, question: &str, default: Option<&str>) -> Result<String, ExitError> {
        let shown = match default {
            None | Some("") => format!("{question}: "),
            Some(default) => format!("{question} [{default}]: "),
        };
        loop {
            let answer = self.line(&shown)?;
            match (answer.trim(), default) {
                ("", Some(default)) => return Ok(default.to_owned()),
                ("", None) => output::aside("an answer is needed; Ctrl-C ends without writing anything"),
                (answer, _) => return Ok(answer.to_owned()),
            }
        }
    }

    /// Returns an answer that is not shown while it is typed. An empty one keeps the answer before, if there is one.
    pub(super) fn secret(&mut self, question: &str, before: &SecretString) -> Result<SecretString, ExitError> {
        let has_before = !before.expose_secret().is_empty();
        let question = if has_before { format!("{question}, empty for the one before") } else { question.to_owned() };
        loop {
            let typed = match self.is_terminal {
                true => ask_unseen(&format!("{question} (not shown): ")).map_err(|_| over())?,
                false => self.line(&format!("{question}: "))?.into(),
            };
            match typed.expose_secret().trim() {
                "" if has_before => return Ok(before.clone()),
                "" => output::aside("an answer is needed; Ctrl-C ends without writing anything"),
                typed => return Ok(typed.into()),
            }
        }
    }

    pub(super) fn network(&mut self) -> Result<InitNetwork, ExitError> {
        loop {
            let answer =
                self.text("Network: finney, test, custom, or served for a world on this machine", Some("finney"))?;
            match InitNetwork::from_str(&answer, false) {
                Ok(network) => return Ok(network),
                Err(_) => output::aside(format_args!("{answer:?} is none of them; type one of the four words")),
            }
        }
    }

    /// Returns one of the hotkeys that were found, by its number, or one that is named.
    pub(super) fn wallet(&mut self, folder: &Path, found: &[Found]) -> Result<Found, ExitError> {
        if found.is_empty() {
            output::aside(format_args!(
                "no hotkey is in {}; create one with `btcli wallet new-hotkey`, or name its folder with --wallets",
                printable(&folder.display().to_string())
            ));
        }
        for (number, Found { cold, hot }) in (1..).zip(found) {
            output::aside(format_args!("  {number}  {}/{}", printable(cold), printable(hot)));
        }
        loop {
            let default = if found.is_empty() { None } else { Some("1") };
            let answer = self.text("Hotkey: its number, or COLDKEY/HOTKEY by name", default)?;
            let numbered = answer.parse::<usize>().ok().and_then(|number| found.get(number.checked_sub(1)?));
            match (numbered, answer.split_once('/')) {
                (Some(found), _) => return Ok(found.clone()),
                (None, Some((cold, hot))) if !cold.is_empty() && !hot.is_empty() => {
                    return Ok(Found { cold: cold.to_owned(), hot: hot.to_owned() });
                }
                _ => output::aside("type a number from the list, or two names with a slash between"),
            }
        }
    }

    /// Returns whether to keep an answer that failed its test. Without a terminal nobody can be asked again.
    pub(super) fn keeps(&mut self, what: &str) -> Result<bool, ExitError> {
        Ok(self.text(&format!("Keep {what} anyway? yes or no"), Some("no"))? == "yes")
    }

    fn line(&mut self, question: &str) -> Result<String, ExitError> {
        // A question that cannot be seen is answered anyway.
        let _ = write!(io::stderr(), "{question}").and_then(|()| io::stderr().flush());
        let mut line = String::new();
        match io::stdin().lock().read_line(&mut line) {
            Ok(1..) => Ok(line),
            Ok(0) | Err(_) => Err(over()),
        }
    }
}

fn over() -> ExitError {
    ExitError::new(
        Exit::Usage,
        "the input ended before every question was answered, and nothing is written; answer all of them",
    )
}
