//! Whether the miner makes progress: blocks arrive, groups come, uploads are verified.
//!
//! Health follows from results, not from a running loop.

use std::fmt;

/// A part that makes no progress.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, strum::IntoStaticStr, strum::VariantArray)]
#[strum(serialize_all = "snake_case")]
pub enum HealthIssue {
    /// No new head.
    Chain,
    /// No group.
    Engine,
    /// No verified upload.
    Upload,
}

impl HealthIssue {
    /// Every issue.
    pub const ALL: &[Self] = <Self as strum::VariantArray>::VARIANTS;

    /// Returns its name in metrics and logs.
    pub(crate) fn name(self) -> &'static str {
        self.into()
    }

    pub(crate) const fn recovery(self) -> &'static str {
        match self {
            Self::Chain => "blocks arrive again",
            Self::Engine => "the engine finishes groups again",
            Self::Upload => "an upload was verified again",
        }
    }
}

impl fmt::Display for HealthIssue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Chain => "no new block arrives; every endpoint is tried in turn: run `grail doctor` if it lasts",
            Self::Engine => {
                "the engine has finished no group for a whole window; look at the GPU, or restart the miner"
            }
            Self::Upload => {
                "no upload was verified for two windows; the receipts tell why, and `grail doctor` checks the bucket"
            }
        })
    }
}

/// The miner's health at one moment.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct HealthSnapshot {
    /// Things that make no progress.
    pub issues: Vec<HealthIssue>,
    /// Milliseconds since the newest block came; none before the first.
    pub head_age_ms: Option<u64>,
    /// Milliseconds without a block although nodes are connected, once that is too long.
    pub deaf_ms: Option<u64>,
    /// Milliseconds without an event, once that is too long.
    pub silent_ms: Option<u64>,
    /// Whether a group was clean since the process started.
    pub has_clean_group: bool,
    /// Whether the hotkey has a uid; none before that was read.
    pub is_registered: Option<bool>,
    /// Whether any validator gives the hotkey a weight above zero; none before that was read.
    pub is_weighted: Option<bool>,
    /// The error of the bucket's last answer, if it was one.
    pub bucket_error: Option<String>,
    /// Verified uploads since the process started.
    pub uploads: u64,
}

impl HealthSnapshot {
    /// Returns whether this makes no progress.
    pub fn has(&self, issue: HealthIssue) -> bool {
        self.issues.contains(&issue)
    }

    /// Returns the reasons for which a restart may help; empty while the process is alive and at work.
    pub fn restart_reasons(&self) -> Vec<String> {
        let seconds = |ms: u64| ms / 1000;
        let deaf = self.deaf_ms.map(|ms| {
            format!("no new block for {} s although the chain's nodes answer: run `grail doctor`", seconds(ms))
        });
        let silent = self.silent_ms.map(|ms| format!("no event for {} s: the event loop is stuck", seconds(ms)));
        let engine = self.has(HealthIssue::Engine).then(|| HealthIssue::Engine.to_string());
        [deaf, silent, engine].into_iter().flatten().collect()
    }

    /// Returns the reasons for which no upload is to be expected; empty once a group is clean and while everything makes
    /// progress.
    pub fn obstacles(&self) -> Vec<String> {
        let mut found = self.restart_reasons();
        let others = [HealthIssue::Chain, HealthIssue::Upload].into_iter().filter(|issue| self.has(*issue));
        found.extend(others.map(|issue| issue.to_string()));
        found.extend(self.bucket_error.as_ref().map(|error| format!("the bucket failed last: {error}")));
        if self.is_registered == Some(false) {
            found.push("the hotkey is not registered: run `grail doctor`".to_owned());
        }
        if self.head_age_ms.is_none() {
            found.push("no block has arrived yet".to_owned());
        } else if !self.has_clean_group {
            found.push("no group is clean yet; the first window to start brings one".to_owned());
        }
        found
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_miner_is_ready_only_after_a_clean_group_and_without_issues() {
        let mut health = HealthSnapshot::default();
        assert_eq!(health.obstacles(), ["no block has arrived yet"]);
        health.head_age_ms = Some(0);
        assert!(health.obstacles()[0].starts_with("no group is clean yet"));
        health.has_clean_group = true;
        assert_eq!(health.obstacles(), [] as [String; 0]);
        health.is_registered = Some(false);
        assert!(health.obstacles()[0].contains("not registered"));
        health.is_registered = Some(true);
        health.bucket_error = Some("503".to_owned());
        assert_eq!(health.obstacles(), ["the bucket failed last: 503"]);
        health.bucket_error = None;
        health.issues = vec![HealthIssue::Chain, HealthIssue::Upload];
        assert_eq!(health.obstacles().len(), 2);
        assert_eq!(health.restart_reasons(), [] as [String; 0], "a restart does not repair a chain");
        health.issues = vec![HealthIssue::Engine];
        assert_eq!((health.obstacles().len(), health.restart_reasons().len()), (1, 1));
    }
}
