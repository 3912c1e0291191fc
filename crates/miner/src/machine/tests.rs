//! The machine as a whole: what it routes, what it opens and closes, when it ends.

use grail_protocol::rollout::WindowContext;
use grail_protocol::signature::Hotkey;

use super::bench::{BLOCK_MS, WINDOW, kinds, receipts, signed_group, window_context};
use super::*;
use crate::answers::{BucketError, Etag};
use crate::seal::SealedGroup;

struct Run {
    machine: Machine,
    now_ms: u64,
}

impl Run {
    fn started(records: Vec<JournalRecord>) -> Self {
        let settings = MachineSettings { use_drand: false, ..MachineSettings::new(Hotkey::from_bytes([1; 32])) };
        let secrets = MachineSecrets { seed: 0, read_credentials: vec![b'c'; 128] };
        let mut run = Self { machine: Machine::new(settings, secrets), now_ms: 1_000 };
        assert_eq!(run.tell(Event::Started(records))[..2], [Action::WatchHead { after: 0 }, Action::ReadRegistration]);
        run
    }

    fn tell(&mut self, event: Event) -> Vec<Action> {
        let now = Now { monotonic_ms: self.now_ms, wall_ms: 1_758_700_800_000 + self.now_ms };
        self.machine.handle(now, event).into_iter().collect()
    }

    fn head(&mut self, number: u64) -> Vec<Action> {
        self.tell(Event::HeadMoved(Head { number }))
    }

    fn hash(&mut self, block: u64, hash: Option<&str>) -> Vec<Action> {
        self.tell(Event::BlockHashRead { block, result: Ok(hash.map(str::to_owned)) })
    }

    /// Returns a machine that works on the first group of the window.
    fn working() -> Self {
        let mut run = Self::started(Vec::new());
        assert_eq!(
            run.head(WINDOW)[..3],
            [Action::WatchHead { after: WINDOW }, Action::ReadBlockHash(WINDOW), Action::ReadRegistration]
        );
        assert!(kinds(&run.hash(WINDOW, Some("0xaa"))).contains(&"Generate".to_owned()));
        run
    }

    /// Returns a machine that has one clean group under a hash that is final.
    fn with_a_group() -> Self {
        let mut run = Self::working();
        let group = GroupId { window_start: WINDOW, generation: 0, index: 0, attempt: 0 };
        let sealed = SealedGroup { rollouts: signed_group(0), generated: Vec::new().into(), findings: Vec::new() };
        let ready = Event::GroupReady { group: group.clone(), sealed: Box::new(sealed) };
        assert_eq!(kinds(&run.tell(ready))[0], "AppendJournal");
        let entry = JournalEntry::Group(group);
        assert_eq!(kinds(&run.tell(Event::JournalAnswered { entry, result: Ok(()) }))[0], "Report");
        for number in WINDOW + 1..=WINDOW + 6 {
            run.now_ms += BLOCK_MS;
            assert_eq!(run.head(number)[..2], [Action::WatchHead { after: number }, Action::ReadBlockHash(WINDOW)]);
            run.hash(WINDOW, Some("0xaa"));
        }
        run
    }

    /// Returns a machine whose file is being written, and the file's digest.
    fn uploading() -> (Self, String) {
        let mut run = Self::with_a_group();
        let actions = run.hash(WINDOW, Some("0xaa"));
        let started = actions.iter().find_map(|action| match action {
            Action::AppendJournal { record: JournalRecord::UploadStarted { digest, .. }, .. } => Some(digest.clone()),
            _ => None,
        });
        let entry = JournalEntry::UploadStarted(WINDOW);
        let actions = run.tell(Event::JournalAnswered { entry, result: Ok(()) });
        assert!(kinds(&actions).contains(&"Upload".to_owned()), "{actions:?}");
        (run, started.unwrap())
    }

    fn found(&mut self, window_start: u64, digest: &str) -> Vec<Action> {
        let found = Some((digest.to_owned(), Etag("1".to_owned())));
        self.tell(Event::ObjectRead { window_start, result: Ok(found) })
    }

