//! The state over sequences made by hand.

use grail_miner::machine::{GroupRequest, JournalEntry};
use grail_miner::ports::{BucketError, ChainError, Etag, Head, PutCondition};
use grail_protocol::rollout::WindowContext;
use grail_protocol::signature::Hotkey;

use super::*;

const BLOCK_MS: u64 = 1_000;

pub(crate) fn at(monotonic_ms: u64) -> Now {
    Now { monotonic_ms, wall_ms: 0 }
}

/// Makes these groups of a window clean.
pub(crate) fn clean_groups(state: &mut MinerState, now: Now, window_start: u64, indices: &[u32]) {
    for index in indices.iter().copied() {
        let group = window::Group { is_clean: false, rewards: vec![1.0], tokens: 10, solutions: vec![vec![true]] };
        state.window_mut(window_start).groups.insert(index, group);
        let report = Report::GroupClean { window_start, index, clean_prefix: 0, successes: 1 };
        state.action(now, &Action::Report(report));
    }
}

fn new() -> MinerState {
    MinerState::new(BLOCK_MS)
}

fn context() -> WindowContext {
    WindowContext {
        hotkey: Hotkey::from_bytes([1; 32]),
        window_start: 30,
        randomness: "aa".to_owned(),
        block_hash: "bb".to_owned(),
        use_drand: true,
    }
}

fn group(index: u32) -> GroupId {
    GroupId { window_start: 30, generation: 0, index, attempt: 0 }
}

fn generate(index: u32) -> Action {
    let (id, kept) = (group(index), BTreeMap::new());
    Action::Generate(Box::new(GroupRequest { id, window: context(), block: 31, kept, seed: 0 }))
}

fn failed(index: u32) -> Event {
    Event::GroupFailed { group: group(index), why: "no memory".to_owned() }
}

fn journal(record: JournalRecord) -> Action {
    Action::AppendJournal { entry: JournalEntry::Window(30), record }
}

fn receipt(window_start: u64, outcome: WindowOutcome) -> Action {
    Action::Report(Report::Receipt(WindowReceipt::of(window_start, outcome)))
}

fn reached(state: &mut MinerState, ms: u64, number: u64) {
    state.event(at(ms), &Event::HeadMoved(Head { number }), false);
    state.settled(at(ms), Some(number));
}

fn opened(state: &mut MinerState, ms: u64) {
    let opened = Report::WindowOpened { window_start: 30, with_beacon: true };
    state.action(at(ms), &Action::Report(opened));
}

#[test]
fn a_window_from_its_first_head_to_its_receipt() {
    let mut state = new();
    state.event(at(0), &Event::Started(Vec::new()), false);
    assert_eq!((state.head_block(), state.unfinished_window()), (None, None));
    state.event(at(1_000), &Event::HeadMoved(Head { number: 30 }), false);
    assert_eq!((state.head_block(), state.head), (Some(30), None), "the machine has not believed it yet");
    state.action(at(1_000), &Action::SetTimer { timer: Timer::UploadDeadline, at_ms: 28_000 });
    state.settled(at(1_000), Some(30));
    assert_eq!((state.head, state.deadline_ms), (Some((30, 1_000)), Some(28_000)));
    opened(&mut state, 2_000);
    (0..3).for_each(|index| state.action(at(2_000), &generate(index)));
    state.event(at(3_000), &failed(0), false);
    state.action(at(3_000), &Action::CancelGroup(group(2)));
    clean_groups(&mut state, at(4_000), 30, &[0, 1, 3]);
    let (start, window) = state.current_window().unwrap();
    assert_eq!((start, window.begun_ms, window.with_beacon), (30, Some(1_000), Some(true)));
    assert_eq!((window.sums().groups, window.clean_prefix(), state.groups_in_flight(30)), (3, 2, 1));
    assert_eq!((window.sums().tokens, window.seconds_mined()), (30, Some(2.0)));
    state.event(at(28_000), &Event::TimerFired(Timer::UploadDeadline), false);
    assert_eq!(state.deadline_ms, None);
    state.action(at(30_000), &receipt(30, WindowOutcome::Lost("a bucket".to_owned())));
    assert_eq!(state.window(30).unwrap().sums().groups, 3, "anyone who shows the receipt can read the window");
    assert_eq!((state.unfinished_window(), state.is_ended(30), state.is_ended(60)), (None, true, false));
    reached(&mut state, 31_000, 60);
    assert_eq!(state.current_window().map(|(start, window)| (start, window.sums().groups)), Some((60, 0)));
    reached(&mut state, 32_000, 61);
    assert!(state.window(30).is_none());
    assert_eq!(state.receipts.front().map(|ended| ended.receipt.window_start), Some(30));
}

