//! `grail golden` as it is typed in a checkout.

use std::path::Path;

use crate::process::grail;

#[test]
fn without_a_folder_the_vectors_of_the_fixtures_run() {
    let finished = grail(Path::new(env!("CARGO_MANIFEST_DIR")), &["golden"]);
    assert_eq!((finished.code, finished.stderr.as_str()), (Some(0), ""), "{finished:?}");
    let total = finished.stdout.lines().last().and_then(|line| line.strip_prefix("total: ")?.split_once('/'));
    let (equal, all) = total.unwrap_or_else(|| panic!("{finished:?}"));
    assert!(equal == all && all.parse::<u32>().unwrap() > 500, "{finished:?}");
}
