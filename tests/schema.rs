//! The JSON Schema of a runbook: fresh, and judged by an independent validator.
#![expect(clippy::disallowed_methods, reason = "these tests read files and start the binary")]
#![expect(clippy::unwrap_used, reason = "in a test, a panic is the message")]

use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

const SCHEMA: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/schemas/runbook.schema.json");

fn yaml_files(folder: &str) -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join(folder);
    let paths = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let mut files: Vec<PathBuf> =
        paths.filter(|path| path.extension().is_some_and(|e| e == "yaml")).collect();
    files.sort();
    files
}

fn as_json(file: &Path) -> Value {
    serde_yaml::from_str(&std::fs::read_to_string(file).unwrap()).unwrap()
}

fn validator() -> jsonschema::Validator {
    let schema: Value = serde_json::from_str(&std::fs::read_to_string(SCHEMA).unwrap()).unwrap();
    jsonschema::validator_for(&schema).unwrap()
}

#[test]
fn the_schema_on_disk_is_what_the_types_say() {
    let output = Command::new(env!("CARGO_BIN_EXE_runbook")).arg("schema").output().unwrap();
    assert!(output.status.success());
    let fresh = String::from_utf8(output.stdout).unwrap();
    let renew = "renew it with `cargo run -- schema > schemas/runbook.schema.json`";
    assert!(fresh == std::fs::read_to_string(SCHEMA).unwrap(), "the schema is stale; {renew}");
}

#[test]
fn every_shipped_runbook_is_valid_by_the_schema() {
    let (validator, files) = (validator(), yaml_files("runbooks"));
    assert_eq!(files.len(), 3);
    for file in files {
        let problems: Vec<String> =
            validator.iter_errors(&as_json(&file)).map(|error| error.to_string()).collect();
        assert_eq!(problems, Vec::<String>::new(), "{}", file.display());
        let text = std::fs::read_to_string(&file).unwrap();
        assert!(
            text.starts_with("# yaml-language-server: $schema=../schemas/runbook.schema.json\n")
        );
    }
}

/// What the schema can express of the broken examples, it refuses too.
#[test]
fn broken_runbooks_are_refused_by_the_schema() {
    let validator = validator();
    for name in ["misspelt-key", "wrong-type", "unknown-step", "many-problems"] {
        let file = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("tests/golden/{name}.yaml"));
        assert!(!validator.is_valid(&as_json(&file)), "{name}");
    }
}
