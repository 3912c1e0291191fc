//! Weights & Biases offline: the `.wandb` file, read by its own decoder.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use grail_config::WandbConfig;
use grail_observe::{Dropped, SinkWorker, WandbLimits, start_wandb};
use serde_json::{Value, json};

use crate::online::{config, row};

/// Writes a run of this many rows, and returns its folder.
pub(crate) fn write_run(folder: &Path, rows: u64) -> PathBuf {
    let offline = WandbConfig {
        offline: true,
        api_key: None,
        run_id: Some("mine".to_owned()),
        folder: Some(folder.to_owned()),
        ..config("http://127.0.0.1:9")
    };
    let reported = BTreeMap::from([("netuid".to_owned(), json!(81)), ("model".to_owned(), json!("größer"))]);
    let dropped = Dropped::default();
    let (sender, worker) =
        start_wandb(&offline, reported, folder, &dropped, WandbLimits::LIVE, grail_live::unix_ms).unwrap();
    // No more than the queue holds.
    (0..rows).for_each(|n| sender.offer(row(n)));
    SinkWorker::finish_all(vec![worker]);
    assert_eq!(dropped.of("wandb").get(), 0);
    let entries = std::fs::read_dir(folder.join("wandb")).unwrap().map(|entry| entry.unwrap().path());
    entries.into_iter().find(|path| path.file_name().unwrap().to_str().unwrap().starts_with("offline-run-")).unwrap()
}

/// Returns the records of a file, by the description of the format: a header of 7 bytes, then parts that do not cross
/// 32 KiB.
fn records(file: &[u8]) -> Vec<Vec<u8>> {
    assert_eq!(&file[..7], b":W&B\xe1\xbe\x00");
    let (mut at, mut records, mut open) = (7, Vec::new(), Vec::new());
    while at < file.len() {
        let left = 32_768 - at % 32_768;
        if left < 7 {
            at += left;
            continue;
        }
        let length = usize::from(u16::from_le_bytes([file[at + 4], file[at + 5]]));
        let part = &file[at + 7..at + 7 + length];
        open.extend_from_slice(part);
        if matches!(file[at + 6], 1 | 4) {
            records.push(std::mem::take(&mut open));
        }
        at += 7 + length;
    }
    records
}

/// A field of a protocol buffer.
#[derive(Debug, Clone, PartialEq)]
enum Field {
    Number(u64),
    Bytes(Vec<u8>),
}

/// Returns the fields of a message by their numbers, by the description of the encoding.
fn fields(mut message: &[u8]) -> Vec<(u64, Field)> {
    fn number(message: &mut &[u8]) -> u64 {
        let mut value = 0;
        for shift in (0..).step_by(7) {
            let (byte, rest) = message.split_first().unwrap();
            *message = rest;
            value |= u64::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                break;
            }
        }
        value
    }
    let mut fields = Vec::new();
    while !message.is_empty() {
        let tag = number(&mut message);
        let field = match tag & 7 {
            0 => Field::Number(number(&mut message)),
            2 => {
                let length = number(&mut message) as usize;
                let (bytes, rest) = message.split_at(length);
                message = rest;
                Field::Bytes(bytes.to_vec())
            }
            kind => panic!("wire type {kind}"),
        };
        fields.push((tag >> 3, field));
    }
    fields
}

fn bytes_of(message: &[u8], number: u64) -> Vec<Vec<u8>> {
    let all = fields(message).into_iter().filter(|(of, _)| *of == number);
    all.map(|(_, field)| match field {
        Field::Bytes(bytes) => bytes,
        Field::Number(number) => panic!("{number}"),
    })
    .collect()
}

fn text_of(message: &[u8], number: u64) -> String {
    bytes_of(message, number).pop().map(|bytes| String::from_utf8(bytes).unwrap()).unwrap_or_default()
}

/// Items of history, summary or configuration: key 1, value 16 as JSON.
fn items(message: &[u8]) -> BTreeMap<String, Value> {
    let items = bytes_of(message, 1).into_iter();
    items.map(|item| (text_of(&item, 1), serde_json::from_str(&text_of(&item, 16)).unwrap())).collect()
}

#[test]
fn a_file_holds_header_run_rows_and_end() {
    let folder = tempfile::tempdir().unwrap();
    let run = write_run(folder.path(), 250);
    let file = std::fs::read(run.join("run-mine.wandb")).unwrap();
    assert!(file.len() > 2 * 32_768, "records cross blocks: {} bytes", file.len());
    let records = records(&file);
    let mut rows = 0;
    let mut axes = BTreeMap::new();
    for (at, record) in records.iter().enumerate() {
        let fields = fields(record);
        assert_eq!(fields[0], (1, Field::Number(at as u64 + 1)));
        let [(_, _), (kind, Field::Bytes(body))] = &fields[..] else { panic!("{fields:?}") };
        match kind {
            21 => assert!(at == 0 && text_of(&bytes_of(body, 1)[0], 1).starts_with("grail-")),
            17 => {
                assert_eq!(at, 1);
                assert_eq!((text_of(body, 1).as_str(), text_of(body, 3).as_str()), ("mine", "grail"));
                assert_eq!((text_of(body, 8).as_str(), text_of(body, 9).as_str()), ("first GPU", "why"));
                assert_eq!(bytes_of(body, 10), [b"a".to_vec(), b"b".to_vec()]);
                let reported = items(&bytes_of(body, 4)[0]);
                assert_eq!(reported, BTreeMap::from([("netuid".into(), json!(81)), ("model".into(), json!("größer"))]));
            }
            12 => drop(axes.insert(text_of(body, 1), text_of(body, 4))),
            2 => {
                let mut items = items(body);
                assert_eq!(items.remove("_step"), Some(json!(rows)));
                assert!(items.remove("_runtime").is_some());
                let expected: BTreeMap<String, Value> = row(rows).0.into_iter().collect();
                assert_eq!(items, expected);
                rows += 1;
            }
            3 => assert_eq!(items(body)["window_number"], json!(30 * (rows - 1)), "the summary is the newest row"),
            18 => assert_eq!(at, records.len() - 1),
            kind => panic!("record of kind {kind}"),
        }
    }
    assert_eq!(rows, 250);
    let block = "block_number".to_owned();
    let expected = [
        ("block_number", ""),
        ("window_number", ""),
        ("mining.success_rate", &block),
        ("mining.windows_completed", &block),
    ];
    assert_eq!(axes, expected.into_iter().map(|(name, axis)| (name.to_owned(), axis.to_owned())).collect());
}

#[test]
fn runs_are_not_written_through_a_link() {
    let [data, runs, elsewhere] = [(); 3].map(|()| tempfile::tempdir().unwrap());
    std::os::unix::fs::symlink(elsewhere.path(), runs.path().join("wandb")).unwrap();
    let folder = Some(runs.path().to_owned());
    let offline = WandbConfig { offline: true, api_key: None, folder, ..config("http://127.0.0.1:9") };
    let (reported, dropped) = (BTreeMap::new(), Dropped::default());
    let begun = start_wandb(&offline, reported, data.path(), &dropped, WandbLimits::LIVE, grail_live::unix_ms);
    let refused = begun.err().unwrap().to_string();
    assert!(refused.contains("is a symbolic link") && refused.contains("WANDB_DIR"), "{refused}");
    assert_eq!(std::fs::read_dir(elsewhere.path()).unwrap().count(), 0);
}
