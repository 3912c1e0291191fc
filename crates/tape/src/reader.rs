//! Reading a tape, whole or up to where a crash cut it.

use std::path::{Path, PathBuf};

use grail_folder::bounded;
use grail_folder::frames::{FileKind, FrameDamage, Scan, scan, version};
use grail_protocol::budget::{Budget, OverBudget};

use super::format::{FORMAT, Frame, Header, Step, Unpacker, kind, v1};
use super::limits::{FILE_BYTES_MAX, HEADER_BYTES_MAX, Limits, STEP_BYTES_MAX};
use super::parallel::in_parallel_with;
use super::role::{Miner, Role, Validator};
use crate::archive::{BundleError, is_bundle, tapes_in};

/// A tape in memory.
#[derive(Debug, Clone, PartialEq)]
pub struct Tape<R: Role = Miner> {
    /// Its header.
    pub header: Header<R>,
    /// Its frames, in order.
    pub frames: Vec<Frame<R>>,
    /// Bytes at the end that a crash left unfinished.
    pub torn_bytes: usize,
    /// The format that it was written in.
    pub format: u32,
}

/// Why a tape cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum TapeError {
    /// The operating system refuses.
    #[error("cannot read the tape {} ({source}); check the path", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// The archive has no tape, or is no archive.
    #[error(transparent)]
    Bundle(#[from] BundleError),
    /// The file is not a tape, or damaged.
    #[error("the tape {} is damaged: {damage}; replay a copy of it, or another tape", path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// How.
        damage: FrameDamage,
    },
    /// It records the other role.
    #[error("the tape {} records {found}, and this works with the tape of {wanted} alone; name another tape", path.display())]
    OtherRole {
        /// The file.
        path: PathBuf,
        /// What it records.
        found: &'static str,
        /// What was wanted.
        wanted: &'static str,
    },
    /// There is no header in this file: the recorder was killed before it wrote one.
    #[error("the tape {} ends before its header; nothing was recorded", .0.display())]
    Empty(PathBuf),
    /// It, or its bundle, unpacks or decodes to more than any recorder writes.
    #[error("the tape {} is no recording of ours: {excess}; get it again from its source", path.display())]
    TooLarge {
        /// The file.
        path: PathBuf,
        /// The exceeded budget.
        excess: OverBudget,
    },
    /// A frame with a valid checksum and invalid content.
    #[error("frame {number} of the tape {} cannot be decoded; it was written by another build of this format", path.display())]
    Frame {
        /// The file.
        path: PathBuf,
        /// Its number, from 0 for the header.
        number: usize,
    },
}

/// A tape of either role.
#[derive(Debug, Clone, PartialEq)]
pub enum AnyTape {
    /// A miner's.
    Miner(Tape),
    /// A validator's.
    Validator(Tape<Validator>),
}

impl AnyTape {
    /// Reads the tape in this file, or the first one of a bundle.
    ///
    /// # Errors
    /// As [`Self::read_all`].
    pub fn read(path: &Path) -> Result<Self, TapeError> {
        Ok(Self::read_all(path)?.swap_remove(0))
    }

    /// Returns the tape in this file, or every tape in this bundle; there is at least one.
    ///
    /// # Errors
    /// [`TapeError`]; a tape that ends in the middle of a frame is read up to that frame.
    pub fn read_all(path: &Path) -> Result<Vec<Self>, TapeError> {
        let bytes =
            bounded::read(path, FILE_BYTES_MAX).map_err(|source| TapeError::Io { path: path.to_owned(), source })?;
        let limits = Limits::default();
        if !is_bundle(&bytes) {
            return Ok(vec![Self::parse(&limits, path, &bytes)?]);
        }
        let tapes = tapes_in(path, &bytes)?.into_iter();
        tapes.map(|(name, bytes)| Self::parse(&limits, &path.join(name), &bytes)).collect()
    }

    fn parse(limits: &Limits, path: &Path, bytes: &[u8]) -> Result<Self, TapeError> {
        if bytes.starts_with(&Validator::MAGIC) {
            return Ok(Self::Validator(Tape::parse_by(&[current()], limits, path, bytes)?));
        }
        Ok(Self::Miner(Tape::parse_by(&[current()], limits, path, bytes)?))
    }

