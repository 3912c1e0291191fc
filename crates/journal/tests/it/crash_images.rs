//! Files that a crash can leave of a journal or a tape, with up to three writes lost or torn. A reader must return the
//! beginning of the written records or refuse the file. It must never skip, alter or invent a record.

use std::cell::RefCell;
use std::ops::Range;
use std::panic::Location;
use std::path::Path;
use std::rc::Rc;

use grail_journal::{FileJournal, records_in};
use grail_miner::driver::Observer;
use grail_miner::machine::{Action, Event, Machine, MachineSecrets, MachineSettings};
use grail_miner::policy::UploadPolicy;
use grail_miner::ports::{Journal, JournalRecord, Now};
use grail_sim::case::{Case, FORMAT, Speed};
use grail_sim::ledger::Audit;
use grail_sim::run::{Knobs, SimConfig, machine_secrets, machine_settings, simulate};
use grail_sim::stream::Stream;
use grail_sim::synthetic::SyntheticModel;
use grail_tape::{Frame, Header, Tape, state_of};

/// Images of all kinds, unless the environment asks for more.
const IMAGES: u64 = 3_000;
const IMAGES_VARIABLE: &str = "GRAIL_TEST_IMAGES";
const WRITES_LOST_MAX: u64 = 3;
const SECTOR_BYTES: usize = 512;
/// Length of a file's header and of a frame's head, as `crates/miner/src/frames.rs` describes them.
const HEADER_BYTES: usize = 16;
const HEAD_BYTES: usize = 16;

/// Records of a miner that worked in two windows of two groups.
#[derive(Default)]
struct Seen {
    records: Vec<JournalRecord>,
    steps: Vec<(Now, Event)>,
}

impl Observer for Seen {
    fn event(&mut self, now: Now, event: &Event) {
        self.steps.push((now, event.clone()));
    }

    fn action(&mut self, _: Now, action: &Action) {
        if let Action::AppendJournal { record, .. } = action {
            self.records.push(record.clone());
        }
    }

    fn origin(&mut self, _: Now, _: &'static Location<'static>) {}

    fn handled(&mut self, _: Now, _: &Machine) {}
}

fn lived() -> (MachineSettings, Seen) {
    let world = Case {
        format: FORMAT,
        seed: 5,
        windows: 2,
        speed: Speed { groups_in_flight: 1, tokens_per_s: 60, proof_us_per_token: 100 },
        groups_max: 2,
        use_drand: true,
        policy: UploadPolicy::All,
        knobs: Knobs::default(),
        faults: Vec::new(),
    };
    let seen = Rc::new(RefCell::new(Seen::default()));
    let config = world.config(Rc::new(SyntheticModel::default()));
    let report = simulate(&SimConfig { observer: Some(seen.clone()), ..config.clone() }, |_| {});
    assert_eq!(report.violations, Vec::<String>::new());
    (machine_settings(&config), seen.take())
}

fn secrets() -> MachineSecrets {
    machine_secrets(5)
}

/// A file as a sequence of writes, each of which makes some things readable.
struct Written<T> {
    writes: Vec<Vec<u8>>,
    things: Vec<T>,
    /// How many of them are readable after each number of writes.
    readable: Vec<usize>,
}

/// Returns the journal's files, one per window, after each append.
fn journals(settings: &MachineSettings, records: &[JournalRecord]) -> Vec<Written<JournalRecord>> {
    let folder = tempfile::tempdir().unwrap();
    let journal = FileJournal::open(folder.path(), settings.hotkey).unwrap();
    let path = folder.path().join(format!("{}.journal", settings.hotkey.to_ss58()));
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let (mut files, mut before): (Vec<Written<_>>, Vec<u8>) = (Vec::new(), Vec::new());
    for record in records {
        runtime.block_on(journal.append(record)).unwrap();
        let content = std::fs::read(&path).unwrap();
        if files.is_empty() || !content.starts_with(&before) {
            files.push(Written { writes: Vec::new(), things: Vec::new(), readable: vec![0] });
            before.clear();
        }
        let file = files.last_mut().unwrap();
        file.writes.push(content[before.len()..].to_vec());
        file.things.push(record.clone());
        file.readable.push(file.things.len());
        before = content;
    }
    files
}

