//! The JSON Schema of a runbook: fresh, and judged by an independent validator.
#![expect(clippy::disallowed_methods, reason = "these tests read files and start the binary")]
#![expect(clippy::unwrap_used, reason = "in a test, a panic is the message")]

use std::collections::BTreeSet;
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
    assert!(files.len() >= 10, "the shipped runbooks are there: {}", files.len());
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

/// Broken runbooks that a schema takes for good ones, because it cannot express what is wrong:
/// names that do not exist, orders, templates, values that contradict each other.
const BEYOND: &str = "
    aws-region-outside braces-in-if change-unapproved cycle docker-beside-url drill-lacks-output
    drill-missing drill-only-problem drill-skips-what-is-read drill-unknown-names duplicate-id
    foreach-indexed foreach-may-be-skipped foreach-name-outside foreach-needs-item
    foreach-needs-loose-item foreach-no-field foreach-no-list foreach-one-bad-item
    foreach-over-outputs foreach-over-vars foreach-reserved-name foreach-same-id
    foreach-too-many foreach-unknown-output foreach-unknown-param handler-asks handler-destroys
    handler-without-default include-cycle include-keys include-missing-file
    include-missing-param include-not-taken-over include-outputs include-outside
    include-param-of-a-step include-problem-inside include-template include-unknown-param
    include-wrong-param leaving-region may-be-skipped merge-key milestone-twice missing-output
    missing-parameter not-supported-yet nothing-verifies opaque-retry params-file-broken
    params-file-list params-file-missing params-file-unknown promotion-unfenced
    protected-scratch prune-unproven region-outside reserved-name review-overdue
    rto-allowed-to-be-missed rto-impossible s3-copy schedule-drill-missing schedule-never
    schedule-time-zone schedule-unattended secret-in-argv store-region tag time-without-zone
    time-without-zone-given tolerated-without-default traffic-too-early
    unapproved-after-a-failure unapproved-in-a-drill unapproved-in-parts unapproved-perhaps
    undefined-connection undefined-name undo-reads-later ungraceful-promotion-unfenced
    unknown-filter unknown-store waiting-elsewhere
";

/// What the schema can express of the broken examples it refuses, and nothing else.
#[test]
fn the_schema_refuses_the_broken_runbooks_that_it_can_express() {
    let (validator, files) = (validator(), yaml_files("tests/golden"));
    assert!(files.len() >= 40, "the broken runbooks are there: {}", files.len());
    // What is no YAML 1.2 of one document is refused before any schema looks at it.
    let accepts = |file: &&PathBuf| {
        let text = std::fs::read_to_string(file).unwrap();
        serde_yaml::from_str::<Value>(&text).is_ok_and(|value| validator.is_valid(&value))
    };
    let accepted: BTreeSet<&str> = files
        .iter()
        .filter(accepts)
        .map(|file| file.file_stem().unwrap().to_str().unwrap())
        .collect();
    let beyond: BTreeSet<&str> = BEYOND.split_whitespace().collect();
    assert_eq!(accepted, beyond, "a golden runbook that no schema can refuse stands in `BEYOND`");
}

/// A base step, one case a kind, and nothing else: a misspelt key of a step is refused.
#[test]
fn a_step_is_a_base_with_one_case_a_kind() {
    let schema: Value = serde_json::from_str(&std::fs::read_to_string(SCHEMA).unwrap()).unwrap();
    let step = &schema["$defs"]["step"];
    assert_eq!(step["unevaluatedProperties"], false);
    assert_eq!(step["allOf"][0]["$ref"], "#/$defs/with_of_kind");
    let cases = schema["$defs"]["with_of_kind"]["allOf"].as_array().unwrap();
    for (case, kind) in cases.iter().zip(step["properties"]["uses"]["enum"].as_array().unwrap()) {
        assert_eq!(&case["if"]["properties"]["uses"]["const"], kind);
        let with = case["then"]["properties"]["with"]["$ref"].as_str().unwrap();
        assert!(schema.pointer(&with[1..]).is_some(), "{kind}");
    }
}
