//! `grail sim swarm`, `grail sim swarm merge` and `grail sim check`.

use std::path::Path;

use serde_json::Value;

use crate::process::{Finished, command, finish, folder, grail};
use grail_loopback::s3::{BUCKET, READ, S3Server};

/// Returns what a swarm finds in the first worlds, run here in two processes.
fn swarm(folder: &Path, more: &[&str]) -> Finished {
    grail(folder, &[&["sim", "swarm", "--seeds", "0..6", "--dir", "results", "--json"], more].concat())
}

/// Returns every shard's file in a folder: its name and its text.
fn shard_files(folder: &Path) -> Vec<(String, String)> {
    let entries = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let mut files: Vec<_> = entries
        .filter(|path| path.extension().is_some_and(|extension| extension == "jsonl"))
        .map(|path| (path.file_name().unwrap().to_str().unwrap().to_owned(), std::fs::read_to_string(path).unwrap()))
        .collect();
    files.sort();
    files
}

/// Returns the results that must not depend on the division into shares.
fn findings(summary: &Value) -> Value {
    let fields = ["seeds", "windows", "marks", "never_reached", "faults", "groups", "incomes", "failures"];
    fields.iter().map(|field| (field.to_string(), summary[field].clone())).collect::<serde_json::Map<_, _>>().into()
}

#[test]
fn processes_share_the_seeds_and_find_what_one_finds() {
    let (one, two) = (folder("swarm-one"), folder("swarm-two"));
    let [alone, shared] = [(&one, "1"), (&two, "2")].map(|(folder, jobs)| swarm(folder, &["--jobs", jobs]));
    assert_eq!((alone.code, shared.code), (Some(0), Some(0)), "{alone:?} {shared:?}");
    assert_eq!((shard_files(&one.join("results")).len(), shard_files(&two.join("results")).len()), (1, 2));
    let (alone, shared) = (alone.json(), shared.json());
    assert_eq!(findings(&alone), findings(&shared));
    assert_eq!((&alone["seeds"], &alone["missing"], &alone["windows"][0]), (&6.into(), &0.into(), &18.into()));
    let (counted, best) = (alone["groups"][0].as_u64().unwrap(), alone["groups"][1].as_u64().unwrap());
    assert!(0 < counted && counted <= best, "{counted} of {best}");
    let shares = alone["incomes"].as_array().unwrap().iter();
    assert_eq!(shares.map(|worlds| worlds.as_u64().unwrap()).sum::<u64>(), 6);
}

#[test]
fn it_continues_at_its_stop_and_writes_summaries() {
    let folder = folder("swarm-resumed");
    let results = folder.join("results");
    assert_eq!(swarm(&folder, &["--jobs", "1"]).code, Some(0));
    let before = shard_files(&results);
    assert_eq!(swarm(&folder, &["--jobs", "1"]).code, Some(0));
    assert_eq!(shard_files(&results), before, "nothing was run again");
    // As a process leaves it that is killed while it writes: the manifest, and half a line.
    let (name, text) = &before[0];
    let (manifest, batch) = text.split_once('\n').unwrap();
    std::fs::write(results.join(name), format!("{manifest}\n{}", &batch[..batch.len() / 2])).unwrap();
    let resumed = swarm(&folder, &["--jobs", "1"]);
    assert_eq!((resumed.code, &resumed.json()["seeds"]), (Some(0), &6.into()), "{resumed:?}");
    let summary: Value = serde_json::from_slice(&std::fs::read(results.join("summary.json")).unwrap()).unwrap();
    assert_eq!(findings(&summary), findings(&resumed.json()));
    let page = std::fs::read_to_string(results.join("summary.html")).unwrap();
    assert!(page.contains("Income") && !page.contains("<script"), "{page}");
}

#[test]
fn shards_are_merged_from_a_folder_and_from_a_bucket() {
    let folder = folder("swarm-merged");
    for shard in ["0/2", "1/2"] {
        let ran = swarm(&folder, &["--jobs", "1", "--shard", shard]);
        assert_eq!(ran.code, Some(0), "{ran:?}");
    }
    let merged = grail(&folder, &["sim", "swarm", "merge", "results", "--json"]);
    assert_eq!((merged.code, &merged.json()["seeds"], &merged.json()["missing"]), (Some(0), &6.into(), &0.into()));

    let server = S3Server::start();
    let place = server.folder.path().join(BUCKET).join("swarms/first");
    std::fs::create_dir_all(&place).unwrap();
    for (name, text) in shard_files(&folder.join("results")) {
        std::fs::write(place.join(name), text).unwrap();
    }
    let address = format!("s3://{BUCKET}/swarms/first");
    let from_bucket = |secret: &str| {
        let mut merge = command(&folder, &["sim", "swarm", "merge", &address, "--out", ".", "--json"]);
        merge.env("AWS_ENDPOINT_URL", format!("http://{}", server.address)).env("AWS_ALLOW_HTTP", "true");
        merge.env("AWS_ACCESS_KEY_ID", READ.0).env("AWS_SECRET_ACCESS_KEY", secret).env("AWS_REGION", "us-east-1");
        finish(&mut merge)
    };
    let fetched = from_bucket(READ.1);
    assert_eq!(fetched.code, Some(0), "{fetched:?}");
    assert_eq!(findings(&fetched.json()), findings(&merged.json()));
    assert!(folder.join("summary.html").exists());
    let refused = from_bucket("another secret");
    assert_eq!((refused.code, refused.stderr.lines().count()), (Some(2), 1), "{refused:?}");
    assert!(refused.stderr.contains(&address) && refused.stderr.contains("AWS_*"), "{refused:?}");
}

