//! Code that fuzz targets share: files with valid checksums, which no fuzzer finds by itself.

/// Returns a file of `crates/folder/src/frames.rs`, written by its description there: header, and one frame for each
/// payload.
pub fn framed(magic: &[u8; 8], version: u32, payloads: &[&[u8]]) -> Vec<u8> {
    let mut file = [&magic[..], &version.to_le_bytes()].concat();
    file.extend(crc32fast::hash(&file).to_le_bytes());
    for payload in payloads {
        let length = u32::try_from(payload.len()).expect("inputs are small");
        let head = [&b"\xf7Rec"[..], &length.to_le_bytes(), &crc32fast::hash(payload).to_le_bytes()].concat();
        file.extend(&head);
        file.extend(crc32fast::hash(&head).to_le_bytes());
        file.extend(*payload);
    }
    file
}
