//! `cargo xtask fixtures`: the fixtures' sums, and where the fixtures come from.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};

use anyhow::Context;
use grail_terminal::output;
use sha2::{Digest, Sha256};

/// The list of sums, in the format of `sha256sum`.
const SUMS: &str = "SHA256SUMS";
const README: &str = "README.md";

/// Folders of a source that are copied as they are, with their names under `fixtures`.
const FOLDERS: [(&str, &str); 4] =
    [("golden", "golden"), ("golden-proofs", "golden-proofs"), ("model", "model"), ("tokenizer", "tokenizer")];
/// Single files of a source.
const FILES: [(&str, &str); 10] = [
    ("chain/finney-spec365.scale", "chain/finney-spec365.scale"),
    ("chain/localnet-spec461.scale", "chain/localnet-spec461.scale"),
    ("chain/golden_vectors_spec461.json", "chain/golden_vectors_spec461.json"),
    ("chain/wallets/signature_vectors.json", "wallets/signature_vectors.json"),
    ("chain/wallets/root/cold1/hotkeys/hot1", "wallets/hot1"),
    ("chain/wallets/root/cold1/hotkeys/hot1pub.txt", "wallets/hot1pub.txt"),
    ("chain/wallets/root/cold1/hotkeys/hotenc", "wallets/hotenc"),
    ("chain/wallets/root/cold1/hotkeys/hotencpub.txt", "wallets/hotencpub.txt"),
    ("chain/wallets/hot1_ansible_vault", "wallets/hot1_ansible_vault"),
    ("chain/wallets/hot1_fernet_legacy", "wallets/hot1_fernet_legacy"),
];
/// Files that are kept compressed.
const COMPRESSED: [&str; 1] = ["model.safetensors"];
const ZSTD_LEVEL: i32 = 19;

/// Refreshes, records or verifies. Returns whether the fixtures match the sums.
pub(crate) fn run(fixtures: &Path, source: Option<&Path>, record: bool) -> anyhow::Result<bool> {
    if let Some(source) = source {
        copy_from(source, fixtures)?;
    }
    if record || source.is_some() {
        std::fs::write(fixtures.join(SUMS), sums_text(&sums_of(fixtures)?)).context("fixtures/SHA256SUMS")?;
    }
    let recorded = std::fs::read_to_string(fixtures.join(SUMS))
        .context("fixtures/SHA256SUMS cannot be read; record it with `cargo xtask fixtures --record`")?;
    let differences = differences(&parse_sums(&recorded), &sums_of(fixtures)?);
    for difference in &differences {
        output::line(difference);
    }
    output::line(format_args!("fixtures: {} files, {} differences", recorded.lines().count(), differences.len()));
    Ok(differences.is_empty())
}

/// Sum by path from `fixtures`, with `/` between its parts.
type Sums = BTreeMap<String, String>;

fn sums_of(fixtures: &Path) -> anyhow::Result<Sums> {
    let mut sums = Sums::new();
    for path in files_below(fixtures).context("fixtures cannot be listed")? {
        let parts: Vec<_> = path.strip_prefix(fixtures)?.iter().map(|part| part.to_string_lossy()).collect();
        let name = parts.join("/");
        if name != SUMS && name != README {
            let bytes = std::fs::read(&path).with_context(|| format!("{} cannot be read", path.display()))?;
            sums.insert(name, hex::encode(Sha256::digest(bytes)));
        }
    }
    Ok(sums)
}

fn sums_text(sums: &Sums) -> String {
    sums.iter().map(|(name, sum)| format!("{sum}  {name}\n")).collect()
}

fn parse_sums(text: &str) -> Sums {
    text.lines().filter_map(|line| line.split_once("  ")).map(|(sum, name)| (name.to_owned(), sum.to_owned())).collect()
}

fn differences(recorded: &Sums, found: &Sums) -> Vec<String> {
    let names: std::collections::BTreeSet<&String> = recorded.keys().chain(found.keys()).collect();
    let difference = |name: &String| {
        let what = match (recorded.get(name), found.get(name)) {
            (Some(a), Some(b)) if a == b => return None,
            (Some(_), Some(_)) => "is not the file that was recorded",
            (Some(_), None) => "is recorded and missing",
            _ => "is not recorded",
        };
        let remedy = "fetch it again, or run `cargo xtask fixtures --record` if the change is intended";
        Some(format!("fixtures/{name}:1: {what}: {remedy}"))
    };
    names.into_iter().filter_map(difference).collect()
}

fn copy_from(source: &Path, fixtures: &Path) -> anyhow::Result<()> {
    for (from, to) in FOLDERS {
        let from = source.join(from);
        for path in files_below(&from).with_context(|| format!("{} cannot be listed", from.display()))? {
            // The README here describes the copies, and the source's README the originals.
            if path.file_name().is_none_or(|name| name != README) {
                copy(&path, &fixtures.join(to).join(path.strip_prefix(&from)?))?;
            }
        }
    }
    for (from, to) in FILES {
        copy(&source.join(from), &fixtures.join(to))?;
    }
    Ok(())
}

fn copy(from: &Path, to: &Path) -> anyhow::Result<()> {
    let failed = || format!("{} cannot be copied to {}", from.display(), to.display());
    let bytes = std::fs::read(from).with_context(failed)?;
    if let Some(folder) = to.parent() {
        std::fs::create_dir_all(folder).with_context(failed)?;
    }
    let name = to.file_name().unwrap_or_default().to_string_lossy();
    if COMPRESSED.contains(&name.as_ref()) {
        let packed = to.with_file_name(format!("{name}.zst"));
        return compress(&bytes, &packed).with_context(failed);
    }
    std::fs::write(to, bytes).with_context(failed)
}

/// Writes `bytes` compressed, unless the file holds them already: another release of zstd packs them differently.
fn compress(bytes: &[u8], packed: &Path) -> io::Result<()> {
    let unchanged = std::fs::File::open(packed).and_then(zstd::decode_all).is_ok_and(|content| content == bytes);
    if unchanged { Ok(()) } else { std::fs::write(packed, zstd::encode_all(bytes, ZSTD_LEVEL)?) }
}

fn files_below(folder: &Path) -> io::Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    for entry in std::fs::read_dir(folder)? {
        let path = entry?.path();
        if path.is_dir() {
            files.extend(files_below(&path)?);
        } else {
            files.push(path);
        }
    }
    Ok(files)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sums(entries: &[(&str, &str)]) -> Sums {
        entries.iter().map(|(name, sum)| ((*name).to_owned(), (*sum).to_owned())).collect()
    }

    #[test]
    fn sums_are_written_as_they_are_read() {
        let sums = sums(&[("golden/prf.json", "ab"), ("wallets/x y.json", "cd")]);
        assert_eq!(sums_text(&sums), "ab  golden/prf.json\ncd  wallets/x y.json\n");
        assert_eq!(parse_sums(&sums_text(&sums)), sums);
    }

    #[test]
    fn changed_missing_and_new_files_are_distinguished() {
        let recorded = sums(&[("same", "1"), ("changed", "2"), ("missing", "3")]);
        let found = sums(&[("same", "1"), ("changed", "4"), ("new", "5")]);
        let differences = differences(&recorded, &found);
        assert_eq!(differences.len(), 3, "{differences:?}");
        assert!(differences[0].starts_with("fixtures/changed:1: is not the file"));
        assert!(differences[1].starts_with("fixtures/missing:1: is recorded and missing"));
        assert!(differences[2].starts_with("fixtures/new:1: is not recorded"));
    }
}
