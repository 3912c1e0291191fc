//! `cargo xtask mutants`: apply each patch of `sim/mutants` to a copy of the tree, count the worlds until the simulator finds
//! the bug, and write the table. `--generated` tries the mutants that `cargo mutants` makes of the core instead: first with
//! the crate's own tests, and those that survive them with the same hunt.

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, bail, ensure};
use grail_terminal::output;

const FILE: &str = "docs/mutants.md";
const PATCHES: &str = "sim/mutants";
/// Folders of the copied tree and its build: below `target`, so that git ignores both.
const TREE: &str = "target/mutants/tree";
const BUILD: &str = "target/mutants/build";
/// Where `cargo mutants` builds the tests: a debug build, which must not wait for the hunt's.
const GENERATED_BUILD: &str = "target/mutants/generated";
/// Where `cargo mutants` writes what it found.
const GENERATED_OUT: &str = "target/mutants";
/// Its mutants that no test catches, as patches.
const SURVIVORS: &str = "target/mutants/survivors";
/// Worlds after which a bug counts as not found.
const SEEDS: &str = "2000";
const OPENING: &str = "\
# Planted bugs, and how soon the simulator finds them

Each bug is a patch in `sim/mutants`. `cargo xtask mutants` applies it to a copy of the tree and draws worlds from seed 0 on \
until something forbidden happens: a miner's, or a validator's where the patch says `Role: validator`. A bug that 2,000 worlds do not find fails the command, which writes this table.

| bug | what is wrong | of the reference | worlds | found by |
|---|---|---|---|---|
";
/// What the table's file holds from here on is written by hand, with the results of `--generated` in it.
const BY_HAND: &str = "\n## Generated mutants\n";
const CLOSING: &str = "
The reference's other faults, defaults that disagree and silence without -v, are none of the core's decisions; the tests of \
the configuration and of the command line are about them.
";
/// Files that `cargo mutants` changes: everything that decides.
const GENERATED: [&str; 5] = [
    "crates/miner/src/machine.rs",
    "crates/miner/src/machine/**/*.rs",
    "crates/miner/src/seal.rs",
    "crates/miner/src/policy.rs",
    "crates/folder/src/frames.rs",
];

/// A planted bug.
struct Mutant {
    name: String,
    patch: PathBuf,
    what: String,
    is_of_the_reference: bool,
    /// Whose worlds find it: a miner's, unless the patch says `Role: validator`.
    role: String,
    /// The case in `fixtures/cases` that was found by this bug, and must find it.
    case: Option<String>,
    /// The files that it changes, from the root.
    files: Vec<String>,
}

impl Mutant {
    fn read(patch: PathBuf) -> anyhow::Result<Self> {
        let text = fs::read_to_string(&patch).with_context(|| format!("{} cannot be read", patch.display()))?;
        let name = patch.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        let field = |name: &str| text.lines().find_map(|line| line.strip_prefix(name)).map(str::trim);
        let what = field("What is wrong:").with_context(|| format!("{name} does not start with `What is wrong:`"))?;
        let (what, is_of_the_reference) = (what.to_owned(), field("Of the reference:").is_some());
        let case = field("Case:").map(str::to_owned);
        let role = field("Role:").unwrap_or("miner").to_owned();
        let files = text.lines().filter_map(|line| line.strip_prefix("+++ b/")).map(str::to_owned).collect();
        Ok(Self { name, patch, what, is_of_the_reference, role, case, files })
    }

    /// Returns the number of worlds and the violation; none if no world, or not its case, finds the bug.
    fn hunt(&self, root: &Path) -> anyhow::Result<Option<(u64, String)>> {
        let applied = Command::new("git")
            .args(["apply", &format!("--directory={TREE}")])
            .arg(&self.patch)
            .current_dir(root)
            .status()
            .context("git cannot be started")?;
        ensure!(applied.success(), "{} does not apply; write it again for the present code", self.patch.display());
        let by_case =
            self.case.as_ref().map(|case| self.tried(root, &format!("fixtures/cases/{case}.case"))).transpose();
        let found = self.tried(root, SEEDS);
        self.files.iter().try_for_each(|file| copy(root, file))?;
        if by_case?.is_some_and(|found| found.is_none()) {
            output::line(format_args!("{}: its case does not find it", self.name));
            return Ok(None);
        }
        Ok(found?.map(|(seed, how)| (seed + 1, how)))
    }

