//! The tape that a miner records.

use std::path::PathBuf;

use grail_miner::driver::Observer;
use grail_miner::machine::{MachineSecrets, MachineSettings};
use grail_miner::ports::Clock;
use grail_tape::{Header, Recorder, Rotation, TapeFolder};

use super::Mining;
use crate::args::is_off;
use grail_live::device::DeviceSet;

/// Older tapes go once all of them together are larger.
const TAPE_BYTES_MAX: u64 = 4 << 30;

impl Mining<'_> {
    /// Returns where tapes go; none if they are switched off.
    pub(super) fn tapes(&self) -> Option<PathBuf> {
        match &self.arguments.tape {
            Some(folder) if is_off(folder) => None,
            Some(folder) => Some(folder.clone()),
            None => Some(self.data_folder.join("tapes")),
        }
    }

    /// The recorder, unless it was switched off.
    pub(super) fn recorder(&self, header: Header, clock: &dyn Clock) -> anyhow::Result<Option<Box<dyn Observer>>> {
        let Some(path) = self.tapes() else { return Ok(None) };
        let folder = TapeFolder { path, bytes_max: TAPE_BYTES_MAX };
        let recorder = match Recorder::begin_rotating(&folder, Rotation::LIVE, &header, clock.now().wall_ms) {
            // The tape is a default, and windows are worth more than their record.
            Err(error) if self.arguments.tape.is_none() => {
                tracing::warn!("{error}; mining without a tape");
                return Ok(None);
            }
            other => other?,
        };
        tracing::info!("recording to {}", recorder.path().display());
        Ok(Some(Box::new(recorder)))
    }

    pub(super) fn header(&self, settings: &MachineSettings, secrets: &MachineSecrets) -> Header {
        let engine = if self.arguments.device == DeviceSet::Cpu { "cpu" } else { "cuda" };
        let header = Header::of(settings, secrets, engine).with_model(&self.config.model_name);
        if engine == "cuda" { header.with_numerics(self.arguments.numerics.name()) } else { header }
    }
}