    /// Returns how many steps it has.
    pub fn steps_count(&self) -> usize {
        match self {
            Self::Miner(tape) => tape.steps().count(),
            Self::Validator(tape) => tape.steps().count(),
        }
    }

    /// Returns whether this text is in the lines of a step.
    pub fn shows(&self, text: &str) -> bool {
        match self {
            Self::Miner(tape) => tape.shows(text),
            Self::Validator(tape) => tape.shows(text),
        }
    }

    /// Returns a validator's tape; none if it is a miner's.
    pub fn validators(self) -> Option<Tape<Validator>> {
        match self {
            Self::Validator(tape) => Some(tape),
            Self::Miner(_) => None,
        }
    }

    fn miners(self, path: &Path) -> Result<Tape, TapeError> {
        let other = || TapeError::OtherRole { path: path.to_owned(), found: Validator::NAME, wanted: Miner::NAME };
        match self {
            Self::Miner(tape) => Ok(tape),
            Self::Validator(_) => Err(other()),
        }
    }
}

impl Tape {
    /// Reads a miner's tape in this file, or the first one of a bundle.
    ///
    /// # Errors
    /// [`TapeError`]; a tape that ends in the middle of a frame is read up to that frame.
    pub fn read(path: &Path) -> Result<Self, TapeError> {
        Ok(Self::read_all(path)?.swap_remove(0))
    }

    /// Returns the miner's tape in this file, or every tape in this bundle; there is at least one.
    ///
    /// # Errors
    /// As [`Self::read`].
    pub fn read_all(path: &Path) -> Result<Vec<Self>, TapeError> {
        AnyTape::read_all(path)?.into_iter().map(|tape| tape.miners(path)).collect()
    }

    /// Returns the miner's tape that these bytes are; `path` is for errors.
    ///
    /// # Errors
    /// [`TapeError`].
    pub fn parse(path: &Path, bytes: &[u8]) -> Result<Self, TapeError> {
        Self::parse_any(path, bytes)
    }
}

impl<R: Role> Tape<R> {
    /// Returns the tape of this role that these bytes are; `path` is for errors.
    ///
    /// # Errors
    /// [`TapeError`].
    pub fn parse_any(path: &Path, bytes: &[u8]) -> Result<Self, TapeError> {
        Self::parse_by(&[current()], &Limits::default(), path, bytes)
    }

    /// As `parse`, where each of these formats is known; the last is the present one.
    fn parse_by(formats: &[Format<R>], limits: &Limits, path: &Path, bytes: &[u8]) -> Result<Self, TapeError> {
        let path = || path.to_owned();
        let damaged = |damage| TapeError::Damaged { path: path(), damage };
        let known =
            version(&R::MAGIC, bytes).and_then(|version| formats.iter().find(|format| format.number == version));
        // `scan` refuses any other number and names both.
        let (version, decode) =
            known.map_or_else(|| (FORMAT, v1::decode as _), |format| (format.number, format.decode));
        let kind = FileKind { version, ..kind::<R>() };
        let Scan { payloads, torn_bytes, .. } = scan(&kind, bytes).map_err(damaged)?;
        let mut payloads = payloads.into_iter().enumerate();
        let (_, at) = payloads.next().ok_or_else(|| TapeError::Empty(path()))?;
        let too_large = |excess| TapeError::TooLarge { path: path(), excess };
        // Once the budget is used up, it is the cause of any failure.
        let undecodable = |number| {
            let excess = limits.check().err();
            excess.map_or_else(|| TapeError::Frame { path: path(), number }, too_large)
        };
        let mut unpacker = Unpacker::new();
        let header = unpacker.unpack(&bytes[at], &limits.unpacked).filter(|json| json.len() <= HEADER_BYTES_MAX);
        let header = header.and_then(|json| serde_json::from_slice(json).ok());
        let header = header.ok_or_else(|| undecodable(0))?;
        limits.frames(payloads.len()).map_err(too_large)?;
        let payloads: Vec<_> = payloads.collect();
        // Nearly all of the time goes into this.
        let decoded = in_parallel_with(&payloads, Unpacker::new, |unpacker, (number, at)| {
            let payload = unpacker.unpack(&bytes[at.clone()], &limits.unpacked);
            let frame = payload.and_then(|payload| {
                let frame = decode(payload, &limits.decoded);
                frame.filter(|frame| payload.len() <= STEP_BYTES_MAX || may_be_long(frame))
            });
            frame.ok_or_else(|| undecodable(*number))
        });
        let frames = decoded.into_iter().collect::<Result<Vec<_>, _>>()?;
        Ok(Self { header, frames, torn_bytes, format: kind.version })
    }

