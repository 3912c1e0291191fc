//! `grail sim --scenario`, `--list`, and the estimate.

use crate::process::{folder, grail};

#[test]
fn listed_scenarios_run_by_name_and_tell_what_they_promised() {
    let folder = folder("scenario");
    let list = grail(&folder, &["sim", "--list"]);
    assert_eq!((list.code, list.stderr.as_str()), (Some(0), ""));
    assert!(list.stdout.lines().any(|line| line.starts_with("beacon-outage ")), "{}", list.stdout);
    let run = grail(&folder, &["sim", "--scenario", "beacon-outage", "--json"]);
    assert_eq!((run.code, run.stderr.as_str()), (Some(0), ""));
    let report = run.json();
    assert_eq!(report["scenario"], serde_json::json!({ "name": "beacon-outage", "unmet": [] }));
    let share = report["income"]["share"].as_f64().expect("a share");
    assert!((0.5..=1.0).contains(&share), "{report}");
}

#[test]
fn a_file_of_ones_own_is_run_and_a_promise_that_is_not_kept_ends_with_1() {
    let folder = folder("own-scenario");
    let file = "title = \"mine\"\nwindows = 2\nfaults = []\ngroups_max = 2\n[expect]\nwithout_beacon_min = 1\n";
    std::fs::write(folder.join("own.toml"), file).unwrap();
    let run = grail(&folder, &["sim", "--scenario", "own.toml"]);
    assert_eq!(run.code, Some(1));
    let reported = "not as the scenario promises: 0 windows without a beacon, and at least 1 were expected";
    assert_eq!(run.stderr.trim_end(), reported);
}

#[test]
fn mistakes_get_one_line_with_the_nearest_name_and_2() {
    let folder = folder("scenario-mistakes");
    std::fs::write(folder.join("wrong.toml"), "title = \"mine\"\nwindow = 2\n").unwrap();
    let mistakes: [(&[&str], &str); 6] = [
        (&["sim", "--scenario", "bad-weak"], "did you mean `bad-week`?"),
        (&["sim", "--scenario", "wrong.toml"], "wrong.toml: unknown key `window`; did you mean `windows`?"),
        (&["sim", "--scenario", "none.toml"], "cannot read none.toml"),
        (&["sim", "--speed", "gpu=h200"], "`grail estimate --gpu h200`"),
        (&["estimate", "--gpu", "b200"], "did you mean `h200`? Use one of a100, h100, h200"),
        (&["estimate", "--gpu", "a100,solvd=1"], "did you mean `solved`?"),
    ];
    for (arguments, expected) in mistakes {
        let run = grail(&folder, arguments);
        assert_eq!(run.code, Some(2), "{arguments:?}");
        assert_eq!(run.stderr.lines().count(), 1, "{}", run.stderr);
        assert!(run.stderr.contains(expected), "{}", run.stderr);
    }
}

#[test]
fn an_estimate_gives_text_an_object_and_a_page_of_the_same_numbers() {
    let folder = folder("paper");
    let arguments = ["estimate", "--gpu", "h200,tokens_per_s=15000", "--windows", "24", "--rivals", "10"];
    let text = grail(&folder, &arguments);
    assert_eq!((text.code, text.stderr.as_str()), (Some(0), ""));
    let object = grail(&folder, &[&arguments[..], &["--json", "--html", "page.html"]].concat()).json();
    let groups = object["plain"]["groups_mean"].as_f64().expect("a mean");
    assert!(text.stdout.contains(&format!("Groups a window: {groups:.1} on average")), "{}", text.stdout);
    let page = std::fs::read_to_string(folder.join("page.html")).unwrap();
    assert!(page.contains(&format!("<b>{groups:.0}</b>")) && page.ends_with("</html>\n"));
    assert_eq!(object["speed"].as_object().map(serde_json::Map::len), Some(5));
    let priced = ["--price", "3.10", "--alpha-price", "2", "--seeds", "2", "--json", "--metagraph", "m.json"];
    // Uid 0 is no rival: validators give it what they burn.
    std::fs::write(folder.join("m.json"), r#"{"incentive": [0.5, 0.0, 0.25, 0.25]}"#).unwrap();
    let priced = grail(&folder, &[&arguments[..5], &priced].concat()).json();
    let (day, rivals) = (&priced["economics"], &priced["rivals"]);
    assert_eq!((rivals, day["seeds"].as_u64(), day["cost"].as_f64()), (&2.into(), Some(2), Some(3.10 * 24.0)), "{day}");
    let [least, most] = ["least", "most"].map(|end| day["earnings"][end].as_f64().unwrap());
    assert!(least <= most && day["earnings"]["mean"].as_f64().unwrap() > 0.0, "{day}");
}