#[test]
fn shards_that_cannot_be_merged_are_reported_with_the_remedy() {
    let folder = folder("swarm-refused");
    let refused = |arguments: &[&str], what: &str| {
        let refused = grail(&folder, arguments);
        assert_eq!((refused.code, refused.stderr.lines().count()), (Some(2), 1), "{refused:?}");
        assert!(refused.stderr.contains(what), "{refused:?}");
    };
    refused(&["sim", "swarm", "merge", "nowhere"], "name the folder that --dir named");
    std::fs::create_dir(folder.join("empty")).unwrap();
    refused(&["sim", "swarm", "merge", "empty"], "run `grail sim swarm` first");
    std::fs::write(folder.join("empty/a.jsonl"), "{}\n").unwrap();
    refused(&["sim", "swarm", "merge", "empty"], "remove the file to run its seeds again");
}

#[test]
fn marks_that_are_not_reached_fail_only_where_all_are_required() {
    let folder = folder("swarm-marks");
    let strict = swarm(&folder, &["--jobs", "1", "--require-marks"]);
    assert_eq!(strict.code, Some(1));
    assert!(!strict.json()["never_reached"].as_array().unwrap().is_empty());
}

#[test]
fn a_world_is_the_same_in_two_processes() {
    let folder = folder("check");
    let [first, again, other] =
        ["3", "3", "4"].map(|seed| grail(&folder, &["sim", "check", "--seed", seed, "--windows", "2"]));
    assert_eq!((first.code, first.stderr.as_str()), (Some(0), ""), "{first:?}");
    assert!(first.stdout.starts_with("seed 3: the same in both processes, "), "{first:?}");
    assert_eq!(first.stdout, again.stdout);
    let hash = |finished: &Finished| finished.stdout.trim_end().rsplit(' ').next().unwrap().to_owned();
    assert_ne!(hash(&first), hash(&other));
}

/// The page as a real browser lays it out, if there is one.
#[test]
fn a_browser_shows_the_summary_with_a_row_for_each_tenth() {
    let folder = folder("swarm-page");
    let summary = swarm(&folder, &["--jobs", "1"]).json();
    let page = folder.join("results/summary.html");
    let Some(dom) = grail_loopback::browser::dom(&page) else { return };
    let (content, screen) = grail_loopback::browser::widths_on_a_phone(&page).unwrap();
    assert!(screen <= 500 && content <= screen, "{content} of {screen}");
    assert_eq!(dom.matches("class=\"card\"").count(), 6, "{dom}");
    let table = dom.split("<table id=\"income\">").nth(1).and_then(|rest| rest.split("</table>").next()).unwrap();
    let rows: Vec<&str> = table.split("<tr>").skip(2).collect();
    assert_eq!(rows.len(), 10, "{table}");
    let most = summary["incomes"].as_array().unwrap().iter().map(|w| w.as_u64().unwrap()).max().unwrap();
    for (row, worlds) in rows.iter().zip(summary["incomes"].as_array().unwrap()) {
        let worlds = worlds.as_u64().unwrap();
        assert!(row.contains(&format!("<td>{worlds}</td>")), "{row}");
        assert!(row.contains(&format!("width=\"{}\"", worlds * 400 / most)), "{row}");
    }
    let marks = dom.split("Worlds that reached each mark").nth(1).unwrap();
    assert_eq!(marks.matches("<rect").count(), known_marks().len() + rejections(&summary));
}

fn known_marks() -> Vec<String> {
    [grail_sim::marks::all(), grail_judging::marks()].concat()
}

/// Marks of rejected rollouts are not among those that must be reached.
fn rejections(summary: &Value) -> usize {
    let known = known_marks();
    summary["marks"].as_object().unwrap().keys().filter(|mark| !known.contains(mark)).count()
}
