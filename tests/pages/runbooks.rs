//! `docs/runbooks`: a page for every shipped runbook, written by hand; their list is made.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::path::Path;

use regex::Regex;

use crate::{files, holds_only, is_fresh, name, root};

const INTRO: &str = "# Runbooks that come along

Each is used as it is, with `-p name=value`; `runbook plan FILE` shows its parameters and what it
would do. A page tells when to take which, what it refuses, and shows a run.

";

/// A shipped runbook, as far as its page has to agree with it.
struct Shipped {
    name: String,
    description: String,
    params: BTreeSet<String>,
}

fn shipped() -> Vec<Shipped> {
    files(&root().join("runbooks"), "yaml").iter().map(|file| read(file)).collect()
}

fn read(file: &Path) -> Shipped {
    let text = std::fs::read_to_string(file).unwrap();
    let document: serde_json::Value = serde_yaml::from_str(&text).unwrap();
    let params = document["params"].as_object();
    Shipped {
        name: name(file).trim_end_matches(".yaml").to_owned(),
        description: document["description"].as_str().unwrap_or_default().to_owned(),
        params: params.into_iter().flatten().map(|(param, _)| param.clone()).collect(),
    }
}

#[test]
fn each_runbook_has_a_page_and_the_list_is_fresh() {
    let all = shipped();
    let mut list = INTRO.to_owned();
    writeln!(list, "| runbook | what it does |\n|---|---|").unwrap();
    for Shipped { name, description, .. } in &all {
        writeln!(list, "| [`{name}`]({name}.md) | {description} |").unwrap();
    }
    holds_only("runbooks", all.iter().map(|one| format!("{}.md", one.name)));
    is_fresh("runbooks/README.md", list);
}

#[test]
fn a_page_names_its_runbook_and_parameters_that_there_are() {
    let given = Regex::new(r"-p ([a-z_0-9]+)=").unwrap();
    for one in shipped() {
        let page = root().join("docs/runbooks").join(format!("{}.md", one.name));
        let page = std::fs::read_to_string(page).unwrap();
        assert!(page.starts_with(&format!("# {}\n", one.name)), "{}", one.name);
        let command = format!("runbook run runbooks/{}.yaml", one.name);
        assert!(page.contains(&command), "the page of `{}` shows no run", one.name);
        for found in given.captures_iter(&page) {
            assert!(one.params.contains(&found[1]), "{}: no parameter `{}`", one.name, &found[1]);
        }
    }
}

/// The rules of `validate` hold for what is shipped: not one warning.
#[test]
fn each_runbook_is_valid_without_a_warning() {
    for one in shipped() {
        let file = root().join("runbooks").join(format!("{}.yaml", one.name));
        let said = std::process::Command::new(env!("CARGO_BIN_EXE_runbook"))
            .args(["validate", file.to_str().unwrap()])
            .output()
            .unwrap();
        let said = String::from_utf8(said.stderr).unwrap();
        assert_eq!(said, "", "{}", one.name);
    }
}

/// The README names every one of them.
#[test]
fn the_readme_lists_each_runbook() {
    let readme = std::fs::read_to_string(root().join("README.md")).unwrap();
    for one in shipped() {
        assert!(readme.contains(&format!("| `{}` |", one.name)), "{}", one.name);
    }
}
