//! The upload's state as lines.

use super::{Choice, Confirmed, Etag, Job, Stage, Upload};
use crate::machine::view::View;

impl Upload {
    pub(in crate::machine) fn describe(&self, view: &mut View) {
        let Self {
            window_start: _,
            job,
            confirmed,
            etag,
            ledger,
            must_delete,
            refused,
            attempts,
            last_began_ms,
            considered,
            choice,
        } = self;
        view.line("upload.stage", job.as_ref().map_or("idle".to_owned(), |job| job.stage.name()));
        if let Some(Job { choice: Choice { groups, worth }, stage: _, digest, attempts, began_ms, given_up }) = job {
            view.line("upload.groups", groups);
            view.line("upload.worth", worth);
            view.line("upload.digest", digest);
            view.line("upload.attempts", attempts);
            view.line("upload.began_ms", began_ms);
            view.line("upload.given_up", given_up);
        }
        if let Some(Confirmed { groups, digest, slack_ms, worth }) = confirmed {
            view.line("upload.confirmed.groups", groups);
            view.line("upload.confirmed.digest", digest);
            view.line_if_some("upload.confirmed.slack_ms", *slack_ms);
            view.line("upload.confirmed.worth", worth);
        }
        view.line_if_some("upload.etag", etag.as_ref().map(|Etag(version)| version));
        ledger.describe("upload", view);
        view.line("upload.must_delete", must_delete);
        view.line_if_some("upload.refused", refused.as_ref());
        attempts.describe("upload", view);
        view.line_if_some("upload.last_began_ms", *last_began_ms);
        view.line("upload.considered", considered);
        view.line_if_some("upload.chosen_groups", choice.map(|choice| choice.groups));
        view.line_if_some("upload.chosen_worth", choice.map(|choice| choice.worth));
    }
}

impl Stage {
    fn name(&self) -> String {
        match self {
            Self::Confirming => "confirming".to_owned(),
            Self::Journaling { bytes } => format!("journaling {} bytes", bytes.len()),
            Self::Putting => "putting".to_owned(),
            Self::Reading { written, missing, strange } => {
                let written = if *written { "written" } else { "unknown" };
                let strange = if strange.is_some() { ", something else was there" } else { "" };
                format!("reading, {written}, missing {missing} times{strange}")
            }
            Self::Deleting => "deleting".to_owned(),
            Self::Pausing(next) => format!("pausing before {}", next.name()),
        }
    }
}
