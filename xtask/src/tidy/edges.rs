//! Allowed dependencies between the crates of the workspace.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use anyhow::Context;
use serde_json::Value;

use super::Finding;

/// The crates that each crate may depend on, all without their `grail-`; `xtask` is free. The operator's crate has
/// everything but the served world and what only the command needs, and the command everything but what is for tests.
#[rustfmt::skip]
const ALLOWED: &[(&str, &str)] = &[
    ("protocol", ""),
    ("terminal", ""),
    ("http", ""),
    ("folder", ""),
    ("verify", "protocol"),
    ("engine", "protocol"),
    ("cuda", "protocol engine"),
    ("miner", "protocol verify"),
    ("validator", "protocol verify miner"),
    ("golden", "protocol verify engine cuda"),
    ("wallet", "protocol miner"),
    ("config", "protocol miner wallet"),
    ("hub", "config http folder"),
    ("journal", "protocol miner validator folder"),
    ("live", "protocol verify miner validator engine cuda http terminal folder"),
    ("tape", "protocol verify miner validator terminal folder"),
    ("observe", "protocol verify miner config http terminal folder"),
    ("sim", "protocol verify miner validator engine"),
    ("bench", "protocol verify cuda live"),
    ("judging", "protocol verify miner validator sim"),
    ("swarm", "sim judging"),
    ("estimate", "protocol verify miner sim"),
    ("serve", "protocol verify miner validator engine sim http"),
    ("contract", "protocol miner"),
    ("loopback", "protocol serve"),
    ("debugger", "protocol verify miner sim tape terminal folder"),
    ("operator",
        "protocol verify miner validator wallet config journal live tape observe sim estimate debugger terminal \
         http hub folder engine cuda"),
    ("network", "protocol validator serve operator terminal"),
    ("grail",
        "protocol verify miner validator engine cuda golden bench wallet config journal live tape observe sim \
         swarm estimate judging serve debugger operator network terminal http hub folder"),
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
    let metadata = super::output_of(root, "cargo", &["metadata", "--no-deps", "--format-version", "1"])?;
    let members = members(&serde_json::from_str(&metadata)?).context("`cargo metadata` lacks a field")?;
    Ok(findings_among(&members))
}

/// Returns the members that `cargo metadata` names.
fn members(metadata: &Value) -> Option<Vec<Member>> {
    let root = metadata["workspace_root"].as_str()?;
    let packages = metadata["packages"].as_array()?;
    let names: BTreeSet<&str> = packages.iter().filter_map(|package| package["name"].as_str()).collect();
    let member = |package: &Value| {
        let manifest = package["manifest_path"].as_str()?;
        let manifest = manifest.strip_prefix(root).unwrap_or(manifest).trim_start_matches('/').to_owned();
        let mut member = Member { name: package["name"].as_str()?.to_owned(), manifest, ..Member::default() };
        for dependency in package["dependencies"].as_array()? {
            let name = dependency["name"].as_str()?;
            if names.contains(name) {
                let is_development = dependency["kind"].as_str() == Some("dev");
                let of_kind = if is_development { &mut member.development } else { &mut member.normal };
                of_kind.insert(name.to_owned());
            }
        }
        Some(member)
    };
    packages.iter().map(member).collect()
}

fn findings_among(members: &[Member]) -> Vec<Finding> {
    members.iter().flat_map(|member| forbidden(member).into_iter().chain(cycles(member, members))).collect()
}

fn short(name: &str) -> &str {
    name.strip_prefix("grail-").unwrap_or(name)
}

fn forbidden(member: &Member) -> Vec<Finding> {
    if member.name == FREE {
        return Vec::new();
    }
    let Some((_, allowed)) = ALLOWED.iter().find(|(name, _)| *name == short(&member.name)) else {
        let what = format!("the crate {} has no place in the layout", member.name);
        return vec![Finding::new(&member.manifest, 1, what, "add it to the table in xtask/src/tidy/edges.rs")];
    };
    let forbidden = member.normal.iter().filter(|name| !allowed.split(' ').any(|allowed| allowed == short(name)));
    let finding = |name: &String| {
        let what = format!("{} may not depend on {name}", member.name);
        Finding::new(&member.manifest, 1, what, "move the code to where both may reach it, or pass data instead")
    };
    forbidden.map(finding).collect()
}

/// Cargo allows circles of dev-dependencies; a test that needs one is in the wrong crate.
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
        let of = |(name, allowed): &(&str, &str)| member(name, &allowed.split_whitespace().collect::<Vec<_>>(), &[]);
        let mut members: Vec<Member> = ALLOWED.iter().map(of).collect();
        members.push(member(FREE, &["grail", "sim"], &[]));
        assert_eq!(findings_among(&members), []);
    }

    #[test]
    fn members_are_read_with_their_kinds_of_edges() {
        let metadata = serde_json::json!({"workspace_root": "/w", "packages": [
            {"name": "a", "manifest_path": "/w/crates/a/Cargo.toml", "dependencies": [
                {"name": "b", "kind": null}, {"name": "c", "kind": "dev"}, {"name": "serde", "kind": null},
                {"name": "c", "kind": "build"},
            ]},
            {"name": "b", "manifest_path": "/w/Cargo.toml", "dependencies": []},
            {"name": "c", "manifest_path": "/w/c/Cargo.toml", "dependencies": []},
        ]});
        let members = members(&metadata).unwrap();
        assert_eq!(members[0].manifest, "crates/a/Cargo.toml");
        assert_eq!(members[0].normal, BTreeSet::from(["b", "c"].map(str::to_owned)));
        assert_eq!(members[0].development, BTreeSet::from(["c".to_owned()]));
        assert_eq!(members[1].manifest, "Cargo.toml");
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