    fn written(&mut self) -> Vec<Action> {
        self.tell(Event::UploadAnswered { window_start: WINDOW, result: Ok(Etag("1".to_owned())) })
    }
}

#[test]
fn a_window_goes_from_its_first_head_to_its_receipt() {
    let (mut run, digest) = Run::uploading();
    assert!(kinds(&run.written()).contains(&"ReadObject".to_owned()));
    // Answers about other windows are none about this one.
    assert_eq!(run.found(WINDOW - 30, &digest), []);
    let done = run.found(WINDOW, &digest);
    assert!(kinds(&done).contains(&"AppendJournal".to_owned()), "{done:?}");
    run.now_ms += 24 * BLOCK_MS;
    let actions = run.head(WINDOW + 30);
    assert_eq!(receipts(&actions), [(WINDOW, WindowOutcome::Uploaded)]);
    assert!(kinds(&actions).contains(&"CancelGroup".to_owned()));
    assert!(actions.contains(&Action::ReadBlockHash(WINDOW + 30)));
    assert_eq!(run.machine.window_start(), Some(WINDOW + 30));
}

#[test]
fn a_process_that_must_stop_ends_its_upload_gives_the_receipt_and_exits() {
    let (mut run, digest) = Run::uploading();
    let actions = run.tell(Event::Shutdown);
    assert!(kinds(&actions).contains(&"CancelGroup".to_owned()) && !actions.contains(&Action::Exit), "{actions:?}");
    run.written();
    let actions = run.found(WINDOW, &digest);
    assert_eq!((receipts(&actions), actions.last()), (vec![(WINDOW, WindowOutcome::Uploaded)], Some(&Action::Exit)));
    assert_eq!(run.tell(Event::TimerFired(Timer::Groups)), [Action::Exit], "it stays stopped");
    // No window is opened any more.
    run.now_ms += 30 * BLOCK_MS;
    let actions = run.head(WINDOW + 30);
    assert_eq!((run.machine.window_start(), actions.last()), (None, Some(&Action::Exit)));
    let mut idle = Run::started(Vec::new());
    assert_eq!(idle.tell(Event::Shutdown), [Action::Exit]);
}

#[test]
fn a_pending_file_is_settled_after_its_window_while_the_next_one_is_mined() {
    let (mut run, digest) = Run::uploading();
    run.now_ms += 24 * BLOCK_MS;
    let actions = run.head(WINDOW + 30);
    assert_eq!(receipts(&actions), [], "nobody knows what becomes of the write");
    let unknown = BucketError::Unknown("timeout".to_owned());
    let actions = run.tell(Event::UploadAnswered { window_start: WINDOW, result: Err(unknown) });
    assert!(kinds(&actions).contains(&"ReadObject".to_owned()), "{actions:?}");
    let actions = run.found(WINDOW, &digest);
    assert_eq!(receipts(&actions), [(WINDOW, WindowOutcome::Uploaded)]);
}

#[test]
fn the_hash_of_another_block_is_none_of_the_window_s() {
    let mut run = Run::started(Vec::new());
    run.head(WINDOW + 2);
    assert_eq!(run.hash(WINDOW + 2, Some("0xaa")), []);
    assert!(kinds(&run.hash(WINDOW, Some("0xaa"))).contains(&"Generate".to_owned()));
}

#[test]
fn a_window_stays_open_as_long_as_its_first_block_exists() {
    for (low, leaves) in [(WINDOW, false), (WINDOW - 1, true)] {
        let mut run = Run::started(Vec::new());
        let high = WINDOW + 25;
        run.head(high);
        assert!(kinds(&run.hash(WINDOW, Some("0xaa"))).contains(&"Generate".to_owned()));
        run.now_ms += 1;
        assert_eq!(run.head(low)[0], Action::ReadBlockHash(high));
        let actions = run.hash(high, None);
        assert_eq!(receipts(&actions), []);
        let expected = if leaves { WINDOW - 30 } else { WINDOW };
        assert_eq!(run.machine.window_start(), Some(expected), "{actions:?}");
        assert_eq!(kinds(&actions).contains(&"CancelGroup".to_owned()), leaves, "{actions:?}");
    }
}

