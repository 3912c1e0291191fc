//! Small files that unpack to large ones: each is refused with an error, within a memory limit that the operating system enforces.

use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use flate2::Compression;
use flate2::write::GzEncoder;
use grail_folder::frames::frame;

use crate::process::{Finished, finish, folder, simulated_tape};

const BLOCK_HASH: &str = "0x6bd42698f399072f86cc29260398b173485187699702c1b2a33af461f5e748f9";
/// Address space in KiB. The budgets come to 1.3 GiB of values, 0.5 GiB of text and 1 GiB of frames.
const MEMORY_KIB: u32 = 3_500_000;
const MIB: usize = 1 << 20;

/// Returns the command under the limit; a failed allocation aborts the process.
fn limited(folder: &Path, arguments: &[&str]) -> Finished {
    let mut shell = Command::new("sh");
    shell.args(["-c", &format!("ulimit -v {MEMORY_KIB} && exec \"$0\" \"$@\""), env!("CARGO_BIN_EXE_grail")]);
    finish(shell.args(arguments).current_dir(folder).stdin(Stdio::null()))
}

fn refused(name: &str, finished: &Finished, why: &str) {
    assert_eq!((finished.code, finished.stdout.as_str()), (Some(2), ""), "{name}: {finished:?}");
    assert_eq!(finished.stderr.lines().count(), 1, "{name}: {finished:?}");
    assert!(finished.stderr.contains(why), "{name}: {finished:?}");
}

/// Bombs of each kind of file; `GRAIL_TEST_BOMBS` raises them. Each costs seconds, since it needs its gigabyte.
fn bombs_tried() -> usize {
    std::env::var("GRAIL_TEST_BOMBS").ok().and_then(|bombs| bombs.parse().ok()).unwrap_or(2)
}

/// A gzip file of `head`, then `piece` until there are `bytes` of it, then `tail`.
fn gzip(path: &Path, head: &str, piece: &str, bytes: usize, tail: &str) {
    let mut gzip = GzEncoder::new(File::create(path).unwrap(), Compression::new(1));
    gzip.write_all(head.as_bytes()).unwrap();
    let block = piece.repeat(MIB / piece.len());
    for _ in 0..bytes.div_ceil(block.len()) {
        gzip.write_all(block.as_bytes()).unwrap();
    }
    gzip.write_all(tail.as_bytes()).unwrap();
    gzip.finish().unwrap();
}

#[test]
fn small_files_that_become_large_are_refused() {
    let folder = folder("window-bombs");
    let values = "take more than 1280 MiB of memory";
    let bombs = [
        ("blanks", "", " ", 513 * MIB, "", "unpacks to more than 512 MiB"),
        ("open-lists", "", "[0,0,0,0,0,0,0,0,", 2 * MIB, "", "nested more than 512 levels"),
        ("objects", "[", "{\"\":0},", 15 * MIB, "0]", values),
        ("rollouts", "{\"wallet\":\"5F\",\"inferences\":[", "{},", 130 * MIB, "{}]}", values),
        ("numbers", "[", "0,", 90 * MIB, "0]", values),
        ("lists", "[", "[1],", 60 * MIB, "0]", values),
        ("texts", "[", "\"a\",", 90 * MIB, "0]", values),
    ];
    for (name, head, piece, bytes, tail, why) in bombs.into_iter().take(bombs_tried()) {
        let path = folder.join(name);
        gzip(&path, head, piece, bytes, tail);
        assert!(fs::metadata(&path).unwrap().len() < 8 << 20, "{name} is not small");
        refused(name, &limited(&folder, &["verify", name, "--block-hash", BLOCK_HASH]), why);
        fs::remove_file(path).unwrap();
    }
}

#[test]
fn a_file_within_its_budget_is_judged_within_it() {
    let folder = folder("window-of-nothing");
    let wallet = "5GrwvaEF5zXb26Fz9rcQpDWS57CtERHpNehXCPcNoHGKutQY";
    let head = format!("{{\"wallet\":\"{wallet}\",\"window_start\":300,\"inferences\":[");
    gzip(&folder.join("file"), &head, "{\"rollout_group\":0},", 30 * MIB, "{}]}");
    let finished = limited(&folder, &["verify", "file", "--block-hash", BLOCK_HASH]);
    assert_eq!(finished.code, Some(1), "{finished:?}");
    assert!(finished.stdout.contains("rejected: rollout 0 fails"), "{finished:?}");
}