    /// Returns the seed of a world with a violation, and the violation.
    fn tried(&self, root: &Path, worlds: &str) -> anyhow::Result<Option<(u64, String)>> {
        let hunted = Command::new("cargo")
            .args(["run", "--release", "--quiet", "--package", "grail-swarm", "--example", "hunt", "--", worlds])
            .arg(&self.role)
            .current_dir(root.join(TREE))
            .env("CARGO_TARGET_DIR", root.join(BUILD))
            .output()
            .context("cargo cannot be started")?;
        let found = String::from_utf8_lossy(&hunted.stdout);
        match (hunted.status.code(), found.trim().split_once('|')) {
            (Some(0), Some((seed, how))) => Ok(Some((seed.parse()?, how.to_owned()))),
            (Some(1), None) => Ok(None),
            _ => bail!("{} cannot be tried: {}", self.name, String::from_utf8_lossy(&hunted.stderr)),
        }
    }
}

/// Hunts for every bug, or for the named one. Returns whether each was found.
pub(crate) fn run(root: &Path, only: Option<&str>) -> anyhow::Result<bool> {
    let mutants = read_all(&root.join(PATCHES))?;
    let wanted: Vec<&Mutant> = mutants.iter().filter(|mutant| only.is_none_or(|only| only == mutant.name)).collect();
    ensure!(!wanted.is_empty(), "there is no such bug; see {PATCHES}");
    copy_tree(root)?;
    let (mut table, mut found) = (OPENING.to_owned(), 0);
    for mutant in &wanted {
        let result = mutant.hunt(root)?;
        found += usize::from(result.is_some());
        let (worlds, how) = result.map_or(("not found".to_owned(), String::new()), |(n, how)| (n.to_string(), how));
        output::line(format_args!("{}: {worlds}, {how}", mutant.name));
        let reference = if mutant.is_of_the_reference { "yes" } else { "" };
        let how = how.replace('|', "/");
        let _ = writeln!(table, "| {} | {} | {reference} | {worlds} | {how} |", mutant.name, mutant.what);
    }
    if only.is_none() {
        let known = fs::read_to_string(root.join(FILE)).unwrap_or_default();
        let by_hand = known.find(BY_HAND).map_or("", |at| &known[at..]);
        fs::write(root.join(FILE), table + CLOSING + by_hand).with_context(|| format!("{FILE} cannot be written"))?;
        output::line(format_args!("mutants: {found} of {} found; the table is in {FILE}", wanted.len()));
    }
    Ok(found == wanted.len())
}

/// Tries the mutants that `cargo mutants` makes of the core, or the share `shard` of them: with the crate's own tests, and
/// then with the hunt those that no test catches. Returns whether nothing survives both.
pub(crate) fn generated(root: &Path, shard: Option<&str>) -> anyhow::Result<bool> {
    // First, so that the survivors' patches apply however the work tree changes meanwhile.
    copy_tree(root)?;
    let mut command = Command::new("cargo");
    command.args(["mutants", "--package", "grail-miner", "--package", "grail-folder", "--output", GENERATED_OUT]);
    command.args(GENERATED.iter().flat_map(|files| ["--file", files]));
    // Every n-th mutant, so that each share has some of every file.
    command.args(shard.iter().flat_map(|shard| ["--sharding", "round-robin", "--shard", shard]));
    // The tests take a second whatever the level, and the core builds in a third of the time without it.
    command.arg("--cargo-arg=--config=profile.dev.package.grail-miner.opt-level=0");
    command.env("CARGO_TARGET_DIR", root.join(GENERATED_BUILD)).env("CARGO_INCREMENTAL", "1");
    let status = command.args(["--", "--lib"]).current_dir(root).status().context("cargo cannot be started")?;
    match status.code() {
        // 2 and 3: some were missed, or took too long, which counts as caught.
        Some(0 | 2 | 3) => {}
        Some(101) => bail!("`cargo mutants` is not installed; run: cargo install --locked cargo-mutants"),
        _ => bail!("`cargo mutants` failed: {status}"),
    }
    let survivors = survivors(root)?;
    let mut found = 0;
    for mutant in &survivors {
        let how = mutant.hunt(root)?;
        found += usize::from(how.is_some());
        let how = how.map_or("survives".to_owned(), |(worlds, how)| format!("{worlds} worlds, {how}"));
        output::line(format_args!("{}: {how}", mutant.what));
    }
    output::line(format_args!("mutants: the tests miss {}, and the simulator finds {found} of them", survivors.len()));
    Ok(found == survivors.len())
}