/// Returns a tape of all steps, written frame by frame.
fn tape(settings: &MachineSettings, steps: Vec<(Now, Event)>) -> Written<Frame> {
    let state = Frame::State(state_of(Machine::new(settings.clone(), secrets()).state()));
    let steps = (0..).zip(steps).map(|(number, (now, event))| {
        let Now { monotonic_ms, wall_ms } = now;
        Frame::Step(Box::new(grail_tape::Step { number, monotonic_ms, wall_ms, event, actions: Vec::new() }))
    });
    let frames: Vec<Frame> = std::iter::once(state).chain(steps).collect();
    let header = Header::of(settings, &secrets(), "synthetic");
    let written = Tape { header, frames, torn_bytes: 0, format: grail_tape::FORMAT };
    let bytes = written.to_bytes().unwrap();
    let (mut writes, mut from, mut at) = (Vec::new(), 0, HEADER_BYTES);
    while at < bytes.len() {
        at += HEAD_BYTES + u32::from_le_bytes(bytes[at + 4..at + 8].try_into().unwrap()) as usize;
        writes.push(bytes[from..at].to_vec());
        from = at;
    }
    let readable = std::iter::once(0).chain(0..writes.len()).collect();
    Written { writes, things: written.frames, readable }
}

/// A crash's image, and which of the writes before it are not as they were.
struct Image {
    bytes: Vec<u8>,
    damaged: Vec<usize>,
    /// Whether a write after the first damaged one has an intact start.
    goes_on: bool,
    writes: usize,
}

fn image<T>(file: &Written<T>, stream: &mut Stream) -> Image {
    let writes = 1 + stream.below(file.writes.len() as u64) as usize;
    let mut bytes = file.writes[..writes].concat();
    let whole = bytes.clone();
    let mut places: Vec<Range<usize>> = Vec::new();
    for write in &file.writes[..writes] {
        let from = places.last().map_or(0, |last| last.end);
        places.push(from..from + write.len());
    }
    for _ in 0..1 + stream.below(WRITES_LOST_MAX) {
        // Most crashes hit what was written last.
        let back = if stream.one_in(2) { stream.below(4) } else { stream.below(writes as u64) };
        let place = places[writes - 1 - (back as usize).min(writes - 1)].clone();
        let torn_at = place.start + stream.below(place.len() as u64) as usize;
        match stream.below(4) {
            0 => bytes[place.clone()].fill(0),
            1 => bytes[torn_at..place.end].fill(0),
            2 => {
                for at in place.clone().step_by(SECTOR_BYTES) {
                    let sector = at / SECTOR_BYTES * SECTOR_BYTES;
                    if stream.one_in(2) {
                        bytes[sector.max(place.start)..(sector + SECTOR_BYTES).min(place.end)].fill(0);
                    }
                }
            }
            // Earlier bytes of the disk.
            _ => bytes[torn_at..place.end].iter_mut().for_each(|byte| *byte = stream.below(256) as u8),
        }
        if place.end == whole.len() && stream.one_in(2) {
            bytes.truncate(torn_at);
            bytes.resize(torn_at, 0);
        }
        if bytes.len() < whole.len() {
            break;
        }
    }
    let is_damaged = |place: &Range<usize>| bytes.get(place.clone()) != Some(&whole[place.clone()]);
    let damaged: Vec<usize> = (0..writes).filter(|write| is_damaged(&places[*write])).collect();
    let begins = |write: usize| {
        let head = places[write].start..places[write].start + HEAD_BYTES;
        bytes.get(head.clone()) == Some(&whole[head])
    };
    let goes_on = damaged.first().is_some_and(|first| (first + 1..writes).any(begins));
    Image { bytes, damaged, goes_on, writes }
}

