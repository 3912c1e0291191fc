//! The file journal on real files: the contract, crashes, damage at every byte, rotation, one writer.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::task::{Context, Waker};

use grail_contract as contract;
use grail_journal::{FileJournal, JournalFileError, Opened, SetAside, records_in, records_of};
use grail_miner::ports::{Journal, JournalRecord};
use grail_protocol::rollout::{
    Beacon, BeaconRound, Commit, ModelReference, Proof, Rollout, RolloutMeta, SatProblem, WindowContext,
};
use grail_protocol::signature::Hotkey;

const HOTKEY: Hotkey = Hotkey::from_bytes([9; 32]);

fn block_on<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(future)
}

fn open(folder: &Path) -> Result<FileJournal, JournalFileError> {
    FileJournal::open(folder, HOTKEY)
}

fn load(folder: &Path) -> Result<(Opened, Vec<JournalRecord>), JournalFileError> {
    let journal = open(folder)?;
    Ok((journal.opened(), block_on(journal.load()).unwrap()))
}

fn file(folder: &Path) -> PathBuf {
    folder.join(format!("{}.journal", HOTKEY.to_ss58()))
}

fn window(window_start: u64) -> JournalRecord {
    JournalRecord::Window(WindowContext {
        hotkey: HOTKEY,
        window_start,
        block_hash: format!("0x{}", "ab".repeat(32)),
        randomness: "cd".repeat(32),
        use_drand: true,
    })
}

fn started(window_start: u64) -> JournalRecord {
    JournalRecord::UploadStarted { window_start, digest: String::new(), groups: 1 }
}

fn rollout(rollout_index: u32) -> Rollout {
    let randomness = "cd".repeat(32);
    let meta = RolloutMeta {
        trajectory: vec![(0, vec![true, false], 1.135)],
        total_reward: -0.2,
        advantage: 0.1 + 0.2,
        success: true,
        token_logprobs: vec![0.0, -0.0, -5e-324, f64::MIN_POSITIVE, -1.797_693_134_862_315_7e308, 2.0_f64.powi(-1074)],
        prompt_length: 3,
        completion_length: 3,
        satisfied_clauses: 1,
        assignment: vec![true, false],
    };
    Rollout {
        window_start: 30,
        block: 41,
        nonce: u64::MAX,
        sat_seed: "5F-0xab-30 ≤".to_owned(),
        difficulty: 0.600_000_000_000_000_1,
        block_hash: format!("0x{}", "ab".repeat(32)),
        randomness: randomness.clone(),
        use_drand: true,
        rollout_group: 3,
        rollout_index,
        total_in_group: 4,
        commit: Commit {
            tokens: vec![0, 151_645, u32::MAX],
            s_vals: vec![2_147_483_646, 0, 1],
            model: ModelReference { name: "Qwen/Qwen3-4B-Instruct-2507".to_owned(), layer_index: -1 },
            signature: "ef".repeat(64),
            beacon: Beacon { randomness: randomness.clone() },
            sat_problem: SatProblem {
                seed: "12".repeat(32),
                num_vars: 2,
                clauses: vec![vec![1, -2], vec![]],
                difficulty: 0.3,
            },
            rollout: meta,
        },
        proof: Proof { round_r1: BeaconRound { round: 2, randomness }, indices: vec![0, 5] },
        timestamp: 1_758_700_000.123_456_7,
        challenge: "challenge".to_owned(),
        hotkey: HOTKEY.to_ss58(),
        signature: "01".repeat(64),
    }
}

fn records() -> Vec<JournalRecord> {
    let digest = "0f".repeat(32);
    vec![
        window(30),
        JournalRecord::Group { window_start: 30, rollouts: vec![rollout(0), rollout(1)].into() },
        JournalRecord::UploadStarted { window_start: 30, digest: digest.clone(), groups: 7 },
        JournalRecord::UploadDone { window_start: 30, digest: digest.clone() },
        JournalRecord::UploadAbandoned { window_start: 30, digest, why: "it is not in the bucket".to_owned() },
        JournalRecord::WindowClosed { window_start: 30 },
    ]
}