/// Returns the mutants that the tests missed, written as patches like those of `sim/mutants`.
fn survivors(root: &Path) -> anyhow::Result<Vec<Mutant>> {
    let (out, folder) = (root.join(GENERATED_OUT).join("mutants.out"), root.join(SURVIVORS));
    let text = fs::read(out.join("outcomes.json")).context("`cargo mutants` left no outcomes.json")?;
    let outcomes: serde_json::Value =
        serde_json::from_slice(&text).context("outcomes.json is not what was expected")?;
    if folder.exists() {
        fs::remove_dir_all(&folder).with_context(|| format!("{SURVIVORS} cannot be removed"))?;
    }
    fs::create_dir_all(&folder)?;
    let outcomes = outcomes["outcomes"].as_array().map_or(&[][..], Vec::as_slice);
    for (number, outcome) in outcomes.iter().filter(|outcome| outcome["summary"] == "MissedMutant").enumerate() {
        let mutant = &outcome["scenario"]["Mutant"];
        let texts = (mutant["name"].as_str(), mutant["file"].as_str(), outcome["diff_path"].as_str());
        let (Some(name), Some(file), Some(diff)) = texts else { bail!("outcomes.json does not name mutant {number}") };
        let diff = fs::read_to_string(out.join(diff)).with_context(|| format!("{diff} cannot be read"))?;
        // Its first two lines name the file and the mutant.
        let hunks = diff.splitn(3, '\n').nth(2).unwrap_or_default();
        let patch =
            format!("What is wrong: {name}\n\ndiff --git a/{file} b/{file}\n--- a/{file}\n+++ b/{file}\n{hunks}");
        fs::write(folder.join(format!("{number:04}.patch")), patch)?;
    }
    read_all(&folder)
}

/// Returns the patches of a folder, by name.
fn read_all(folder: &Path) -> anyhow::Result<Vec<Mutant>> {
    let entries = fs::read_dir(folder).with_context(|| format!("{} cannot be read", folder.display()))?;
    let mut patches: Vec<PathBuf> = entries.map(|entry| Ok(entry?.path())).collect::<anyhow::Result<_>>()?;
    patches.sort();
    patches.into_iter().map(Mutant::read).collect()
}

/// Copies every tracked file, as it is in the work tree.
fn copy_tree(root: &Path) -> anyhow::Result<()> {
    let tracked = Command::new("git").args(["ls-files", "-z"]).current_dir(root).output()?;
    ensure!(tracked.status.success(), "git cannot list the files; run this in a checkout");
    let tracked = String::from_utf8(tracked.stdout).context("a file's name is no text")?;
    if root.join(TREE).exists() {
        fs::remove_dir_all(root.join(TREE)).with_context(|| format!("{TREE} cannot be removed"))?;
    }
    tracked.split_terminator('\0').try_for_each(|file| copy(root, file))
}

/// Copies a file into the tree, unless it was removed and is still tracked.
fn copy(root: &Path, file: &str) -> anyhow::Result<()> {
    let (from, to) = (root.join(file), root.join(TREE).join(file));
    if !from.exists() {
        return Ok(());
    }
    fs::create_dir_all(to.parent().unwrap_or(root))?;
    fs::write(&to, fs::read(&from)?).with_context(|| format!("{} cannot be written", to.display()))
}