#[test]
fn an_upload_is_confirmed_only_by_the_machine() {
    let mut state = new();
    reached(&mut state, 0, 30);
    let phase = |state: &MinerState| state.window(30).unwrap().phase;
    let (digest, key) = ("cc".to_owned(), "k".to_owned());
    let upload = Action::Upload {
        window_start: 30,
        key: key.clone(),
        bytes: vec![0; 9],
        condition: PutCondition::Absent,
        limit_ms: 1,
    };
    let (read, result) = (Action::ReadObject { window_start: 30, key }, Ok(Etag("1".to_owned())));
    state.action(at(1_000), &upload);
    assert_eq!((phase(&state), state.window(30).unwrap().upload_bytes), (UploadPhase::Uploading, Some(9)));
    state.event(at(1_250), &Event::UploadAnswered { window_start: 30, result }, false);
    assert_eq!(state.last_upload_ms, Some(250));
    state.action(at(1_250), &read);
    let strange = Ok(Some(("dd".to_owned(), Etag("2".to_owned()))));
    state.event(at(1_500), &Event::ObjectRead { window_start: 30, result: strange }, false);
    assert_eq!(phase(&state), UploadPhase::ReadingBack, "other bytes confirm nothing");
    state.action(at(2_000), &journal(JournalRecord::UploadDone { window_start: 30, digest: digest.clone() }));
    assert_eq!(phase(&state), UploadPhase::Confirmed);
    state.action(at(3_000), &upload);
    let refused = Err(BucketError::Transient("503".to_owned()));
    state.event(at(3_100), &Event::UploadAnswered { window_start: 30, result: refused }, false);
    assert!(matches!(&state.ports[&Area::Bucket], PortAnswer::Failed(why) if why.contains("503")));
    let abandoned = JournalRecord::UploadAbandoned { window_start: 30, digest, why: "503".to_owned() };
    state.action(at(3_100), &journal(abandoned));
    assert_eq!(phase(&state), UploadPhase::Confirmed, "the earlier file is still there");
}

#[test]
fn work_under_a_replaced_block_is_forgotten() {
    let mut state = new();
    reached(&mut state, 0, 30);
    opened(&mut state, 1_000);
    clean_groups(&mut state, at(2_000), 30, &[0, 1]);
    state.action(at(2_500), &journal(JournalRecord::UploadDone { window_start: 30, digest: "cc".to_owned() }));
    state.action(at(3_000), &journal(JournalRecord::Window(context())));
    opened(&mut state, 3_000);
    let window = state.window(30).unwrap();
    assert_eq!((window.sums().groups, window.phase), (0, UploadPhase::None));
    assert_eq!((window.begun_ms, window.seconds_open(4_000)), (Some(0), Some(1.0)));
}

#[test]
fn a_miner_that_stops_begins_no_window() {
    let mut state = new();
    reached(&mut state, 0, 59);
    state.event(at(500), &Event::Shutdown, false);
    reached(&mut state, 1_000, 60);
    assert_eq!(state.current_window().map(|(start, _)| start), Some(30));
    assert_eq!(state.head, Some((60, 1_000)));
}

#[test]
fn a_chain_that_only_fails_is_stale_although_events_arrive() {
    let mut state = new();
    state.event(at(0), &Event::Started(Vec::new()), false);
    reached(&mut state, 6_000, 1);
    for ms in (7_000..=16_000).step_by(1_000) {
        state.event(at(ms), &Event::HeadFailed(ChainError::RateLimited), false);
        assert_eq!(state.issues(ms), []);
    }
    assert_eq!(state.issues(16_001), [HealthIssue::Chain]);
    // The machine does not believe these heads.
    for number in 1_000_000..1_000_010 {
        state.event(at(17_000), &Event::HeadMoved(Head { number }), false);
        state.settled(at(17_000), Some(1));
        assert_eq!((state.issues(17_000), state.head_block()), (vec![HealthIssue::Chain], Some(1)));
    }
    reached(&mut state, 18_000, 2);
    assert_eq!(state.issues(18_000), []);
}

