//! A log event as data: one JSON object, for a file, a shipper or Loki.

use std::fmt::Debug;

use serde_json::{Map, Value};
use tracing::field::{Field, Visit};
use tracing::{Event, Level};
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::time::FormatTime;

use grail_terminal::printable_start;

/// Longest text of a field, in characters; the rest is cut off.
pub(super) const TEXT_MAX: usize = 8 << 10;
/// The field with the message.
pub(super) const MESSAGE: &str = "message";

/// An event: its fields, with the message under its own name.
pub(super) struct Entry {
    pub(super) level: Level,
    target: &'static str,
    fields: Map<String, Value>,
}

impl Entry {
    pub(super) fn of(event: &Event<'_>) -> Self {
        let mut fields = Fields(Map::new());
        event.record(&mut fields);
        Self { level: *event.metadata().level(), target: event.metadata().target(), fields: fields.0 }
    }

    /// One line without its end. Time, level and target come first, then the message, then the event's own fields by name.
    pub(super) fn line(mut self) -> String {
        let mut timestamp = String::new();
        // Writing to a string does not fail.
        let _ = tracing_subscriber::fmt::time::SystemTime.format_time(&mut Writer::new(&mut timestamp));
        let message = self.fields.remove(MESSAGE).unwrap_or_else(|| Value::from(""));
        let (level, target) = (level_name(self.level), Value::from(self.target));
        let mut line =
            format!(r#"{{"timestamp":"{timestamp}","level":"{level}","target":{target},"message":{message}"#);
        for (name, value) in &self.fields {
            line += &format!(",{}:{value}", Value::from(name.as_str()));
        }
        line + "}"
    }
}

/// Returns a level as label and field.
pub(super) fn level_name(level: Level) -> &'static str {
    match level {
        Level::ERROR => "error",
        Level::WARN => "warn",
        Level::INFO => "info",
        Level::DEBUG => "debug",
        Level::TRACE => "trace",
    }
}

struct Fields(Map<String, Value>);

impl Fields {
    fn keep(&mut self, field: &Field, value: Value) {
        self.0.insert(field.name().to_owned(), value);
    }

    fn text(&mut self, field: &Field, text: &str) {
        self.keep(field, Value::from(printable_start(text, TEXT_MAX)));
    }
}

impl Visit for Fields {
    fn record_f64(&mut self, field: &Field, value: f64) {
        self.keep(field, Value::from(value));
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.keep(field, Value::from(value));
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.keep(field, Value::from(value));
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.keep(field, Value::from(value));
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.text(field, value);
    }

    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        self.text(field, &format!("{value:?}"));
    }
}