#[derive(Debug, Default)]
struct Outcomes {
    whole: u64,
    beginnings: u64,
    refused: u64,
}

/// Reads an image. Its records must be those that were written before the first damage.
fn judge<'a, T: PartialEq + std::fmt::Debug, E: std::fmt::Display>(
    name: &str,
    file: &'a Written<T>,
    image: &Image,
    read: Result<Vec<T>, E>,
    outcomes: &mut Outcomes,
) -> Option<&'a [T]> {
    let Image { damaged, goes_on, writes, .. } = image;
    let (first, writes) = (damaged.first().copied(), *writes);
    let expected = &file.things[..file.readable[first.unwrap_or(writes)]];
    match read {
        Ok(found) => {
            assert!(found == expected, "{name}: {} of {} read, damaged are {damaged:?}", found.len(), expected.len());
            assert!(!goes_on, "{name}: what was damaged at {damaged:?} was passed over");
            if first.is_none() {
                outcomes.whole += 1
            } else {
                outcomes.beginnings += 1
            }
            Some(expected)
        }
        Err(error) => {
            let only_the_last = first.is_none_or(|first| first + 1 == writes);
            // The header is on disk before the file gets its name.
            assert!(!only_the_last || first == Some(0), "{name}: a mere torn end is refused: {error}");
            outcomes.refused += 1;
            None
        }
    }
}

/// The next process: it continues with these records, and its own records must be consistent with them.
fn restarted(settings: &MachineSettings, records: &[JournalRecord]) {
    let audit = Audit::default();
    records.iter().for_each(|record| audit.note(record));
    let now = Now { monotonic_ms: 1, wall_ms: 1_758_700_000_000 };
    let mut machine = Machine::new(settings.clone(), secrets());
    for action in machine.handle(now, Event::Started(records.to_vec())) {
        if let Action::AppendJournal { record, .. } = action {
            audit.note(&record);
        }
    }
    assert_eq!(audit.violations(), []);
}

fn images() -> u64 {
    std::env::var(IMAGES_VARIABLE).map_or(IMAGES, |count| count.parse().expect("a number of images"))
}

#[test]
fn no_image_of_a_journal_gives_anything_but_its_beginning() {
    let (config, seen) = lived();
    let files = journals(&config, &seen.records);
    let lengths: Vec<usize> = files.iter().map(|file| file.writes.len()).collect();
    assert!(lengths.len() >= 2 && lengths.iter().any(|writes| *writes > 4), "{lengths:?}");
    let mut outcomes = Outcomes::default();
    for number in 0..images() / 2 {
        let mut stream = Stream::new(0, "journal image", number);
        let file = &files[stream.below(files.len() as u64) as usize];
        let image = image(file, &mut stream);
        let read = records_in(Path::new("image.journal"), &image.bytes);
        if let Some(records) = judge(&format!("journal image {number}"), file, &image, read, &mut outcomes) {
            restarted(&config, records);
        }
    }
    println!("journal: {outcomes:?}");
    assert!(outcomes.beginnings > 0 && outcomes.refused > 0, "{outcomes:?}");
}

#[test]
fn no_image_of_a_tape_gives_anything_but_its_beginning() {
    let (config, seen) = lived();
    let file = tape(&config, seen.steps);
    assert!(file.writes.len() > 40);
    let mut outcomes = Outcomes::default();
    for number in 0..images() / 2 {
        let mut stream = Stream::new(0, "tape image", number);
        let image = image(&file, &mut stream);
        let read = Tape::parse(Path::new("image.tape"), &image.bytes).map(|tape| tape.frames);
        judge(&format!("tape image {number}"), &file, &image, read, &mut outcomes);
    }
    println!("tape: {outcomes:?}");
    assert!(outcomes.beginnings > 0 && outcomes.refused > 0, "{outcomes:?}");
}
