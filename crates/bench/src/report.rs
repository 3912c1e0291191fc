//! The measurements, as a table and as JSON.

use std::fmt;

use grail_cuda::driver::Device;
use serde_json::{Value, json};

use super::Limits;

/// One number.
#[derive(Debug, Clone, PartialEq)]
pub struct Measurement {
    /// The measured quantity.
    pub what: String,
    /// The number.
    pub value: f64,
    /// Its unit.
    pub unit: &'static str,
    /// The limit by the GPU's own rates, in the same unit, if it is known.
    pub limit: Option<f64>,
    /// A remark for the reader.
    pub remark: String,
}

/// All numbers of a run.
#[derive(Debug, Clone)]
pub struct BenchReport {
    device: String,
    cublas: i32,
    /// Receives every line as soon as it is known: a run takes minutes, and may be broken off.
    show: fn(String),
    /// The numbers, in the order in which they were measured.
    pub measurements: Vec<Measurement>,
}

impl BenchReport {
    pub(super) fn new(device: &Device, cublas: i32, limits: Limits, show: fn(String)) -> Self {
        let mut report = Self { device: device.name().to_owned(), cublas, show, measurements: Vec::new() };
        show(format!("{}, cuBLAS {cublas}", report.device));
        report.add("copy within the device", limits.bytes_per_s / 1e12, "TB/s", None);
        report.add("float32 product of 8192³", limits.single_flops / 1e12, "TFLOP/s", None);
        report.add("bfloat16 product of 8192³", limits.half_flops / 1e12, "TFLOP/s", None);
        report
    }

    pub(super) fn add(&mut self, what: impl Into<String>, value: f64, unit: &'static str, limit: Option<f64>) {
        self.remark(what, value, unit, limit, String::new());
    }

    pub(super) fn remark(
        &mut self,
        what: impl Into<String>,
        value: f64,
        unit: &'static str,
        limit: Option<f64>,
        remark: String,
    ) {
        let measurement = Measurement { what: what.into(), value, unit, limit, remark };
        (self.show)(measurement.to_string());
        self.measurements.push(measurement);
    }

    /// Returns the GPU's name.
    pub fn device(&self) -> &str {
        &self.device
    }

    /// Returns the report as one JSON object.
    pub fn json(&self) -> Value {
        let measurement = |m: &Measurement| json!({ "what": m.what, "value": m.value, "unit": m.unit, "limit": m.limit, "remark": m.remark });
        let measurements: Vec<Value> = self.measurements.iter().map(measurement).collect();
        json!({ "device": self.device, "cublas": self.cublas, "measurements": measurements })
    }
}

impl fmt::Display for Measurement {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { what, value, unit, limit, remark } = self;
        write!(f, "{what:<52} {value:>10.2} {unit:<10}")?;
        if let Some(limit) = limit {
            // A rate should come near its limit from below, a time from above.
            let share = if unit.ends_with("/s") { value / limit } else { limit / value };
            write!(f, " limit {limit:>10.2}  {:>4.0} %", share * 100.0)?;
        }
        write!(f, "{}{remark}", if remark.is_empty() { "" } else { "  " })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use grail_observe::contract::Schema;

    #[test]
    fn a_time_and_a_rate_both_show_how_near_they_come_to_their_limit() {
        let measurements = vec![
            Measurement { what: "pass".into(), value: 8.0, unit: "ms", limit: Some(4.0), remark: String::new() },
            Measurement { what: "decode".into(), value: 3.0, unit: "tokens/s", limit: Some(4.0), remark: "x".into() },
        ];
        let lines = [&measurements[0], &measurements[1]].map(Measurement::to_string);
        assert!(lines[0].ends_with("50 %") && lines[1].ends_with("75 %  x"), "{lines:?}");
        let report = BenchReport { device: "GPU".into(), cublas: 130_100, show: drop, measurements };
        assert_eq!(report.json()["measurements"][1]["limit"], 4.0);
        grail_loopback::schema::assert_valid(&Schema::Bench.stamp(report.json()), Schema::Bench.id());
    }
}