    /// Returns the machine before the first step: a new one, or restored where the tape continues from another one.
    pub fn machine(&self) -> R::Machine {
        let restored = match self.frames.first() {
            Some(Frame::State(state)) => self.header.machine_in(state),
            _ => None,
        };
        restored.unwrap_or_else(|| self.header.machine())
    }

    /// Returns the steps, in order.
    pub fn steps(&self) -> impl Iterator<Item = &Step<R>> {
        self.frames.iter().filter_map(|frame| match frame {
            Frame::Step(step) => Some(&**step),
            Frame::State(_) => None,
        })
    }

    /// Returns whether this text is in the lines of a step.
    pub fn shows(&self, text: &str) -> bool {
        let shows = |step: &Step<R>| {
            step.event_line().contains(text) || step.actions.iter().any(|action| action.contains(text))
        };
        self.steps().any(shows)
    }

    /// Returns the bytes of a tape of the present format.
    ///
    /// # Errors
    /// If compression fails.
    pub fn to_bytes(&self) -> std::io::Result<Vec<u8>> {
        let mut bytes = v1::beginning(&self.header)?;
        for frame in &self.frames {
            bytes.extend(v1::encoded(frame)?.bytes);
        }
        Ok(bytes)
    }
}

/// A format of tapes: its number, and how a payload becomes a frame.
struct Format<R: Role> {
    number: u32,
    decode: fn(&[u8], &Budget) -> Option<Frame<R>>,
}

/// Returns the one format that this build reads. Older formats stay, with their decoders.
fn current<R: Role>() -> Format<R> {
    Format { number: v1::FORMAT, decode: v1::decode }
}

/// Returns whether there may be much of this.
fn may_be_long<R: Role>(frame: &Frame<R>) -> bool {
    match frame {
        Frame::State(_) => true,
        Frame::Step(step) => {
            let actions: usize = step.actions.iter().map(String::len).sum();
            R::is_start(&step.event) && actions <= STEP_BYTES_MAX
        }
    }
}

#[cfg(test)]
mod tests {
    use grail_miner::machine::{Event, MachineSecrets, MachineSettings};
    use grail_miner::ports::{ChainError, JournalRecord};
    use grail_protocol::signature::Hotkey;

    use super::*;
    use crate::format::packed;
    use grail_folder::frames::frame;
    use serde_json::Value;

    const MIB: usize = 1 << 20;

    /// Returns a tape of these payloads, with a header that is this much longer than it needs to be.
    fn tape(version: u32, padding: usize, payloads: &[Vec<u8>]) -> Vec<u8> {
        let settings = MachineSettings::new(Hotkey::from_bytes([7; 32]));
        let secrets = MachineSecrets { seed: 0, read_credentials: vec![0; 128] };
        let header = Header::of(&settings, &secrets, "synthetic").with_model(&" ".repeat(padding));
        let header = serde_json::to_vec(&header).unwrap();
        let frames = payloads.iter().flat_map(|payload| frame(&packed(payload).unwrap()));
        let kind = FileKind { version, ..kind::<Miner>() };
        kind.header().into_iter().chain(frame(&packed(&header).unwrap())).chain(frames).collect()
    }

    fn read(limits: &Limits, bytes: &[u8]) -> Result<usize, TapeError> {
        let tape = Tape::<Miner>::parse_by(&[current()], limits, Path::new("a.tape"), bytes);
        tape.map(|tape| tape.frames.len())
    }

    fn state(content: &Value) -> Vec<u8> {
        rmp_serde::to_vec_named(&Frame::<Miner>::State(content.clone())).unwrap()
    }