#[test]
fn a_bucket_whose_last_answer_is_an_error_is_an_obstacle_until_it_answers() {
    let mut state = new();
    reached(&mut state, 6_000, 1);
    let answered = |result| Event::ObjectDeleted { window_start: 0, result };
    let named = |state: &MinerState| state.health(7_000).obstacles().iter().any(|reason| reason.contains("slow down"));
    state.event(at(6_500), &answered(Err(BucketError::Transient("slow down".to_owned()))), true);
    assert!(named(&state));
    state.event(at(6_600), &answered(Ok(())), true);
    assert!(!named(&state));
}

#[test]
fn a_process_that_is_stopped_stands_still() {
    let mut state = new();
    for block in 1..8 {
        reached(&mut state, block * BLOCK_MS, block);
    }
    assert_eq!(state.stood_still_ms(0), None);
    reached(&mut state, 20 * BLOCK_MS, 20);
    assert_eq!(state.stood_still_ms(0), Some(13 * BLOCK_MS));
}

#[test]
fn an_engine_is_stuck_after_a_window_without_a_group_while_some_are_in_flight() {
    let mut state = new();
    (0..3).for_each(|index| state.action(at(0), &generate(index)));
    assert_eq!((state.issues(30_000), state.issues(30_001)), (vec![], vec![HealthIssue::Engine]));
    state.event(at(30_001), &failed(0), false);
    assert_eq!(state.issues(30_001), [HealthIssue::Engine], "a failure is no progress");
    (1..3).for_each(|index| state.action(at(30_002), &Action::CancelGroup(group(index))));
    assert_eq!(state.issues(90_000), [], "nothing is in flight");
}

#[test]
fn only_windows_without_an_upload_in_a_row_count() {
    let mut state = new();
    let lost = || WindowOutcome::Lost("x".to_owned());
    for outcome in [WindowOutcome::NothingReady, WindowOutcome::Uploaded, lost(), WindowOutcome::NotRegistered] {
        state.action(at(0), &receipt(0, outcome));
    }
    assert_eq!(state.issues(0), []);
    state.action(at(0), &receipt(0, WindowOutcome::NothingReady));
    assert_eq!(state.issues(0), [HealthIssue::Upload]);
    state.action(at(0), &receipt(0, WindowOutcome::Uploaded));
    assert_eq!((state.issues(0), state.health(0).uploads), (vec![], 2));
}

#[test]
fn a_loop_without_events_is_silent_and_one_that_waits_for_a_head_is_not() {
    let mut state = MinerState::new(12_000);
    state.event(at(1_000), &Event::HeadFailed(ChainError::RateLimited), false);
    assert_eq!(state.health(121_000).restart_reasons(), [] as [String; 0]);
    assert_eq!(state.health(121_001).silent_ms, Some(120_001));
    assert_eq!(new().health(30_000).silent_ms, None, "fast chains get time, too");
}

#[test]
fn a_chain_without_blocks_needs_a_restart_only_while_its_nodes_answer() {
    let mut state = MinerState::new(12_000);
    reached(&mut state, 0, 1);
    let mut after = |ms: u64, is_connected: bool| {
        state.event(at(ms), &Event::HeadFailed(ChainError::RateLimited), is_connected);
        state.health(ms).deaf_ms
    };
    assert_eq!(after(240_000, true), None);
    assert_eq!(after(240_001, true), Some(240_001));
    assert_eq!(after(240_001, false), None, "a restart does not repair a network");
    reached(&mut state, 240_002, 2);
    assert_eq!(state.health(900_000).deaf_ms, None);
}

#[test]
fn only_the_last_troubles_are_kept() {
    let mut state = new();
    for ms in 0..20 {
        let trouble = Trouble { area: Area::Chain, text: ms.to_string() };
        state.action(at(ms), &Action::Report(Report::Trouble(trouble)));
    }
    let kept: Vec<u64> = state.troubles.iter().map(|(at_ms, _)| *at_ms).collect();
    assert_eq!((kept.len(), kept[0]), (LAST_MAX, 19));
}
