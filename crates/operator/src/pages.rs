//! Pages of the metrics server: today's report and timeline, from the miner's files.

use std::path::Path;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use grail_debugger::timeline::{Gatherer, Page, Source};
use grail_observe::Pages;
use grail_tape::{Mode, Tape, replay};

use crate::report::Report;
use crate::tapes::tapes_in;
use crate::weights::readings;
use crate::why::{Finding, WeightFacts, of_hotkey, receipts};

/// Length of "today" in seconds.
const TODAY_S: f64 = 86_400.0;
const WINDOWS: &str = "<h2>Windows, newest first</h2>";

/// Makes the pages of a hotkey from its data folder and its folder of tapes. They only read.
pub fn pages(data_folder: &Path, tapes: Option<&Path>, hotkey: &str) -> Pages {
    let (data_folder, tapes, hotkey) = (data_folder.to_owned(), tapes.map(Path::to_owned), hotkey.to_owned());
    Arc::new(move |path| match path {
        "/" => Some(report(&data_folder, &hotkey)),
        "/timeline" => Some(timeline(tapes.as_deref())),
        _ => None,
    })
}

fn report(data_folder: &Path, hotkey: &str) -> String {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0.0, |since| since.as_secs_f64());
    let mut today = of_hotkey(receipts(data_folder).unwrap_or_default(), Some(hotkey));
    today.retain(|receipt| receipt.ended_at >= now - TODAY_S);
    let readings = readings(data_folder);
    // The chain is not asked here: a page must not wait for it, and the miner reads the weight once a window.
    let weight = match readings.last() {
        Some(last) => Finding::Known { value: WeightFacts { uid: last.uid, validators: last.validators.clone() } },
        None => Finding::Unknown { why: "it was not read yet".to_owned() },
    };
    let report =
        Report { receipts: &today, since: "the last 24h", weight: &weight, readings: &readings, hotkey: Some(hotkey) };
    // The newest window is chosen; the frame is read only once it is scrolled to.
    let newest = today.iter().map(|receipt| receipt.window).max().unwrap_or_default();
    let timeline = format!(
        "<h2>Timeline</h2><p class=lead>The windows on the newest tape, also <a href=\"/timeline#{newest}\">as a page of \
         its own</a>. Nothing here can be changed.</p><iframe title=Timeline loading=lazy src=\"/timeline#{newest}\"></iframe>"
    );
    report.page().replacen(WINDOWS, &(timeline + WINDOWS), 1)
}

/// Returns the newest tape's page; its last step may be half written.
fn timeline(tapes: Option<&Path>) -> String {
    let made = tapes.ok_or_else(|| "the miner records no tape".to_owned()).and_then(|tapes| {
        let newest = tapes_in(tapes).unwrap_or_default().pop();
        let path = newest.ok_or_else(|| format!("there is no tape in {} yet", tapes.display()))?;
        let tape = Tape::read(&path).map_err(|error| error.to_string())?;
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let (timeline, replay) = (Gatherer::of_tape(&tape).timeline(), replay(&tape, Mode::Strict, None));
        Ok(Page::new(&Source::Tape { name: &name, header: &tape.header, replay: &replay }, &timeline).html())
    });
    made.unwrap_or_else(|why| {
        let why = why.replace('&', "&amp;").replace('<', "&lt;");
        format!(
            "<!doctype html><html lang=en><meta charset=utf-8><title>grail</title><p>No timeline: {why}.</p></html>\n"
        )
    })
}
