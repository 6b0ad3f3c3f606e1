//! `docs/steps`: one page a kind; and each page's example in a whole runbook.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use serde_json::Value;

use crate::{holds_only, is_fresh, printed, printed_json};

const INTRO: &str = "# Step kinds

Made from the sources by `make renew`. `runbook steps` shows the same on a terminal.

";

fn kinds() -> Vec<Value> {
    printed_json(&["steps", "--format", "json"]).as_array().unwrap().clone()
}

fn word<'a>(value: &'a Value, key: &str) -> &'a str {
    value[key].as_str().unwrap_or_default()
}

#[test]
fn each_kind_has_a_fresh_page() {
    let kinds = kinds();
    let names = kinds.iter().map(|kind| word(kind, "kind"));
    for kind in names.clone() {
        is_fresh(&format!("steps/{kind}.md"), printed(&["steps", kind, "--format", "markdown"]));
    }
    is_fresh("steps/README.md", INTRO.to_owned() + &printed(&["steps", "--format", "markdown"]));
    holds_only("steps", names.map(|kind| format!("{kind}.md")));
}

/// What the example of `runbook.include` includes.
const FAILBACK: &str = "version: 1
name: failback
params: {region: {type: string}}
steps: [{id: promote, uses: flow.pass, with: {values: {in: \"{{ params.region }}\"}}}]
";

/// What the rules on safety may ask for before the example.
const BEFORE: &str = "  - {id: said, uses: human.approve, with: {prompt: Go?}}
  - id: shut_out
    uses: command.run
    with: {argv: [shut-out], plays: [fence, prove_set, prove_writable], idempotent: true}
";
/// And after it.
const AFTER: &str = "  - {id: seen, uses: http.check, with: {url: \"https://app.example.com\"}}\n";

/// The example in a runbook that declares what it names: connections, stores, secrets,
/// parameters; and has the steps that it needs around it.
#[test]
fn each_example_is_valid_in_a_runbook() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("failback.yaml"), FAILBACK).unwrap();
    for kind in kinds() {
        let file = folder.path().join(format!("{}.yaml", word(&kind, "kind")));
        let text = around(&kind);
        std::fs::write(&file, &text).unwrap();
        let checked = std::process::Command::new(env!("CARGO_BIN_EXE_runbook"))
            .args(["validate", file.to_str().unwrap()])
            .output()
            .unwrap();
        let problems = String::from_utf8(checked.stderr).unwrap();
        assert!(checked.status.success() && problems.is_empty(), "{problems}\n{text}");
    }
}

fn around(kind: &Value) -> String {
    let (example, footprint) = (word(kind, "example"), &kind["footprint_of_example"]);
    let mut text = "version: 1\nname: example\n".to_owned();
    section(&mut text, "secrets", named(example, "secrets."), |_| "{env: A_SECRET}".to_owned());
    section(&mut text, "params", named(example, "params."), |_| {
        "{type: string, default: latest}".to_owned()
    });
    let connections = footprint["connections"].as_array().into_iter().flatten();
    let scratch: BTreeSet<String> = connections
        .clone()
        .filter(|used| used["must_be_unprotected"] == true)
        .map(|used| word(used, "name").to_owned())
        .collect();
    let connections = connections.map(|used| word(used, "name").to_owned()).collect();
    section(&mut text, "connections", connections, |name| {
        format!("{{host: db, protected: {}}}", !scratch.contains(name))
    });
    let stores = footprint["stores"].as_array().into_iter().flatten();
    let stores = stores.map(|name| name.as_str().unwrap().to_owned()).collect();
    section(&mut text, "stores", stores, |_| "{url: \"file:///backups\"}".to_owned());
    let example: String = example.lines().map(|line| format!("  {line}\n")).collect();
    text + "steps:\n" + BEFORE + &example + AFTER
}

/// The names after `prefix` in the templates of `text`.
fn named(text: &str, prefix: &str) -> BTreeSet<String> {
    let name = |rest: &str| {
        rest.split(|c: char| !c.is_alphanumeric() && c != '_').next().unwrap().to_owned()
    };
    let templates = text.split("{{").skip(1).filter_map(|rest| rest.split("}}").next());
    let read = templates.flat_map(|inner| inner.match_indices(prefix).map(move |at| (inner, at.0)));
    read.map(|(inner, at)| name(&inner[at + prefix.len()..])).collect()
}

fn section(
    text: &mut String,
    title: &str,
    names: BTreeSet<String>,
    value: impl Fn(&str) -> String,
) {
    if !names.is_empty() {
        writeln!(text, "{title}:").unwrap();
    }
    for name in names {
        writeln!(text, "  {name}: {}", value(&name)).unwrap();
    }
}
