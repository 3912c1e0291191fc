//! Pages in a real browser, if there is one.

use std::path::Path;
use std::process::Command;

const NAMES: [&str; 3] = ["chromium", "chromium-browser", "google-chrome"];

/// Returns the document of a page as the browser has it after its scripts ran; none if there is no browser.
pub fn dom(page: &Path) -> Option<String> {
    dom_in(page, 1_200)
}

/// Returns how wide the content of a page is in a window of 400 pixels, and the window's own width; none if there is no
/// browser. The page is drawn in a copy next to it, which a script measures.
pub fn widths_on_a_phone(page: &Path) -> Option<(u32, u32)> {
    let copy = page.with_extension("measured.html");
    let script = "<script>document.title = [document.documentElement.scrollWidth, innerWidth].join(' ')</script>";
    let text = std::fs::read_to_string(page).unwrap();
    // A policy of the page would forbid no script in line, since its own is in line too.
    let end = text.rfind("</html>").expect("a page has an end");
    std::fs::write(&copy, format!("{}{script}{}", &text[..end], &text[end..])).unwrap();
    let dom = dom_in(&copy, 400)?;
    let title = dom.split("<title>").nth(1).and_then(|rest| rest.split('<').next()).expect("a page has a title");
    let (content, window) = title.split_once(' ').unwrap_or_else(|| panic!("the page was not measured: {title}"));
    Some((content.parse().unwrap(), window.parse().unwrap()))
}

#[allow(clippy::print_stderr, reason = "a test that is skipped says so")]
fn dom_in(page: &Path, columns: u32) -> Option<String> {
    let is_there = |name: &&&str| Command::new(name).arg("--version").output().is_ok();
    let Some(browser) = NAMES.iter().find(is_there) else {
        eprintln!("skipped: none of {} is here; install chromium to draw the page", NAMES.join(", "));
        return None;
    };
    let folder = tempfile::tempdir().unwrap();
    let arguments = ["--headless", "--no-sandbox", "--disable-gpu", "--dump-dom", "--virtual-time-budget=3000"];
    let profile = format!("--user-data-dir={}", folder.path().display());
    let (size, url) = (format!("--window-size={columns},2000"), format!("file://{}", page.display()));
    let output = Command::new(browser).args(arguments).args([&profile, &size, &url]).output().unwrap();
    Some(String::from_utf8(output.stdout).unwrap())
}
