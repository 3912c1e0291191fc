//! `grail top`, character by character, and in a pseudo-terminal against a scripted miner and a scripted validator.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Write};
use std::os::unix::net::UnixListener;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use grail_observe::control::{
    EndpointStatus, GpuStatus, HeadStatus, HealthStatus, JudgedMiner, JudgedWindow, JudgingStatus, ProcessStatus, Rank,
    Speeds, Stopping, TroubleStatus, UploadStatus, WeightsStatus, WindowStatus, socket_path,
};
use grail_operator::top::{Pane, Viewer, draw};
use grail_protocol::signature::Hotkey;
use grail_terminal::Palette;
use ratatui::Terminal;
use ratatui::backend::TestBackend;
use ratatui::crossterm::event::KeyCode;
use ratatui::style::Modifier;

use grail_loopback::terminal::InTerminal;

fn endpoint(kind: &str, name: &str, state: &str, detail: &str) -> EndpointStatus {
    let [kind, name, state, detail] = [kind, name, state, detail].map(str::to_owned);
    EndpointStatus { kind, name, state, detail }
}

fn upload(window: u64, outcome: &str, line: &str, expected_score: Option<f64>) -> UploadStatus {
    let slack_seconds = expected_score.map(|_| 12.5);
    UploadStatus { window, outcome: outcome.to_owned(), line: line.to_owned(), expected_score, slack_seconds }
}

fn gpu(device: usize, temperature_celsius: Option<u32>) -> GpuStatus {
    GpuStatus {
        device,
        memory_used_bytes: 71 << 30,
        memory_bytes: 139 << 30,
        temperature_celsius,
        busy_percent: temperature_celsius.map(|_| 97),
        proofs_per_second: 8.25,
    }
}

/// Returns a miner in the middle of a window.
pub(crate) fn scripted() -> ProcessStatus {
    ProcessStatus {
        schema: "status.v1".to_owned(),
        program: "grail 0.1.0".to_owned(),
        pid: 1,
        hotkey: "5GrwvaEF5zXb26Fz9rcQpDWS57CtERHpNehXCPcNoHGKutQY".to_owned(),
        wallet: "cold/hot".to_owned(),
        network: "custom".to_owned(),
        uptime_seconds: 5_400.0,
        head: Some(HeadStatus { block: 3_000_041, age_seconds: 3.0 }),
        window: Some(WindowStatus {
            start: 3_000_030,
            with_beacon: Some(true),
            groups_done: 41,
            groups_in_flight: 24,
            clean_prefix: 39,
            deadline_seconds: Some(75.0),
            whole_seconds: Some(300.0),
            upload: "confirmed".to_owned(),
            upload_bytes: Some(2_345_678),
            upload_sent_bytes: None,
        }),
        uploads: vec![
            upload(3_000_000, "uploaded", "window 3000000: uploaded 60 of 64 groups", Some(118.25)),
            upload(2_999_970, "lost", "window 2999970: 12 groups LOST: the bucket refuses", None),
        ],
        health: HealthStatus { ready: false, reasons: vec!["no new block arrives".to_owned()], registered: Some(true) },
        endpoints: vec![
            endpoint("chain", "wss://node.example:443", "connected", ""),
            endpoint("bucket", "object store", "failing", "slow\u{1b}[2J down"),
        ],
        speeds: Speeds { tokens_per_second: Some(5_931.0), groups_per_minute: Some(9.5), solved_share: Some(0.625) },
        troubles: vec![TroubleStatus { age_seconds: 8.0, area: "bucket".to_owned(), text: "503, again".to_owned() }],
        stopping: Stopping::No,
        weight: Some(0.0125),
        rank: Some(Rank { place: 3, of: 12 }),
        gpus: vec![gpu(0, Some(61)), gpu(1, None)],
        judging: None,
    }
}

fn judged(start: u64, outcomes: &[(&str, u64)], is_done: bool) -> JudgedWindow {
    let outcomes: BTreeMap<String, u64> = outcomes.iter().map(|(name, count)| ((*name).to_owned(), *count)).collect();
    JudgedWindow { start, selected: 4, judged: 3, outcomes, files: 3, seconds: 18.6, is_done, missed: None }
}

fn miner(uid: u16, weight: f64, outcome: &str, reason: Option<&str>) -> JudgedMiner {
    let hotkey = format!("5Miner{uid}xyz");
    JudgedMiner { uid, hotkey, weight, outcome: outcome.to_owned(), reason: reason.map(str::to_owned) }
}

