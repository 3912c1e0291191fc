//! The `.env` of a served world, and the fault that breaks it.

use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};

use super::ServeError;
use super::folder::replace;

const HEAD: &str = "# A simulated network on this machine: every key below is made up. The servers run until `grail sim serve` \
                    ends; `grail why` reads this file afterwards too.\n";
/// A mistake that an editor of the file might make.
const MISTAKE: &str = "NETUID 81\n";

/// The file, whole at any time.
pub(super) struct EnvironmentFile {
    path: PathBuf,
    text: String,
    is_broken: AtomicBool,
}

impl EnvironmentFile {
    /// Writes the file, whole or not at all, with the lines of `before` whose names are none of these.
    pub(super) fn write(path: PathBuf, lines: &[(&str, String)], before: &str) -> Result<Self, ServeError> {
        let kept = kept(before, lines);
        let lines: String = lines.iter().map(|(name, value)| format!("{name}={value}\n")).collect();
        let text = format!("{HEAD}{lines}{kept}");
        replace(&path, &text)?;
        Ok(Self { path, text, is_broken: AtomicBool::new(false) })
    }

    /// Adds an unreadable line, or removes it again.
    pub(super) fn set_broken(&self, is_broken: bool) {
        if self.is_broken.swap(is_broken, Ordering::Relaxed) != is_broken {
            let mistake = if is_broken { MISTAKE } else { "" };
            // A fault that cannot strike does not.
            let _ = replace(&self.path, &format!("{}{mistake}", self.text));
        }
    }
}

/// Returns the settings of an earlier `.env` that this world does not make itself, each with the comments above it.
fn kept(before: &str, lines: &[(&str, String)]) -> String {
    let (mut kept, mut comments) = (String::new(), String::new());
    for line in before.lines() {
        if line.starts_with('#') {
            comments += &format!("{line}\n");
            continue;
        }
        if let Some((name, _)) = line.split_once('=') {
            let name = name.trim().trim_start_matches("export ").trim();
            if lines.iter().all(|(ours, _)| *ours != name) {
                kept += &format!("{comments}{line}\n");
            }
        }
        comments.clear();
    }
    kept
}

#[cfg(test)]
mod tests {
    use super::super::folder::is_of_a_world;
    use super::*;

    #[test]
    fn lines_that_somebody_added_are_kept_and_those_of_an_earlier_world_are_not() {
        let ours = [("NETUID", "81".to_owned())];
        let before = "# a comment\nNETUID=80\nNETUID 81\n# Of mine.\nWANDB_PROJECT=mine\nexport NETUID=79\n# for later\n#OFF=1\n";
        assert_eq!(kept(before, &ours), "# Of mine.\nWANDB_PROJECT=mine\n");
        assert!(is_of_a_world(HEAD) && !is_of_a_world("R2_ACCOUNT_ID=mine\n") && !is_of_a_world(""));
    }
}