    #[test]
    fn the_tapes_of_a_file_share_one_budget() {
        let text = tape(FORMAT, 0, &vec![state(&"a".repeat(MIB).into()); 2]);
        let numbers = tape(FORMAT, 0, &[state(&vec![0; 10_000].into())]);
        let limits = Limits::new(8 * MIB, MIB);
        // 10,000 values of 32 bytes fit three times.
        for _ in 0..3 {
            assert_eq!(read(&limits, &numbers).unwrap(), 1);
        }
        assert!(matches!(read(&limits, &numbers), Err(TapeError::TooLarge { excess: OverBudget { limit: MIB }, .. })));
        let limits = Limits::new(5 * MIB, usize::MAX);
        for _ in 0..2 {
            assert_eq!(read(&limits, &text).unwrap(), 2);
        }
        let excess = OverBudget { limit: 5 * MIB };
        assert!(matches!(read(&limits, &text), Err(TapeError::TooLarge { excess: found, .. }) if found == excess));
    }

    #[test]
    fn a_tape_of_another_format_is_read_by_its_own_decoder_and_of_an_unknown_one_refused() {
        /// Returns a format that exists in tests alone: each payload is the text of a state.
        fn decode(payload: &[u8], _: &Budget) -> Option<Frame> {
            Some(Frame::State(std::str::from_utf8(payload).ok()?.into()))
        }
        let formats = [Format { number: 77, decode }, current()];
        let parse = |bytes: &[u8]| Tape::parse_by(&formats, &Limits::default(), Path::new("a.tape"), bytes);
        let old = parse(&tape(77, 0, &[b"as it was".to_vec()])).unwrap();
        assert_eq!((old.format, &old.frames[..]), (77, &[Frame::State("as it was".into())][..]));
        let new = parse(&tape(FORMAT, 0, &[state(&"as it is".into())])).unwrap();
        assert_eq!((new.format, &new.frames[..]), (FORMAT, &[Frame::State("as it is".into())][..]));
        for bytes in [tape(78, 0, &[]), tape(FORMAT + 1, 0, &[])] {
            assert!(matches!(parse(&bytes), Err(TapeError::Damaged { .. })));
        }
    }

    #[test]
    fn many_frames_of_nothing_are_counted_before_they_are_read() {
        let bytes = tape(FORMAT, 0, &vec![Vec::new(); 10_000]);
        assert!(matches!(read(&Limits::new(MIB, MIB), &bytes), Err(TapeError::TooLarge { .. })));
        assert!(matches!(read(&Limits::new(MIB, 100 * MIB), &bytes), Err(TapeError::Frame { number: 1, .. })));
    }

    #[test]
    fn only_a_start_is_long() {
        let step = |event, action: &str| {
            let step: Step = Step { number: 0, monotonic_ms: 0, wall_ms: 0, event, actions: vec![action.to_owned()] };
            tape(FORMAT, 0, &[rmp_serde::to_vec_named(&Frame::Step(Box::new(step))).unwrap()])
        };
        let long = "a".repeat(STEP_BYTES_MAX);
        let record = JournalRecord::UploadAbandoned { window_start: 0, digest: String::new(), why: long.clone() };
        let failed = Event::HeadFailed(ChainError::Unreachable(long.clone()));
        for (event, action, is_read) in [
            (Event::Started(vec![record]), "", true),
            (Event::Started(Vec::new()), long.as_str(), true),
            (Event::Shutdown, &long[100..], true),
            (Event::Shutdown, &long, false),
            (failed, "", false),
        ] {
            let kind = event.kind();
            assert_eq!(read(&Limits::default(), &step(event, action)).is_ok(), is_read, "{kind}");
        }
    }

    #[test]
    fn a_header_is_short() {
        assert_eq!(read(&Limits::default(), &tape(FORMAT, 0, &[])).unwrap(), 0);
        let long = tape(FORMAT, HEADER_BYTES_MAX, &[]);
        assert!(matches!(read(&Limits::default(), &long), Err(TapeError::Frame { number: 0, .. })));
    }

    #[test]
    fn a_state_is_nested_no_deeper_than_a_machines() {
        let nested = |depth: usize| (0..depth).fold(Value::Null, |inner, _| Value::Array(vec![inner]));
        assert_eq!(read(&Limits::default(), &tape(FORMAT, 0, &[state(&nested(100))])).unwrap(), 1);
        let deep = tape(FORMAT, 0, &[state(&nested(200))]);
        assert!(matches!(read(&Limits::default(), &deep), Err(TapeError::Frame { number: 1, .. })));
    }
}