/// Returns a validator in the middle of a window.
pub(crate) fn scripted_validator() -> ProcessStatus {
    let missed = JudgedWindow { missed: Some("the chain was silent".to_owned()), ..judged(2_999_940, &[], true) };
    let judging = JudgingStatus {
        windows: vec![
            judged(3_000_000, &[("accepted", 2), ("missing", 1), ("not_committed", 9), ("rejected", 1)], false),
            judged(2_999_970, &[("accepted", 3)], true),
            missed,
        ],
        miners: vec![
            miner(7, 0.125, "accepted", None),
            miner(3, 0.0, "rejected", Some("window 3000000: rejected (proof_valid sketch_mismatch)")),
            miner(5, 0.0, "missing", Some("window 3000000: missing\u{1b}[2J")),
        ],
        weights: Some(WeightsStatus {
            is_set: true,
            line: "window 2999970: 3 weights set in block 3000002".to_owned(),
        }),
    };
    ProcessStatus {
        window: None,
        uploads: Vec::new(),
        endpoints: Vec::new(),
        speeds: Speeds::default(),
        gpus: Vec::new(),
        troubles: vec![TroubleStatus { age_seconds: 8.0, area: String::new(), text: "no beacon".to_owned() }],
        judging: Some(judging),
        ..scripted()
    }
}

fn screen(status: Option<&ProcessStatus>, gone: Option<&str>, width: u16, height: u16) -> String {
    let mut viewer = Viewer::default();
    status.cloned().into_iter().for_each(|status| viewer.answered(status));
    gone.into_iter().for_each(|why| viewer.lost("12:03:04".to_owned(), why.to_owned()));
    drawn(&viewer, width, height).backend().to_string()
}

fn drawn(viewer: &Viewer, width: u16, height: u16) -> Terminal<TestBackend> {
    let mut terminal = Terminal::new(TestBackend::new(width, height)).unwrap();
    terminal.draw(|frame| draw(frame, viewer, Palette::Plain)).unwrap();
    terminal
}

#[test]
fn a_miner_that_is_gone_is_gray_with_the_time_since_when() {
    let mut viewer = Viewer::default();
    viewer.answered(scripted());
    let is_dim = |viewer: &Viewer| {
        let terminal = drawn(viewer, 110, 24);
        let cells = terminal.backend().buffer().content()[..110 * 23].iter();
        cells.map(|cell| cell.modifier.contains(Modifier::DIM)).collect::<Vec<_>>()
    };
    assert!(is_dim(&viewer).iter().all(|dim| !dim));
    viewer.lost("12:03:04".to_owned(), "it ended".to_owned());
    viewer.lost("12:03:05".to_owned(), "still".to_owned());
    assert!(is_dim(&viewer).iter().all(|dim| *dim));
    assert!(drawn(&viewer, 110, 24).backend().to_string().contains("gone since 12:03:04 UTC: it ended"));
    viewer.answered(scripted());
    assert!(is_dim(&viewer).iter().all(|dim| !dim), "a miner that was started again answers");
}

#[test]
fn everything_that_is_known_is_on_the_screen() {
    insta::assert_snapshot!(screen(Some(&scripted()), None, 110, 24));
}

#[test]
fn a_validator_shows_windows_miners_weights_and_troubles() {
    insta::assert_snapshot!(screen(Some(&scripted_validator()), None, 110, 24));
}

#[test]
fn a_validator_that_has_just_begun_and_one_that_set_no_weights_say_so() {
    let mut begun = scripted_validator();
    begun.judging = Some(JudgingStatus::default());
    assert!(screen(Some(&begun), None, 110, 24).contains("No window is judged yet"));
    let mut failed = scripted_validator();
    let judging = failed.judging.as_mut().unwrap();
    judging.weights = Some(WeightsStatus { is_set: false, line: "window 30: weights not set; no permit".to_owned() });
    judging.windows.remove(0);
    let page = screen(Some(&failed), None, 110, 24);
    assert!(page.contains("weights not set; no permit") && page.contains("the next window is awaited"), "{page}");
}

#[test]
fn the_arrows_move_in_the_pane_of_a_validator_that_has_the_focus() {
    let mut viewer = Viewer::default();
    viewer.answered(scripted_validator());
    viewer.pressed(KeyCode::Down.into());
    viewer.pressed(KeyCode::Tab.into());
    assert_eq!((viewer.pane, viewer.chosen, viewer.scrolled), (Pane::Miners, 1, 0));
    for _ in 0..5 {
        viewer.pressed(KeyCode::Down.into());
    }
    assert_eq!((viewer.chosen, viewer.scrolled), (1, 2), "the last miner stays");
    let page = drawn(&viewer, 110, 24).backend().to_string();
    assert!(page.contains("uid 5 ") && !page.contains("uid 7 "), "{page}");
    viewer.pressed(KeyCode::BackTab.into());
    viewer.pressed(KeyCode::BackTab.into());
    assert_eq!(viewer.pane, Pane::Health);
}

