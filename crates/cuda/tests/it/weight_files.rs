//! Weight files that the device's reader and the CPU's must both refuse.

use grail_cuda::weights::TensorFiles;
use grail_engine::weights::Checkpoint;

/// Headers and shapes that announce too much: both readers refuse before they allocate it.
#[test]
fn weight_files_that_announce_too_much_are_refused() {
    let file = |length: u64, header: &str| [&length.to_le_bytes(), header.as_bytes()].concat();
    let of_header = |header: &str| file(header.len() as u64, header);
    let tensor =
        |shape: &str, end: u64| format!(r#"{{"a":{{"dtype":"F32","shape":{shape},"data_offsets":[0,{end}]}}}}"#);
    let files = [
        file(u64::MAX, "{}"),
        file(1 << 40, "{}"),
        file(100_000_001, "{}"),
        of_header(&tensor("[4611686018427387904,4]", 16)),
        of_header(&tensor("[4611686018427387904]", u64::MAX)),
        of_header(&tensor("[2,2]", 16)),
        of_header(&format!("{}1", "[".repeat(100_000))),
    ];
    for (number, file) in files.into_iter().enumerate() {
        assert!(Checkpoint::from_bytes(&file, "foreign").is_err(), "file {number}");
        assert!(TensorFiles::from_bytes(file, "foreign").is_err(), "file {number}");
    }
}
