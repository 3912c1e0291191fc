//! The validator's journal, opened, crashed and opened again.

use grail_journal::{ValidatorJournal, ValidatorJournalError};
use grail_protocol::signature::Hotkey;
use grail_validator::JournalRecord;
use grail_validator::ports::Journal;

const HOTKEY: Hotkey = Hotkey::from_bytes([7; 32]);

fn record(window: u64) -> JournalRecord {
    JournalRecord::Ended { window_start: 30 * window }
}

#[tokio::test]
async fn the_journal_returns_appended_records_and_forgets_old_ones() {
    let folder = tempfile::tempdir().unwrap();
    let open = || ValidatorJournal::open(folder.path(), HOTKEY);
    let journal = open().unwrap();
    assert!(matches!(open().err(), Some(ValidatorJournalError::InUse(_))));
    let records: Vec<JournalRecord> = (0..20).map(record).collect();
    for record in &records {
        journal.append(record).await.unwrap();
    }
    drop(journal);
    let mut reopened = open();
    // The thread that writes lets go of the lock when it is done.
    while matches!(reopened, Err(ValidatorJournalError::InUse(_))) {
        reopened = open();
    }
    assert_eq!(reopened.unwrap().load().await.unwrap(), records[7..]);
}

#[tokio::test]
async fn a_torn_record_is_left_out_and_a_damaged_journal_moved_aside() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join(format!("{}.validator", HOTKEY.to_ss58()));
    let open = || loop {
        match ValidatorJournal::open(folder.path(), HOTKEY) {
            Err(ValidatorJournalError::InUse(_)) => {}
            journal => return journal.unwrap(),
        }
    };
    let journal = open();
    for number in 1..=3 {
        journal.append(&record(number)).await.unwrap();
    }
    drop(journal);
    drop(open());
    let whole = std::fs::read(&path).unwrap();
    std::fs::write(&path, &whole[..whole.len() - 1]).unwrap();
    let torn = open();
    assert_eq!((torn.load().await.unwrap(), torn.set_aside()), (vec![record(1), record(2)], None));
    drop(torn);
    drop(open());
    let mut damaged = whole.clone();
    damaged[20] ^= 1;
    std::fs::write(&path, &damaged).unwrap();
    let new = open();
    assert_eq!(new.load().await.unwrap(), []);
    assert_eq!(std::fs::read(new.set_aside().unwrap()).unwrap(), damaged);
}