#[test]
fn troubles_that_are_alike_are_one_line_with_a_count() {
    let mut status = scripted();
    let older = TroubleStatus { age_seconds: 9.0, ..status.troubles[0].clone() };
    let other = TroubleStatus { text: "404".to_owned(), ..older.clone() };
    status.troubles.extend([older.clone(), other, older]);
    let page = screen(Some(&status), None, 110, 24);
    let shown = ["8 s ago bucket: 503, again (2 times)", "9 s ago bucket: 404", "9 s ago bucket: 503, again"];
    shown.iter().for_each(|line| assert!(page.contains(line), "{line}: {page}"));
    assert_eq!(page.matches("503, again").count(), 2, "{page}");
}

#[test]
fn a_wide_terminal_shows_gpus_rank_and_the_weight_of_the_windows_that_were_seen() {
    let mut viewer = Viewer::default();
    for (window, weight) in [(2_999_970, 0.005), (3_000_000, 0.01), (3_000_000, 0.01), (3_000_030, 0.0125)] {
        let mut status = scripted();
        (status.window.as_mut().unwrap().start, status.weight) = (window, Some(weight));
        viewer.answered(status);
    }
    let page = drawn(&viewer, 200, 30).backend().to_string();
    assert!(page.contains("weight ▄▇█ 1.250 %, rank 3 of 12"), "one for each window: {page}");
    assert!(page.contains("0  61 °C  97 % busy  8.2 proofs/s  71/139 GiB"), "{page}");
    assert!(page.contains("1  -  - busy  8.2"), "a driver that does not say: {page}");
    for _ in 0..3 {
        viewer.pressed(KeyCode::Tab.into());
    }
    assert_eq!(viewer.pane, Pane::Gpus);
}

#[test]
fn an_upload_that_is_under_way_shows_how_much_of_it_has_been_sent() {
    let mut status = scripted();
    let window = status.window.as_mut().unwrap();
    (window.upload, window.upload_sent_bytes) = ("uploading".to_owned(), Some(1_100_000));
    assert!(screen(Some(&status), None, 110, 24).contains("uploading 2.3 MB, 1.1 MB sent"));
}

#[test]
fn a_miner_that_has_just_begun_has_little_to_show() {
    let begun = ProcessStatus {
        head: None,
        window: None,
        uploads: Vec::new(),
        troubles: Vec::new(),
        speeds: Speeds::default(),
        stopping: Stopping::AfterWindow,
        ..scripted()
    };
    insta::assert_snapshot!(screen(Some(&begun), None, 80, 18));
}

#[test]
fn every_size_can_be_drawn() {
    for (width, height) in [(1, 1), (59, 40), (60, 16), (61, 17), (300, 100)] {
        screen(Some(&scripted()), None, width, height);
        screen(Some(&scripted_validator()), None, width, height);
        screen(None, Some("gone"), width, height);
    }
    assert!(screen(Some(&scripted()), None, 40, 8).contains("The terminal is too small"));
}

/// Answers every request with the present `status`; ends with the test's process.
pub(crate) fn play(folder: &Path, status: Arc<Mutex<Option<ProcessStatus>>>) {
    let listener = UnixListener::bind(socket_path(folder, Hotkey::from_bytes([7; 32]))).unwrap();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let status = status.clone();
            std::thread::spawn(move || {
                let lines = BufReader::new(stream.try_clone().unwrap()).lines();
                for line in lines.map_while(Result::ok) {
                    assert_eq!(line, r#"{"ask":"status"}"#);
                    let Some(status) = status.lock().unwrap().clone() else { return };
                    let answer = serde_json::to_string(&status).unwrap() + "\n";
                    // A closed view reads no more.
                    let _ = stream.write_all(answer.as_bytes());
                }
            });
        }
    });
}

