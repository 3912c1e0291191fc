//! The page of the last windows: what is in it, and that a browser draws it.

use std::path::Path;

use grail_operator::report::Report;
use grail_operator::weights::WeightReading;
use grail_operator::why::{Finding, Receipt, WeightFacts};

const HOTKEY: &str = "5GrwvaEF5zXb26Fz9rcQpDWS57CtERHpNehXCPcNoHGKutQY";
const PLANTED: &str = "</td><script>document.title='planted'</script>";

fn receipt(window: u64, outcome: &str, why: Option<&str>) -> Receipt {
    let is_uploaded = outcome == "uploaded";
    Receipt {
        hotkey: Some(HOTKEY.to_owned()),
        network: Some("finney".to_owned()),
        window,
        ended_at: 1_700_000_000.0 + window as f64,
        outcome: outcome.to_owned(),
        why: why.map(str::to_owned),
        address: None,
        groups_clean: 12,
        groups_uploaded: if is_uploaded { 10 } else { 0 },
        rollouts_uploaded: if is_uploaded { 40 } else { 0 },
        slack_seconds: is_uploaded.then_some(31.25),
        sha256: None,
        with_beacon: true,
        self_check_rejections: [("proof_valid/sketch".to_owned(), 2), (PLANTED.to_owned(), 1)].into(),
        engine_failures: 0,
        rollouts_clean: Some(48),
        rollouts_solved: Some(30),
        tokens: Some(24_000),
        seconds: Some(300.0),
        expected_score: Some(if is_uploaded { 20.5 } else { 0.0 }),
    }
}

fn page() -> String {
    let receipts = [
        receipt(30, "uploaded", None),
        receipt(60, "lost", Some(PLANTED)),
        // As an earlier release wrote it.
        Receipt {
            rollouts_clean: None,
            tokens: None,
            seconds: None,
            expected_score: None,
            ..receipt(90, "uploaded", None)
        },
        receipt(120, "uploaded", None),
    ];
    let weight = Finding::Known { value: WeightFacts { uid: 7, validators: vec![(1, 0.0125)] } };
    // The reading one window after the first is its weight; the later windows have none.
    let readings = [
        WeightReading { block: 89, uid: 7, validators: vec![(1, 0.5)] },
        WeightReading { block: 92, uid: 7, validators: vec![(1, 0.0375), (2, 0.01)] },
    ];
    Report { receipts: &receipts, since: PLANTED, weight: &weight, readings: &readings, hotkey: None }.page()
}

#[test]
fn the_page_says_what_the_receipts_say_and_nothing_from_outside_enters_it() {
    let page = page();
    for reported in ["3 of 4", "1.250 %", "<td>3.750 %</td>", "grail why 60", "31.2 s", "proof_valid/sketch", "80"] {
        assert!(page.contains(reported), "{reported}");
    }
    for foreign in ["<script", "http:", "https:", "NaN", "inf"] {
        assert!(!page.contains(foreign), "{foreign}");
    }
    assert_eq!(page.matches("<svg").count(), 9);
    assert_eq!(page.matches("3.750 %").count(), 1, "one window's alone");
    assert!(!page.contains("50.000 %"), "read before validators could judge it");
    // A value that an earlier miner did not keep breaks the line of speeds and is unknown in the table.
    assert!(page.contains("<td>unknown</td>"));
    let nothing: Finding<WeightFacts> =
        Finding::Unknown { why: "the chain is silent; a wall of text\nfollows".to_owned() };
    let empty = Report { receipts: &[], since: "24h", weight: &nothing, readings: &[], hotkey: Some(HOTKEY) }.page();
    assert!(empty.contains("0 windows, 24h.</p>"), "{empty}");
    assert!(empty.contains("The weight set now is unknown: the chain is silent.") && !empty.contains("NaN"));
    let texts =
        ["on finney", HOTKEY, "2023-11-14 22:13 to 2023-11-14 22:15 UTC", "prefers-color-scheme:dark", "seconds"];
    texts.iter().for_each(|text| assert!(page.contains(text), "{text}: {page}"));
}

#[test]
fn a_browser_draws_it_and_runs_nothing() {
    // It stays there for a person to view.
    let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join("report.html");
    std::fs::write(&path, page()).unwrap();
    let Some(dom) = grail_loopback::browser::dom(&path) else { return };
    assert!(dom.contains("<title>grail: the last windows</title>"), "{dom}");
    assert_eq!(
        dom.matches("<polyline").count() + dom.matches("<circle").count(),
        // Six lines, four of which have a gap at a window without figures, and so two parts; one with a single point.
        6 + 4 + 1,
        "{dom}"
    );
    assert_eq!(dom.matches("<tr>").count(), 5);
}

#[test]
fn on_a_phone_nothing_is_wider_than_the_screen() {
    let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join("report-phone.html");
    std::fs::write(&path, page()).unwrap();
    let Some((content, screen)) = grail_loopback::browser::widths_on_a_phone(&path) else { return };
    assert!(screen <= 500 && content <= screen, "{content} of {screen}");
}

#[test]
fn the_served_page_has_report_and_timeline_of_the_hotkey_and_writes_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs_f64();
    let recent = |window: u64, age: f64| Receipt { ended_at: now - age, ..receipt(window, "uploaded", None) };
    let other = Receipt { hotkey: Some("5other".to_owned()), ..recent(180, 10.0) };
    let kept = [recent(90, 90_000.0), recent(120, 700.0), recent(150, 10.0), other];
    let lines: String = kept.iter().map(|receipt| serde_json::to_string(receipt).unwrap() + "\n").collect();
    std::fs::write(folder.path().join("receipts.jsonl"), &lines).unwrap();
    let pages = grail_operator::pages::pages(folder.path(), None, HOTKEY);
    let page = pages("/").unwrap();
    for part in ["2 windows, the last 24h: ", HOTKEY, "<td>120</td>", "<td>150</td>", "src=\"/timeline#150\""] {
        assert!(page.contains(part), "{part}: {page}");
    }
    assert!(!page.contains("<td>90</td>") && !page.contains("<td>180</td>"), "yesterday's and another's: {page}");
    assert!(pages("/timeline").unwrap().contains("No timeline: the miner records no tape"));
    assert!(pages("/other").is_none());
    let names: Vec<_> = std::fs::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(names, ["receipts.jsonl"], "nothing was written");
}