/// A tape of `count` frames, each with this content, compressed.
fn tape(folder: &Path, name: &str, count: usize, payload: &[u8]) {
    let honest = fs::read(folder.join("honest.tape")).unwrap();
    let header_bytes = u32::from_le_bytes(honest[20..24].try_into().unwrap()) as usize;
    let packed = [&[1][..], &zstd::bulk::compress(payload, 1).unwrap()].concat();
    let file = [&honest[..32 + header_bytes], &frame(&packed).repeat(count)].concat();
    assert!(file.len() < MIB, "{name} is not small");
    fs::write(folder.join(name), file).unwrap();
}

/// Returns a state in MessagePack: a start, then a number of repeats.
fn state(opening: u8, count: usize, items: &[u8]) -> Vec<u8> {
    let mut payload = b"\x81\xa5State".to_vec();
    payload.push(opening);
    payload.extend((count as u32).to_be_bytes());
    payload.extend(items.repeat(count));
    payload
}

const TEXT: u8 = 0xdb;
const LIST: u8 = 0xdd;

fn folder_with_a_tape(name: &str) -> PathBuf {
    let folder = folder(name);
    fs::rename(simulated_tape(&folder, 0), folder.join("honest.tape")).unwrap();
    folder
}

#[test]
fn a_small_tape_that_unpacks_to_much_is_refused() {
    let folder = folder_with_a_tape("tape-bombs");
    tape(&folder, "frames.tape", 20, &state(TEXT, 200 * MIB, b"a"));
    tape(&folder, "numbers.tape", 3, &state(LIST, 30 * MIB, &[0]));
    tape(&folder, "maps.tape", 3, &state(LIST, MIB, b"\x81\xa0\0"));
    tape(&folder, "texts.tape", 3, &state(LIST, 10 * MIB, b"\xa1a"));
    tape(&folder, "nested.tape", 1, &[&b"\x81\xa5State"[..], &[0x91; 200_000], &[0]].concat());
    let bombs = [
        (&["replay", "frames.tape"][..], "more than 1024 MiB of memory"),
        (&["tape", "list", "numbers.tape"], "more than 1280 MiB of memory"),
        (&["replay", "maps.tape"], "more than 1280 MiB of memory"),
        (&["replay", "nested.tape"], "frame 1"),
        (&["tape", "list", "nested.tape"], "frame 1"),
        (&["replay", "texts.tape"], "more than 1280 MiB of memory"),
        (&["replay", "numbers.tape"], "more than 1280 MiB of memory"),
        (&["tape", "list", "frames.tape"], "more than 1024 MiB of memory"),
        (&["tape", "list", "maps.tape"], "more than 1280 MiB of memory"),
        (&["tape", "list", "texts.tape"], "more than 1280 MiB of memory"),
    ];
    for (arguments, why) in bombs.into_iter().take(bombs_tried() + 1) {
        let finished = limited(&folder, arguments);
        assert_eq!(finished.code, Some(2), "{arguments:?}: {finished:?}");
        assert!(finished.stderr.contains(why), "{arguments:?}: {finished:?}");
    }
}

#[test]
fn tapes_of_one_bundle_share_its_budget() {
    let folder = folder_with_a_tape("bundle-bombs");
    tape(&folder, "part.tape", 1, &state(LIST, 20 * MIB, &[0]));
    assert_eq!(limited(&folder, &["tape", "list", "part.tape"]).code, Some(0), "each is within the budget");
    let mut archive = tar::Builder::new(GzEncoder::new(Vec::new(), Compression::default()));
    for number in 0..3 {
        archive.append_path_with_name(folder.join("part.tape"), format!("bundle/{number}.tape")).unwrap();
    }
    fs::write(folder.join("bundle.tar.gz"), archive.into_inner().unwrap().finish().unwrap()).unwrap();
    refused("bundle", &limited(&folder, &["replay", "bundle.tar.gz"]), "more than 1280 MiB of memory");
}

#[test]
fn a_file_without_end_is_not_read_to_its_end() {
    let folder = folder("endless");
    for (arguments, limit) in [
        (&["verify", "/dev/zero", "--block-hash", BLOCK_HASH][..], "512 MiB"),
        (&["replay", "/dev/zero"], "512 MiB"),
        (&["prove", "--tokens", "/dev/zero", "--randomness", "00"], "16 MiB"),
        (&["sim", "--case", "/dev/zero"], "16 MiB"),
        (&["sim", "--scenario", "/dev/zero"], "1 MiB"),
    ] {
        refused(arguments[0], &limited(&folder, arguments), &format!("it has more than {limit}"));
    }
}
