//! The log as JSON, an object on each line.

use std::io::Write;

use tracing::{Event, Subscriber};
use tracing_subscriber::Layer;
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::layer::Context;

use super::entry::Entry;

/// Writes each event in one call, so that lines of several threads do not mix.
pub struct JsonLines<W>(pub W);

impl<S: Subscriber, W: for<'a> MakeWriter<'a> + 'static> Layer<S> for JsonLines<W> {
    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        let line = Entry::of(event).line() + "\n";
        // A reader that went away must not end the miner.
        let _ = self.0.make_writer().write_all(line.as_bytes());
    }
}
