//! Pages in a real browser, if there is one.

use std::path::Path;
use std::process::Command;

const NAMES: [&str; 3] = ["chromium", "chromium-browser", "google-chrome"];

/// Returns the document of a page as the browser has it after its scripts ran; none if there is no browser.
#[allow(clippy::print_stderr, reason = "a test that is skipped says so")]
pub fn dom(page: &Path) -> Option<String> {
    let is_there = |name: &&&str| Command::new(name).arg("--version").output().is_ok();
    let Some(browser) = NAMES.iter().find(is_there) else {
        eprintln!("skipped: none of {} is here; install chromium to draw the page", NAMES.join(", "));
        return None;
    };
    let folder = tempfile::tempdir().unwrap();
    let arguments = ["--headless", "--no-sandbox", "--disable-gpu", "--dump-dom", "--virtual-time-budget=3000"];
    let profile = format!("--user-data-dir={}", folder.path().display());
    let url = format!("file://{}", page.display());
    let output = Command::new(browser).args(arguments).args([&profile, &url]).output().unwrap();
    Some(String::from_utf8(output.stdout).unwrap())
}
