//! The tape that a miner records.

use std::path::PathBuf;

use grail_miner::machine::{MachineSecrets, MachineSettings};
use grail_miner::ports::Clock;
use grail_operator::recording;
use grail_tape::{Header, Recorder};

use super::Mining;
use grail_live::device::DeviceSet;

impl Mining<'_> {
    /// Returns where tapes go; none if they are switched off.
    pub(super) fn tapes(&self) -> Option<PathBuf> {
        recording::folder(self.arguments.tape.as_deref(), self.data_folder.join("tapes"))
    }

    /// The recorder, unless it was switched off.
    pub(super) fn recorder(&self, header: &Header, clock: &dyn Clock) -> anyhow::Result<Option<Recorder>> {
        let default = self.data_folder.join("tapes");
        recording::start(self.arguments.tape.as_deref(), default, header, clock.now().wall_ms)
    }

    pub(super) fn header(&self, settings: &MachineSettings, secrets: &MachineSecrets) -> Header {
        let engine = if self.arguments.device == DeviceSet::Cpu { "cpu" } else { "cuda" };
        let header = Header::of(settings, secrets, engine).with_model(&self.config.model_name);
        if engine == "cuda" { header.with_numerics(self.arguments.numerics.name()) } else { header }
    }
}