/// Returns a folder with a journal of `records`, its content, and the file's length after the header and each record.
fn written(records: &[JournalRecord]) -> (tempfile::TempDir, Vec<u8>, Vec<usize>) {
    let folder = tempfile::tempdir().unwrap();
    let journal = open(folder.path()).unwrap();
    let length = || fs::metadata(file(folder.path())).unwrap().len() as usize;
    let mut ends = vec![length()];
    for record in records {
        block_on(journal.append(record)).unwrap();
        ends.push(length());
    }
    drop(journal);
    let content = fs::read(file(folder.path())).unwrap();
    (folder, content, ends)
}

/// Makes this the journal's content, in a new file, because some file systems flush a file that is truncated and
/// written again.
fn crashed_with(folder: &Path, content: &[u8]) {
    fs::remove_file(file(folder)).unwrap();
    fs::write(file(folder), content).unwrap();
}

/// Returns how many records end at or before `length`.
fn whole(ends: &[usize], length: usize) -> usize {
    ends[1..].iter().filter(|end| **end <= length).count()
}

#[test]
fn the_contract_holds() {
    let folder = tempfile::tempdir().unwrap();
    block_on(contract::journal(&open(folder.path()).unwrap(), &records()));
    assert_eq!(load(folder.path()).unwrap(), (Opened { records: records().len(), torn_bytes: 0 }, records()));
}

#[test]
fn floats_come_back_bit_for_bit() {
    let (folder, ..) = written(&records());
    let (_, loaded) = load(folder.path()).unwrap();
    let JournalRecord::Group { rollouts, .. } = &loaded[1] else { panic!("{:?}", loaded[1]) };
    let bits = |rollout: &Rollout| -> Vec<u64> {
        let meta = &rollout.commit.rollout;
        let scalars = [meta.advantage, rollout.difficulty, rollout.timestamp, meta.trajectory[0].2];
        meta.token_logprobs.iter().chain(&scalars).map(|value| value.to_bits()).collect()
    };
    assert_eq!(bits(&rollouts[0]), bits(&rollout(0)));
}

#[test]
fn a_crash_loses_the_unfinished_record_alone() {
    let (folder, content, ends) = written(&records());
    // Every cut costs a sync, so those far from a record's ends are sampled; the framing's own tests take them all.
    let near_an_end = |length: usize| length < 40 || ends.iter().any(|end| end.abs_diff(length) < 20);
    for length in (0..content.len()).filter(|length| near_an_end(*length) || length % 23 == 0) {
        crashed_with(folder.path(), &content[..length]);
        let (opened, loaded) = load(folder.path()).unwrap();
        let expected = whole(&ends, length);
        assert_eq!(loaded, records()[..expected], "cut at {length}");
        let start = if length < ends[0] { 0 } else { ends[expected] };
        assert_eq!(opened, Opened { records: expected, torn_bytes: (length - start) as u64 }, "cut at {length}");
        assert_eq!(load(folder.path()).unwrap().0.torn_bytes, 0, "the tail of {length} was not cut off permanently");
    }
}

#[test]
fn a_journal_continues_after_a_crash() {
    let (folder, content, ends) = written(&records());
    for length in [3, ends[0], ends[1] + 5, ends[3] - 1] {
        crashed_with(folder.path(), &content[..length]);
        let journal = open(folder.path()).unwrap();
        block_on(journal.append(&records()[2])).unwrap();
        drop(journal);
        let expected = [&records()[..whole(&ends, length)], &records()[2..3]].concat();
        assert_eq!(load(folder.path()).unwrap().1, expected, "cut at {length}");
    }
}

#[test]
fn a_tail_whose_blocks_never_reached_the_disk_is_torn() {
    let (folder, content, ends) = written(&records());
    let before_last = records().len() - 1;
    let last = ends[before_last];
    for block in [1, 7, 16, 64] {
        for start in (last..content.len()).step_by(block) {
            let mut image = content.clone();
            let end = (start + block).min(content.len());
            image[start..end].fill(0);
            crashed_with(folder.path(), &image);
            let loaded = load(folder.path()).unwrap().1;
            let intact = image == content;
            assert_eq!(loaded, records()[..before_last + usize::from(intact)], "{block} bytes lost at {start}");
        }
    }
}

