//! Results of `nsgsim bench`, as its JSON tells them.

use std::collections::BTreeMap;
use std::path::Path;

use serde::Deserialize;
use serde_json::Value;
use serde_path_to_error::Segment;

use super::error::IngestError;
use super::source;
use crate::model::measured::{MeasuredBench, MeasuredSpeed, Spread};

/// What the JSON says it is.
const SCHEMA: &str = "nsgsim/bench/1";

/// A result has some kilobytes; with `--explain-plan` a line for each of some thousand policies.
const LIMIT_BYTES: u64 = 64 << 20;

/// Reads a result from a file or standard input (`-`), plain or packed.
///
/// # Errors
///
/// Fails on what cannot be read, and as [`parse`] does.
pub fn load(path: &Path) -> Result<MeasuredBench, IngestError> {
    parse(&source::shown(path), &source::read(path, LIMIT_BYTES)?)
}

/// Reads a result that is in memory.
///
/// # Errors
///
/// Fails on what is not JSON or no result of a bench, and on figures that no bench takes; the message names the place.
pub fn parse(name: &str, bytes: &[u8]) -> Result<MeasuredBench, IngestError> {
    let value: Value = serde_json::from_slice(bytes)
        .map_err(|error| IngestError::content(name, format!("not JSON: {error}")))?;
    match value.get("schema").and_then(Value::as_str) {
        Some(SCHEMA) => {}
        Some(other) => {
            let message =
                format!("`{other}`: expected `{SCHEMA}`, which `nsgsim bench --format json` writes");
            return Err(IngestError::content(format!("{name}#/schema"), message));
        }
        None => {
            let message = "no result of a bench: expected what `nsgsim bench --format json` writes";
            return Err(IngestError::content(name, message));
        }
    }
    let read: File = serde_path_to_error::deserialize(value).map_err(|error| {
        let pointer = error.path().iter().map(|segment| match segment {
            Segment::Seq { index } => format!("/{index}"),
            Segment::Map { key } => format!("/{key}"),
            Segment::Enum { .. } | Segment::Unknown => String::new(),
        });
        let place = format!("{name}#{}", pointer.collect::<String>());
        IngestError::content(place.trim_end_matches('#'), error.inner().to_string())
    })?;
    read.checked(name)
}

#[derive(Deserialize)]
struct File {
    seed: u64,
    skew: Option<f64>,
    measures: Vec<Measure>,
    compile_s: Figures,
    memory_bytes: u64,
    #[serde(default)]
    machine: Machine,
    inputs: BTreeMap<String, Value>,
}

#[derive(Deserialize)]
struct Measure {
    subject: String,
    threads: u64,
    operations: u64,
    per_second: Figures,
}

#[derive(Deserialize)]
struct Figures {
    median: f64,
    least: f64,
    most: f64,
}

#[derive(Default, Deserialize)]
struct Machine {
    cores: Option<u64>,
    processor: Option<String>,
}

impl File {
    fn checked(mut self, name: &str) -> Result<MeasuredBench, IngestError> {
        let spelled = |value: Value| match value {
            Value::String(text) => text,
            other => other.to_string(),
        };
        let version = self.inputs.remove("version").map(spelled);
        let mut measures = Vec::with_capacity(self.measures.len());
        for (position, Measure { subject, threads, operations, per_second }) in
            self.measures.into_iter().enumerate()
        {
            let per_second = per_second.checked(&format!("{name}#/measures/{position}/per_second"))?;
            measures.push(MeasuredSpeed { subject, threads, operations, per_second });
        }
        if self.memory_bytes == 0 {
            let place = format!("{name}#/memory_bytes");
            return Err(IngestError::content(place, "`0`: expected more: every network compiles to tables"));
        }
        let Machine { cores, processor } = self.machine;
        let machine = processor.map(|processor| match cores {
            Some(cores) => format!("{processor}, {cores} cores"),
            None => processor,
        });
        Ok(MeasuredBench {
            version,
            machine,
            seed: self.seed,
            skew: self.skew,
            inputs: self.inputs.into_iter().map(|(input, value)| (input, spelled(value))).collect(),
            measures,
            compile_s: self.compile_s.checked(&format!("{name}#/compile_s"))?,
            memory_bytes: self.memory_bytes,
        })
    }
}

impl Figures {
    fn checked(self, place: &str) -> Result<Spread, IngestError> {
        let Self { median, least, most } = self;
        if 0.0 < least && least <= median && median <= most {
            return Ok(Spread { median, least, most });
        }
        let message = format!(
            "least `{least}`, median `{median}`, most `{most}`: expected them above 0 and in this order"
        );
        Err(IngestError::content(place, message))
    }
}

#[cfg(test)]
mod tests {
    use super::parse;
    use crate::model::measured::Spread;

    const RESULT: &str = r#"{"schema": "nsgsim/bench/1", "seed": 7, "measures": [{"subject": "compiled", "threads": 2,
        "operations": 100, "per_second": {"median": 2.0, "least": 1.0, "most": 3.0}}],
        "compile_s": {"median": 0.5, "least": 0.5, "most": 0.5}, "memory_bytes": 4096,
        "machine": {"cores": 2, "processor": "Z80"},
        "inputs": {"network": "blake3:00", "tags": {"cloud": "Public"}, "version": "0.1.0"}}"#;

    #[test]
    fn a_result_is_read_without_what_nobody_compares() {
        let bench = parse("a.json", RESULT.as_bytes()).unwrap();
        assert_eq!((bench.seed, bench.skew, bench.memory_bytes), (7, None, 4096));
        assert_eq!(bench.measures[0].per_second, Spread { median: 2.0, least: 1.0, most: 3.0 });
        assert_eq!(bench.machine.as_deref(), Some("Z80, 2 cores"));
        assert_eq!(bench.version.as_deref(), Some("0.1.0"));
        let inputs: Vec<_> =
            bench.inputs.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        assert_eq!(inputs, [("network", "blake3:00"), ("tags", r#"{"cloud":"Public"}"#)]);
    }

    #[test]
    fn what_is_no_result_is_told_with_its_place() {
        let error = |from: &str, to: &str| {
            parse("a.json", RESULT.replace(from, to).as_bytes()).map(|_| ()).unwrap_err().to_string()
        };
        assert_eq!(
            error("bench/1", "replay/1"),
            "a.json#/schema: `nsgsim/replay/1`: expected `nsgsim/bench/1`, which `nsgsim bench --format json` writes"
        );
        assert_eq!(
            error("\"schema\"", "\"shape\""),
            "a.json: no result of a bench: expected what `nsgsim bench --format json` writes"
        );
        assert_eq!(
            error("\"least\": 1.0", "\"least\": 2.5"),
            "a.json#/measures/0/per_second: least `2.5`, median `2`, most `3`: expected them above 0 and in this order"
        );
        assert_eq!(
            error("4096", "0"),
            "a.json#/memory_bytes: `0`: expected more: every network compiles to tables"
        );
        assert_eq!(
            error("\"threads\": 2", "\"threads\": \"two\""),
            "a.json#/measures/0/threads: invalid type: string \"two\", expected u64"
        );
        assert_eq!(error("\"seed\": 7,", ""), "a.json: missing field `seed`");
        assert!(error("{\"schema\"", "schema").starts_with("a.json: not JSON: expected value"));
    }
}
