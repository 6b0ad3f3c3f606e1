//! `docs/errors`: one page a code, each with a case that a test produces.
//!
//! The case is a golden runbook (`tests/golden`), whose exact message `bad_input` asserts, or a
//! text (`tests/shown/cases`) that some test asserts with `shown::case("RBnnnn", ...)`.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use serde_json::Value;

use crate::{files, holds_only, is_fresh, name, printed_json, root};

const INTRO: &str = "# Error codes

Made by `make renew`, from the sources and from what tests produce. `runbook explain CODE` tells of
a code on a terminal.

";

fn codes() -> Vec<Value> {
    printed_json(&["explain", "--format", "json"]).as_array().unwrap().clone()
}

fn word<'a>(info: &'a Value, key: &str) -> &'a str {
    info[key].as_str().unwrap()
}

/// What a page shows.
enum Case {
    /// A runbook and what is said about it.
    Golden { file: String, runbook: String, said: String },
    /// What is said.
    Text(String),
}

/// The case of each code: the golden with the fewest problems, or the asserted text.
fn cases() -> BTreeMap<String, Case> {
    let mut cases = BTreeMap::new();
    for file in files(&shown::folder(), "txt") {
        let text = std::fs::read_to_string(&file).unwrap();
        cases.insert(file.file_stem().unwrap().to_str().unwrap().to_owned(), Case::Text(text));
    }
    let mut goldens: Vec<(usize, String, String)> = files(&root().join("tests/golden"), "stderr")
        .into_iter()
        .map(|file| {
            let said = std::fs::read_to_string(&file).unwrap();
            (said.matches("[RB").count(), name(&file).to_owned(), said)
        })
        .collect();
    goldens.sort();
    for (_, stderr, said) in goldens.into_iter().rev() {
        let file = stderr.replace(".stderr", ".yaml");
        let runbook = std::fs::read_to_string(root().join("tests/golden").join(&file)).unwrap();
        for code in codes_in(&said) {
            let (file, runbook, said) = (file.clone(), runbook.clone(), said.clone());
            cases.insert(code, Case::Golden { file, runbook, said });
        }
    }
    cases
}

/// The codes that a message carries.
fn codes_in(said: &str) -> BTreeSet<String> {
    said.match_indices("[RB")
        .filter_map(|(at, _)| said.get(at + 1..at + 7))
        .map(str::to_owned)
        .collect()
}

#[test]
fn each_code_has_a_fresh_page() {
    let (codes, cases) = (codes(), cases());
    for info in &codes {
        let code = word(info, "code");
        is_fresh(&format!("errors/{code}.md"), page(info, cases.get(code)));
    }
    let line = |info: &Value| {
        let (code, title) = (word(info, "code"), word(info, "title"));
        format!("- [{code}]({code}.md): {title}\n")
    };
    is_fresh("errors/README.md", INTRO.to_owned() + &codes.iter().map(line).collect::<String>());
    holds_only("errors", codes.iter().map(|info| format!("{}.md", word(info, "code"))));
}

fn page(info: &Value, case: Option<&Case>) -> String {
    let head =
        format!("# {}: {}\n\n{}\n", word(info, "code"), word(info, "title"), word(info, "text"));
    let example = format!("```text\n{}\n```\n", word(info, "example"));
    let (provoked, said) = match case {
        Some(Case::Golden { file, runbook, said }) => {
            let said = said.split_once('\n').map(|(_exit_status, said)| said);
            (format!("`{file}`:\n\n```yaml\n{runbook}```\n"), said)
        }
        Some(Case::Text(said)) => (example, Some(said.as_str())),
        None => (example, None),
    };
    let said =
        said.iter().map(|it| format!("\n## What is said\n\n```text\n{}\n```\n", it.trim_end()));
    let said: String = said.collect();
    format!("{head}\n## What causes it\n\n{provoked}{said}")
}

#[test]
fn each_code_has_a_case_that_a_test_produces() {
    let codes: BTreeSet<String> =
        codes().iter().map(|info| word(info, "code").to_owned()).collect();
    let cases: BTreeSet<String> = cases().into_keys().collect();
    let strays: Vec<_> = cases.difference(&codes).collect();
    assert!(strays.is_empty(), "cases of codes that do not exist: {strays:?}");
    let missing: Vec<_> = codes.difference(&cases).collect();
    assert!(
        missing.is_empty(),
        "{missing:?}: a code needs a golden runbook in `tests/golden`, or a test that says \
         `shown::case(\"RBnnnn\", ...)`; CONTRIBUTING.md tells how"
    );
}

#[test]
fn each_text_is_asserted_by_a_test() {
    let mut asserted = BTreeSet::new();
    for folder in ["cli", "engine", "model", "steps", "tests"] {
        asserted_in(&root().join(folder), &mut asserted);
    }
    let files = files(&shown::folder(), "txt");
    let texts = files.iter().map(|file| name(file).trim_end_matches(".txt").to_owned());
    assert_eq!(texts.collect::<BTreeSet<_>>(), asserted);
}

/// The codes of `shown::case("RBnnnn", ...)` below a folder, and all codes of a file that imports
/// `shown::case`.
fn asserted_in(folder: &Path, asserted: &mut BTreeSet<String>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            asserted_in(&path, asserted);
        } else if path.extension().is_some_and(|it| it == "rs") {
            let text = std::fs::read_to_string(&path).unwrap();
            // A file that imports it is all about cases.
            let call = if text.contains("use shown::case;") { "" } else { "shown::case(" };
            let calls =
                text.match_indices("\"RB").filter(|(at, _)| text[..*at].trim_end().ends_with(call));
            let codes = calls.filter_map(|(at, _)| text.get(at + 1..at + 7));
            let codes = codes.filter(|it| it[2..].bytes().all(|b| b.is_ascii_digit()));
            asserted.extend(codes.map(str::to_owned));
        }
    }
}
