//! The generated pages of `docs/`: fresh, whole, and true. `make renew` writes them anew.
#![expect(clippy::disallowed_methods, reason = "these tests read files and start the binary")]
#![expect(clippy::unwrap_used, reason = "in a test, a panic is the message")]

mod errors;
mod language;
mod runbooks;
mod steps;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;
use snapbox::Data;

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// What the binary prints on standard output.
fn printed(args: &[&str]) -> String {
    let output = Command::new(env!("CARGO_BIN_EXE_runbook")).args(args).output().unwrap();
    assert!(output.status.success(), "{args:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

fn printed_json(args: &[&str]) -> Value {
    serde_json::from_str(&printed(args)).unwrap()
}

/// Asserts that the page is `text`; with `SNAPSHOTS=overwrite`, makes it so.
#[track_caller]
fn is_fresh(page: &str, text: String) {
    let file = root().join("docs").join(page);
    snapbox::assert_data_eq!(text, Data::read_from(&file, None).raw());
}

/// Asserts that a folder of pages holds these and `README.md`, nothing that is left over.
#[track_caller]
fn holds_only(folder: &str, pages: impl IntoIterator<Item = String>) {
    let mut expected: BTreeSet<String> = pages.into_iter().collect();
    expected.insert("README.md".to_owned());
    let names = files(&root().join("docs").join(folder), "md");
    let found = names.iter().map(|file| name(file).to_owned()).collect::<BTreeSet<_>>();
    assert_eq!(found, expected);
}

/// The files of a folder with this extension, in order.
fn files(folder: &Path, extension: &str) -> Vec<PathBuf> {
    let paths = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let mut files: Vec<PathBuf> =
        paths.filter(|path| path.extension().is_some_and(|it| it == extension)).collect();
    files.sort();
    files
}

fn name(file: &Path) -> &str {
    file.file_name().unwrap().to_str().unwrap()
}
