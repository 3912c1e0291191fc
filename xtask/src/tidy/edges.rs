//! Which crate of the workspace may depend on which.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use cargo_metadata::{DependencyKind, MetadataCommand};

use super::Finding;

/// The crates that each crate may depend on; `xtask` is free.
const ALLOWED: &[(&str, &[&str])] = &[
    ("grail-protocol", &[]),
    ("grail-verify", &["grail-protocol"]),
    ("grail-engine", &["grail-protocol"]),
    ("grail-cuda", &["grail-protocol", "grail-engine"]),
    ("grail-miner", &["grail-protocol", "grail-verify"]),
    ("grail-sim", &["grail-protocol", "grail-verify", "grail-miner", "grail-engine"]),
    ("grail", &["grail-protocol", "grail-verify", "grail-miner", "grail-engine", "grail-cuda", "grail-sim"]),
];
const FREE: &str = "xtask";

/// A member of the workspace with its dependencies on other members.
#[derive(Debug, Clone, Default)]
struct Member {
    name: String,
    manifest: String,
    normal: BTreeSet<String>,
    development: BTreeSet<String>,
}

pub(super) fn findings(root: &Path) -> anyhow::Result<Vec<Finding>> {
    let metadata = MetadataCommand::new().manifest_path(root.join("Cargo.toml")).no_deps().exec()?;
    let packages = metadata.workspace_packages();
    let names: BTreeSet<&str> = packages.iter().map(|package| package.name.as_str()).collect();
    let mut members = Vec::new();
    for package in &packages {
        let manifest = package.manifest_path.as_std_path();
        let manifest = manifest.strip_prefix(&metadata.workspace_root).unwrap_or(manifest).display().to_string();
        let mut member = Member { name: package.name.to_string(), manifest, ..Member::default() };
        for dependency in package.dependencies.iter().filter(|dependency| names.contains(dependency.name.as_str())) {
            let of_kind = match dependency.kind {
                DependencyKind::Development => &mut member.development,
                _ => &mut member.normal,
            };
            of_kind.insert(dependency.name.clone());
        }
        members.push(member);
    }
    Ok(findings_among(&members))
}

fn findings_among(members: &[Member]) -> Vec<Finding> {
    members.iter().flat_map(|member| forbidden(member).into_iter().chain(cycles(member, members))).collect()
}

fn forbidden(member: &Member) -> Vec<Finding> {
    if member.name == FREE {
        return Vec::new();
    }
    let Some((_, allowed)) = ALLOWED.iter().find(|(name, _)| *name == member.name) else {
        let what = format!("the crate {} has no place in the layout", member.name);
        return vec![Finding::new(&member.manifest, 1, what, "add it to the table in xtask/src/tidy/edges.rs")];
    };
    let forbidden = member.normal.iter().filter(|name| !allowed.contains(&name.as_str()));
    let finding = |name: &String| {
        let what = format!("{} may not depend on {name}", member.name);
        Finding::new(&member.manifest, 1, what, "move the code to where both may reach it, or pass data instead")
    };
    forbidden.map(finding).collect()
}

/// Cargo lets dev-dependencies go in circles; a test that needs one stands in the wrong crate.
fn cycles(member: &Member, members: &[Member]) -> Vec<Finding> {
    let by_name: BTreeMap<&str, &Member> = members.iter().map(|member| (member.name.as_str(), member)).collect();
    let leads_back = |start: &String| {
        let mut seen = BTreeSet::new();
        let mut ahead = vec![start.as_str()];
        while let Some(name) = ahead.pop() {
            if name == member.name {
                return true;
            }
            if let (true, Some(next)) = (seen.insert(name), by_name.get(name)) {
                ahead.extend(next.normal.iter().chain(&next.development).map(String::as_str));
            }
        }
        false
    };
    let finding = |name: &String| {
        let what = format!("the dev-dependency of {} on {name} closes a circle", member.name);
        Finding::new(&member.manifest, 1, what, "move the test to the crate that depends on both")
    };
    member.development.iter().filter(|name| leads_back(name)).map(finding).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn member(name: &str, normal: &[&str], development: &[&str]) -> Member {
        let owned = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
        Member {
            name: name.to_owned(),
            manifest: format!("{name}/Cargo.toml"),
            normal: owned(normal),
            development: owned(development),
        }
    }

    #[test]
    fn the_layout_itself_is_clean() {
        let mut members: Vec<Member> = ALLOWED.iter().map(|(name, allowed)| member(name, allowed, &[])).collect();
        members.push(member(FREE, &["grail", "grail-sim"], &[]));
        assert_eq!(findings_among(&members), []);
    }

    #[test]
    fn an_edge_against_the_layout_is_found() {
        let findings = findings_among(&[member("grail-protocol", &["grail-verify"], &[])]);
        assert_eq!(findings.len(), 1);
        assert!(findings[0].to_string().contains("grail-protocol may not depend on grail-verify"));
        assert_eq!(findings_among(&[member("grail-miner", &["grail-engine"], &[])]).len(), 1);
        assert_eq!(findings_among(&[member("grail-engine", &["grail"], &[])]).len(), 1);
    }

    #[test]
    fn an_unknown_crate_is_found() {
        assert!(findings_among(&[member("novelty", &[], &[])])[0].what.contains("novelty"));
    }

    #[test]
    fn dev_dependencies_may_go_anywhere_but_in_circles() {
        let sideways = [member("grail-protocol", &[], &[]), member("grail-engine", &[], &["grail-verify"])];
        assert_eq!(findings_among(&sideways), []);
        let circle = [
            member("grail-protocol", &[], &["grail-sim"]),
            member("grail-sim", &["grail-verify"], &[]),
            member("grail-verify", &["grail-protocol"], &[]),
        ];
        let findings = findings_among(&circle);
        assert_eq!(findings.len(), 1);
        assert_eq!(findings[0].path, "grail-protocol/Cargo.toml");
    }
}