#[test]
fn a_flipped_byte_costs_the_last_record_or_sets_the_journal_aside() {
    let (folder, content, ends) = written(&records());
    let before_last = records().len() - 1;
    let last = ends[before_last];
    for at in 0..content.len() {
        for mask in [0x01, 0x80, 0xff] {
            let mut image = content.clone();
            image[at] ^= mask;
            crashed_with(folder.path(), &image);
            let journal = open(folder.path()).unwrap();
            let loaded = block_on(journal.load()).unwrap();
            match journal.set_aside() {
                None => {
                    assert!(at >= last, "byte {at} of {} was taken for a torn tail", content.len());
                    assert_eq!(loaded, records()[..before_last]);
                    assert_eq!(journal.opened().torn_bytes as usize, content.len() - last);
                }
                Some(SetAside { path, .. }) => {
                    assert!(at < last, "byte {at} of the tail was taken for damage");
                    assert_eq!(fs::read(path).unwrap(), image, "a damaged file was altered");
                    assert_eq!((loaded, journal.opened()), (vec![], Opened { records: 0, torn_bytes: 0 }));
                }
            }
        }
    }
}

#[test]
fn after_damage_another_journal_starts_and_continues() {
    let (folder, content, ends) = written(&records());
    let mut image = content;
    image[ends[1] + 20] ^= 1;
    crashed_with(folder.path(), &image);
    let journal = open(folder.path()).unwrap();
    let SetAside { path, why } = journal.set_aside().unwrap().clone();
    assert!(why.contains(&format!("the record at byte {} is damaged", ends[1])), "{why}");
    block_on(journal.append(&window(60))).unwrap();
    drop(journal);
    let (opened, loaded) = load(folder.path()).unwrap();
    assert_eq!((opened.records, loaded), (1, vec![window(60)]));
    // Damaged once more: unreadable files must not fill the disk.
    crashed_with(folder.path(), b"GRAILJNL and then something else");
    assert_eq!(open(folder.path()).unwrap().set_aside().unwrap().path, path);
    assert_eq!(fs::read(path).unwrap(), b"GRAILJNL and then something else");
}

#[test]
fn another_window_begins_a_file_and_old_ones_go() {
    let folder = tempfile::tempdir().unwrap();
    let journal = open(folder.path()).unwrap();
    for start in [30, 30, 60, 90, 120, 150] {
        block_on(journal.append(&window(start))).unwrap();
        block_on(journal.append(&started(start))).unwrap();
    }
    assert_eq!(block_on(journal.load()).unwrap(), [window(150), started(150)]);
    drop(journal);
    let mut names: Vec<String> = fs::read_dir(folder.path())
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap().replace(&HOTKEY.to_ss58(), ""))
        .collect();
    names.sort();
    assert_eq!(names, [".journal", ".journal.1", ".journal.2", ".journal.3", ".lock"]);
    fs::rename(folder.path().join(format!("{}.journal.3", HOTKEY.to_ss58())), file(folder.path())).unwrap();
    assert_eq!(load(folder.path()).unwrap().1[0], window(60));
}

/// A writer starts another file in steps; a reader between two of them finds every window once.
#[test]
fn a_reader_finds_every_window_while_files_grow_older() {
    let folder = tempfile::tempdir().unwrap();
    let journal = open(folder.path()).unwrap();
    for start in [30, 60, 90] {
        block_on(journal.append(&window(start))).unwrap();
    }
    drop(journal);
    let old = |age: u32| folder.path().join(format!("{}.journal.{age}", HOTKEY.to_ss58()));
    let found = || [30, 60, 90].map(|start| records_of(folder.path(), &HOTKEY.to_ss58(), start).unwrap().len());
    assert_eq!(found(), [1; 3]);
    fs::rename(old(2), old(3)).unwrap();
    assert_eq!(found(), [1; 3]);
    fs::rename(old(1), old(2)).unwrap();
    assert_eq!(found(), [1; 3]);
    fs::hard_link(file(folder.path()), old(1)).unwrap();
    assert_eq!(found(), [1; 3]);
    // The current file grew before it was renamed.
    let all = fs::read(old(1)).unwrap();
    fs::remove_file(file(folder.path())).unwrap();
    fs::write(file(folder.path()), &all[..all.len() - 1]).unwrap();
    assert_eq!(found(), [1; 3]);
}

