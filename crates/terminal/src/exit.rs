//! Exit codes: one number for each kind of ending, so that a supervisor knows whether to restart the command.
//!
//! Numbers above 63 are those of `sysexits.h`, which supervisors and shells know.

use std::io;
use std::process::ExitCode;

/// How a command ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, strum::IntoStaticStr, strum::VariantArray)]
#[strum(serialize_all = "snake_case")]
pub enum Exit {
    /// The command did what was asked.
    Success,
    /// The command did its work, and the result is negative.
    Negative,
    /// The command line, or a file that it names, cannot be used.
    Usage,
    /// A lock is held by another process, or something that the command needs is missing.
    Unavailable,
    /// The hotkey has no uid on the subnet.
    NotRegistered,
    /// A panic: a defect of this program.
    Defect,
    /// A temporary problem.
    Retry,
    /// The nodes are on another network, or speak another protocol.
    Protocol,
    /// A wallet, a key or a permission is wrong.
    Credentials,
    /// The configuration, the model, the device or the data folder is wrong.
    Configuration,
    /// A second signal.
    Interrupted,
    /// The reader of the output closed it.
    Unread,
}

impl Exit {
    /// All exits, by number.
    pub const ALL: &[Self] = <Self as strum::VariantArray>::VARIANTS;

    /// Returns the exit code of the process.
    pub const fn code(self) -> u8 {
        match self {
            Self::Success => 0,
            Self::Negative => 1,
            Self::Usage => 2,
            Self::Unavailable => 3,
            Self::NotRegistered => 67,
            Self::Defect => 70,
            Self::Retry => 75,
            Self::Protocol => 76,
            Self::Credentials => 77,
            Self::Configuration => 78,
            Self::Interrupted => 130,
            // The code of SIGPIPE, which this program handles itself.
            Self::Unread => 141,
        }
    }

    /// Returns the name in JSON.
    pub fn name(self) -> &'static str {
        self.into()
    }

    /// Returns the meaning, as the documentation states it.
    pub const fn meaning(self) -> &'static str {
        match self {
            Self::Success => "success; a miner stopped cleanly",
            Self::Negative => "negative result: rejected, diverged, a violation, a failed check or a regression",
            Self::Usage => "bad command line, input or output",
            Self::Unavailable => {
                "unavailable: another miner holds the hotkey, a replay lacks its model, or no miner is running"
            }
            Self::NotRegistered => "the hotkey has no uid on the subnet",
            Self::Defect => "a defect of this program: restart it and report the message",
            Self::Retry => "a temporary problem: restart it",
            Self::Protocol => "every node is on another network or speaks another protocol",
            Self::Credentials => "a wallet, a key or a permission is wrong",
            Self::Configuration => "the configuration, the model, the device or the data folder is wrong",
            Self::Interrupted => "stopped by a second signal, without waiting",
            Self::Unread => "the reader of the output closed it, as `head` does",
        }
    }

    /// Returns whether a supervisor should restart the command: a restart or time alone can help.
    pub const fn asks_for_restart(self) -> bool {
        matches!(self, Self::Defect | Self::Retry | Self::Interrupted)
    }

    /// Returns the evidence that only a person can fix it; none if a restart may help.
    pub const fn witness(self) -> Option<&'static str> {
        Some(match self {
            Self::Success | Self::Defect | Self::Retry | Self::Interrupted => return None,
            Self::Negative => "the command's own verdict; the same input gives the same verdict",
            Self::Unread => "the operating system, which reports that the reader closed the output",
            Self::Usage => "the command line and the files that it names",
            Self::Unavailable => {
                "a lock that the operating system grants to a running process, or the guard object in the bucket, which another \
                 miner renewed while this one watched it for up to 20 block times"
            }
            Self::NotRegistered => {
                "a chain endpoint of the right network that is not syncing and whose newest block is recent; no such endpoint \
                 shows a uid"
            }
            Self::Protocol => "every configured endpoint: each answered with another genesis hash than the network's",
            Self::Credentials => {
                "the wallet file on this disk; for the bucket the store itself, by an error code that names the key or the \
                 permission; for a published write key, the key"
            }
            Self::Configuration => {
                "the configuration, the model's files or the data folder on this disk; the device's driver, which answered; \
                 or the store itself, by an error code that names the bucket, the region or the missing feature"
            }
        })
    }

    /// Returns the exit for an error of a file that the command line names.
    pub fn of_file(error: &io::Error) -> Self {
        if is_denied(error) { Self::Configuration } else { Self::Usage }
    }

    /// Returns `Retry` if the reason is temporary, and `self` otherwise.
    #[must_use]
    pub const fn unless(self, passes: bool) -> Self {
        if passes { Self::Retry } else { self }
    }
}

/// Returns whether the operating system denied access.
pub fn is_denied(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem)
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit.code())
    }
}

/// An error that carries the exit of its command.
#[derive(Debug, thiserror::Error)]
#[error("{text}")]
pub struct ExitError {
    /// The exit.
    pub exit: Exit,
    text: String,
}

impl ExitError {
    /// Creates an error; `text` must name the remedy.
    pub fn new(exit: Exit, text: impl Into<String>) -> Self {
        Self { exit, text: text.into() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Returns the rows of the first table below a heading.
    fn table<'a>(page: &'a str, heading: &str) -> Vec<&'a str> {
        page.lines()
            .skip_while(|line| *line != heading)
            .skip_while(|line| !line.starts_with("|---"))
            .skip(1)
            .take_while(|line| line.starts_with('|'))
            .collect()
    }

    #[test]
    fn the_documented_table_is_this_one() {
        let page = include_str!("../../../docs/exit-codes.md");
        let row = |exit: &Exit| {
            let restart = if exit.asks_for_restart() { "yes" } else { "no" };
            let witness = exit.witness().unwrap_or("–");
            format!("| {} | `{}` | {} | {restart} | {witness} |", exit.code(), exit.name(), exit.meaning())
        };
        assert_eq!(table(page, "# Exit codes"), Exit::ALL.iter().map(row).collect::<Vec<_>>());
        let kept_down = Exit::ALL.iter().filter(|exit| !exit.asks_for_restart() && exit.code() > 0);
        let codes: Vec<String> = kept_down.map(|exit| exit.code().to_string()).collect();
        let line = format!("RestartPreventExitStatus={}", codes.join(" "));
        assert!(page.contains(&line), "docs/exit-codes.md lacks {line}");
    }

    #[test]
    fn a_code_has_a_witness_exactly_if_it_must_not_be_restarted() {
        for exit in Exit::ALL.iter().filter(|exit| exit.code() > 0) {
            assert_eq!(exit.witness().is_some(), !exit.asks_for_restart(), "{}", exit.name());
        }
    }
}