#[test]
fn changes_are_shown_and_the_rest_stays() {
    let folder = tempfile::tempdir().unwrap();
    let status = Arc::new(Mutex::new(Some(scripted())));
    play(folder.path(), status.clone());
    let arguments = ["top", "--data-dir", folder.path().to_str().unwrap()];
    let mut terminal = InTerminal::start(env!("CARGO_BIN_EXE_grail"), &arguments, &[]);
    terminal.shows("41 groups done, 24 in flight, 39 ready in a row");
    terminal.shows("no new block arrives");
    // The last text on the screen.
    terminal.shows("q ends this view");
    assert!(terminal.screen.screen().alternate_screen());
    let first = terminal.bytes;
    status.lock().unwrap().as_mut().unwrap().window.as_mut().unwrap().groups_done = 42;
    terminal.shows("42 groups done, 24 in flight, 39 ready in a row");
    let then = terminal.bytes - first;
    assert!(then < first / 4, "a new number took {then} bytes, the whole screen {first}: it is drawn again");
    status.lock().unwrap().as_mut().unwrap().stopping = Stopping::AfterWindow;
    terminal.shows("ending after this window's upload");
    // A window's story over the panes, and the panes again.
    terminal.type_in("j\r");
    terminal.shows("Story of window 2999970");
    terminal.shows("no tapes in");
    terminal.type_in("\u{1b}");
    terminal.wait("the panes", |screen| !screen.contents().contains("Story of window"));
    terminal.type_in("\t");
    terminal.shows("▸ Health and troubles");
    // The miner ends.
    *status.lock().unwrap() = None;
    terminal.shows("does not answer");
    terminal.shows("42 groups done");
    terminal.type_in("q");
    assert_eq!(terminal.ends(), 0);
}

#[test]
fn a_validator_and_its_verdicts_are_shown_and_it_turns_gray_when_it_ends() {
    let folder = tempfile::tempdir().unwrap();
    let receipt = r#"{"window_start":2999970,"hotkey":"5Miner7xyz","uid":7,"outcome":"accepted","check":null,"reason":null,
        "rollout":null,"why":null,"remedy":null,"metrics":{"valid":8,"checked":8,"total":8,"estimated_valid":8,
        "successful":4,"unique":4},"rollouts":8,"bytes":5,"late_ms":null}"#;
    let verdict = format!("{{\"kind\":\"miner\",\"receipt\":{}}}\n", receipt.replace('\n', ""));
    std::fs::write(folder.path().join("verdicts.jsonl"), verdict).unwrap();
    let status = Arc::new(Mutex::new(Some(scripted_validator())));
    play(folder.path(), status.clone());
    let arguments = ["top", "--data-dir", folder.path().to_str().unwrap()];
    let mut terminal = InTerminal::start(env!("CARGO_BIN_EXE_grail"), &arguments, &[]);
    terminal.shows("3 of 4 judged");
    terminal.shows("the validator continues");
    status.lock().unwrap().as_mut().unwrap().judging.as_mut().unwrap().windows[0].judged = 4;
    terminal.shows("4 of 4 judged");
    terminal.type_in("j\r");
    terminal.shows("Story of window 2999970");
    terminal.shows("uid 7 5Miner7xyz: accepted; 8/8 checked rollouts valid, 4 distinct");
    *status.lock().unwrap() = None;
    terminal.shows("gone since");
    terminal.type_in("\u{1b}");
    terminal.wait("the panes", |screen| !screen.contents().contains("Story of window"));
    terminal.type_in("q");
    assert_eq!(terminal.ends(), 0);
}

#[test]
fn it_ends_with_its_terminal() {
    let folder = tempfile::tempdir().unwrap();
    let status = Arc::new(Mutex::new(Some(scripted())));
    play(folder.path(), status.clone());
    let arguments = ["top", "--data-dir", folder.path().to_str().unwrap()];
    let mut terminal = InTerminal::start(env!("CARGO_BIN_EXE_grail"), &arguments, &[]);
    terminal.shows("q ends this view");
    let mut child = terminal.close();
    for _ in 0..600 {
        if child.try_wait().unwrap().is_some() {
            return;
        }
        // The view releases the terminal with the next draw.
        status.lock().unwrap().as_mut().unwrap().window.as_mut().unwrap().groups_done += 1;
        std::thread::sleep(Duration::from_millis(100));
    }
    child.kill().unwrap();
    panic!("it continues without a terminal");
}

#[test]
fn without_a_miner_it_says_what_to_do() {
    let folder = tempfile::tempdir().unwrap();
    let arguments = ["top", "--data-dir", folder.path().to_str().unwrap()];
    let mut terminal = InTerminal::start(env!("CARGO_BIN_EXE_grail"), &arguments, &[]);
    terminal.shows("no miner or validator uses the data folder");
    terminal.shows("start one with `grail mine`");
    assert_eq!(terminal.ends(), 3);
}