fn crashed(window_start: u64, is_closed: bool) -> Vec<JournalRecord> {
    let context = WindowContext { window_start, block_hash: "0xaa".to_owned(), ..window_context() };
    let mut records = vec![JournalRecord::Window(context)];
    records.extend(is_closed.then_some(JournalRecord::WindowClosed { window_start }));
    records
}

#[test]
fn the_window_of_a_crashed_process_goes_on_or_has_its_receipt() {
    let nothing = [(WINDOW, WindowOutcome::NothingReady)];
    let mut run = Run::started(crashed(WINDOW, false));
    assert_eq!(receipts(&run.head(WINDOW + 10)), [], "it continues");
    assert!(kinds(&run.hash(WINDOW, Some("0xaa"))).contains(&"Generate".to_owned()));
    let mut run = Run::started(crashed(WINDOW, false));
    assert_eq!(receipts(&run.head(WINDOW + 40)), nothing, "it is over");
    let mut run = Run::started(crashed(WINDOW + 30, false));
    assert_eq!(receipts(&run.head(WINDOW + 10)), [], "it is still to come");
    // Its hash is not known when it ends.
    let mut run = Run::started(crashed(WINDOW, false));
    run.head(WINDOW + 10);
    run.now_ms += 20 * BLOCK_MS;
    assert_eq!(receipts(&run.head(WINDOW + 30)), nothing);
    // A window that had its receipt is neither opened nor closed again.
    let mut run = Run::started(crashed(WINDOW, true));
    assert_eq!((receipts(&run.head(WINDOW + 10)), run.machine.window_start()), (vec![], None));
    run.now_ms += 20 * BLOCK_MS;
    assert_eq!(receipts(&run.head(WINDOW + 30)), []);
    assert_eq!(run.machine.window_start(), Some(WINDOW + 30));
}

#[test]
fn a_timer_is_set_again_only_if_its_time_changes_or_it_fired() {
    let mut run = Run::working();
    let timers = |actions: Vec<Action>| kinds(&actions).iter().filter(|kind| *kind == "SetTimer").count();
    assert_eq!(timers(run.tell(Event::TimerFired(Timer::Account))), 0);
    assert_eq!(timers(run.tell(Event::TimerFired(Timer::Groups))), 1);
    assert_eq!(
        run.machine.handle(Now { monotonic_ms: 1_000, wall_ms: 0 }, Event::TimerFired(Timer::Account)).origins().len(),
        1
    );
}

#[test]
fn timers_lead_to_what_they_were_set_for() {
    let mut run = Run::started(Vec::new());
    run.head(WINDOW);
    assert_eq!(run.tell(Event::TimerFired(Timer::Head)), [Action::WatchHead { after: WINDOW }]);
    assert_eq!(run.tell(Event::TimerFired(Timer::Account)), [Action::ReadRegistration]);
    run.hash(WINDOW, None);
    assert_eq!(run.tell(Event::TimerFired(Timer::Retry)), [Action::ReadBlockHash(WINDOW)]);
}

#[test]
fn a_restored_machine_decides_the_same() {
    let (run, _) = Run::uploading();
    let Machine { settings, secrets, .. } = run.machine.clone();
    let restored = Machine::restore(settings, secrets, run.machine.state().clone());
    assert_eq!(restored.digest(), run.machine.digest());
    let mut restored = Run { machine: restored, now_ms: run.now_ms };
    assert_eq!(kinds(&restored.written()), ["ReadObject"]);
    assert_eq!(restored.machine.head(), Some(WINDOW + 6));
}

#[test]
fn a_rare_branch_is_counted() {
    let mut run = Run::started(Vec::new());
    assert_eq!(run.machine.marks().total(), 0);
    run.tell(Event::HeadFailed(ChainError::RateLimited));
    assert_eq!(run.machine.marks().iter().collect::<Vec<_>>(), [(&"head-does-not-move", &1)]);
}