#[test]
fn the_window_is_known_again_after_a_restart() {
    let (folder, ..) = written(&records());
    block_on(open(folder.path()).unwrap().append(&window(30))).unwrap();
    assert_eq!(
        load(folder.path()).unwrap().1.len(),
        records().len() + 1,
        "a new context of the same window stays in its file"
    );
    block_on(open(folder.path()).unwrap().append(&window(60))).unwrap();
    assert_eq!(load(folder.path()).unwrap().1, [window(60)]);
}

#[test]
fn a_second_writer_learns_who_holds_the_lock() {
    let folder = tempfile::tempdir().unwrap();
    let first = open(folder.path()).unwrap();
    let error = open(folder.path()).unwrap_err();
    assert!(matches!(error, JournalFileError::Locked { .. }), "{error}");
    assert!(error.to_string().contains(&format!("process {}", std::process::id())), "{error}");
    let other = FileJournal::open(folder.path(), Hotkey::from_bytes([8; 32]));
    assert!(other.is_ok(), "another hotkey has a journal of its own");
    drop(first);
    open(folder.path()).unwrap();
}

#[test]
fn unawaited_appends_keep_their_order() {
    let folder = tempfile::tempdir().unwrap();
    let journal = open(folder.path()).unwrap();
    let all: Vec<JournalRecord> = (0..50).map(started).collect();
    let mut appends: Vec<_> = all.iter().map(|record| journal.append(record)).collect();
    for append in &mut appends {
        // Polled once and dropped later: the call has started, and is then canceled.
        let _ = append.as_mut().poll(&mut Context::from_waker(Waker::noop()));
    }
    drop(appends);
    assert_eq!(block_on(journal.load()).unwrap(), all);
}

#[test]
fn a_file_that_is_no_journal_is_moved_unchanged() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(file(folder.path()), b"my notes").unwrap();
    let journal = open(folder.path()).unwrap();
    assert_eq!(fs::read(&journal.set_aside().unwrap().path).unwrap(), b"my notes");
    // A reader without a running miner gets the journal's damage.
    let error = records_in(Path::new("5abc.journal"), b"my notes").unwrap_err();
    assert!(matches!(error, JournalFileError::Damaged { .. }), "{error}");
}

#[test]
fn links_and_pipes_are_no_journal_and_their_targets_stay_unchanged() {
    let elsewhere = tempfile::tempdir().unwrap();
    let victim = elsewhere.path().join("victim");
    fs::write(&victim, b"important").unwrap();
    for name in [".journal", ".journal.1", ".lock"] {
        let folder = tempfile::tempdir().unwrap();
        let planted = folder.path().join(format!("{}{name}", HOTKEY.to_ss58()));
        symlink(&victim, &planted).unwrap();
        assert!(matches!(open(folder.path()), Err(JournalFileError::Folder(_))), "{name}");
        fs::remove_file(&planted).unwrap();
        assert!(Command::new("mkfifo").arg(&planted).status().unwrap().success());
        // Neither the writer nor a reader waits for somebody at the other end.
        assert!(matches!(open(folder.path()), Err(JournalFileError::Folder(_))), "{name}");
        let read = records_of(folder.path(), &HOTKEY.to_ss58(), 30);
        assert!(read.is_err() || name == ".lock", "{name}: {read:?}");
    }
    assert_eq!(fs::read(&victim).unwrap(), b"important");
}

#[test]
fn files_are_for_their_owner_alone() {
    let parent = tempfile::tempdir().unwrap();
    let folder = parent.path().join("data");
    let journal = open(&folder).unwrap();
    for start in [30, 60] {
        block_on(journal.append(&window(start))).unwrap();
    }
    assert_eq!(fs::metadata(&folder).unwrap().permissions().mode() & 0o777, 0o700);
    for entry in fs::read_dir(&folder).unwrap() {
        let entry = entry.unwrap();
        assert_eq!(entry.metadata().unwrap().permissions().mode() & 0o777, 0o600, "{:?}", entry.file_name());
    }
}
