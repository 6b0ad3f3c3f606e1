//! Steps without a dependency run at the same time.

use jiff::Timestamp;
use serde_json::Value;

use crate::bed::{Bed, of_type};

const RUNBOOK: &str = r#"
version: 1
name: two-at-once
steps:
  - {id: left, uses: command.run, needs: [], with: {argv: [sleep, "1"], idempotent: true}}
  - {id: right, uses: command.run, needs: [], with: {argv: [sleep, "1"], idempotent: true}}
  - {id: after, uses: command.run, needs: [left, right], with: {argv: ["true"], idempotent: true}}
"#;

fn at(journal: &[Value], kind: &str, step: &str) -> Timestamp {
    let found = of_type(journal, kind).into_iter().find(|record| record["data"]["step"] == step);
    let record = found.unwrap_or_else(|| panic!("{kind} of {step} is journalled"));
    record["at"].as_str().expect("a time is text").parse().expect("a time is RFC 3339")
}

#[test]
fn steps_without_a_dependency_overlap_in_the_journal() {
    let bed = Bed::with("select 1");
    let file = bed.write("two.yaml", RUNBOOK);
    bed.runbook(&["run", &file]).expect(0);
    let journal = bed.journal();
    let started = |step| at(&journal, "step_started", step);
    let ended = |step| at(&journal, "step_succeeded", step);
    assert!(started("left") < ended("right"), "left starts before right ends");
    assert!(started("right") < ended("left"), "right starts before left ends");
    assert!(started("after") >= ended("left").max(ended("right")), "after waits for both");
}
