//! Drills, ungraceful runs and files of parameters from the command line to the journal.

use std::path::Path;

use serde_json::Value;

use crate::bed::Ended;

const RUNBOOK: &str = "version: 1
name: variants
params:
  who: {type: string, env: VARIANTS_WHO, default: nobody}
contacts: [{role: DBA, name: Dana Ortiz}]
steps:
  - {id: ask, uses: human.approve, with: {prompt: \"Go on?\", allow_self: true}}
  - {id: say, uses: command.run, with: {argv: [echo, \"{{ run.mode }} {{ params.who }}\"], idempotent: true}}
  - {id: gone, uses: flow.pass, ungraceful: skip}
  - {id: last, uses: flow.pass, milestone: {name: done}}
handlers:
  success: [{id: told, uses: command.run, with: {argv: [echo, \"{{ run.status }}\"], idempotent: true}}]
drill:
  params: {who: canary}
  replace: {ask: {uses: flow.pass}}
  skip: [last]
";

fn runbook(folder: &Path, args: &[&str]) -> Ended {
    let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_runbook"));
    command.args(args).current_dir(folder).env("RUNBOOK_STATE", folder.join("state"));
    command.env("NO_COLOR", "1").env("VARIANTS_WHO", "environment");
    Ended::of(command.stdin(std::process::Stdio::null()).output().unwrap())
}

fn bed() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("a.yaml"), RUNBOOK).unwrap();
    folder
}

/// The events of the only run, each as its type and data.
fn events(folder: &Path) -> Vec<(String, Value)> {
    let runs = std::fs::read_dir(folder.join("state/runs")).unwrap();
    let run = runs.map(|run| run.unwrap().path()).next().unwrap();
    let journal = std::fs::read_to_string(run.join("journal.jsonl")).unwrap();
    let record = |line: &str| {
        let mut record: Value = serde_json::from_str(line).unwrap();
        (record["type"].as_str().unwrap().to_owned(), record["data"].take())
    };
    journal.lines().map(record).collect()
}

fn steps_of(events: &[(String, Value)], kind: &str) -> Vec<String> {
    let of_kind = events.iter().filter(|(name, _)| name == kind);
    of_kind.map(|(_, data)| data["step"].as_str().unwrap().to_owned()).collect()
}

#[test]
fn a_drill_runs_with_what_the_drill_says() {
    let folder = bed();
    runbook(folder.path(), &["run", "a.yaml", "--drill", "--ungraceful"]).expect(0);
    let events = events(folder.path());
    assert_eq!(events[0].1["mode"], "drill");
    assert_eq!(events[0].1["plan"]["params"]["who"], "canary");
    assert_eq!(steps_of(&events, "step_skipped"), ["gone", "last"]);
    assert_eq!(steps_of(&events, "step_succeeded"), ["ask", "say", "success.told"]);
    let said = runbook(folder.path(), &["logs", "01", "say"]).expect(0).stdout;
    assert!(said.contains("drill canary"), "{said}");
    let told = runbook(folder.path(), &["logs", "01", "success.told"]).expect(0).stdout;
    assert!(told.contains("succeeded"), "{told}");
}

#[test]
fn what_gives_a_parameter_goes_before_what_stands_farther_away() {
    let folder = bed();
    let file = folder.path().join("params.yaml");
    std::fs::write(&file, "who: 0600\n").unwrap();
    for (args, who) in [
        (&["plan", "a.yaml"] as &[&str], "environment"),
        (&["plan", "a.yaml", "--params-file", "params.yaml"], "0600"),
        (&["plan", "a.yaml", "--params-file", "params.yaml", "-p", "who=me"], "me"),
        (&["plan", "a.yaml", "--drill"], "canary"),
        (&["plan", "a.yaml", "--drill", "--params-file", "params.yaml"], "0600"),
        (&["plan", "a.yaml", "--drill", "-p", "who=me"], "me"),
    ] {
        let args = [args, &["--format", "json"]].concat();
        let plan = runbook(folder.path(), &args).expect(0).stdout;
        let plan: Value = serde_json::from_str(&plan).unwrap();
        assert_eq!(plan["params"]["who"], who, "{args:?}");
    }
}

#[test]
fn a_plan_shows_what_is_not_simply_run_in_turn() {
    let folder = bed();
    let plan = runbook(folder.path(), &["plan", "a.yaml", "--drill", "--ungraceful"]).expect(0);
    for line in [
        "  contact: DBA: Dana Ortiz\n",
        "    left out: the run is ungraceful\n",
        "    left out: the drill skips it\n",
        "    milestone: done\n",
        "    runs: when the run has succeeded\n",
        "\n4 steps, 1 step of handlers; nothing was executed\n",
    ] {
        assert!(plan.stdout.contains(line), "{line}: {}", plan.stdout);
    }
    let plan = runbook(folder.path(), &["plan", "a.yaml", "--drill", "--format", "json"]).expect(0);
    let plan: Value = serde_json::from_str(&plan.stdout).unwrap();
    assert_eq!(plan["steps"][3]["left_out"], "drill");
    assert_eq!(plan["steps"][3]["milestone"]["name"], "done");
    assert_eq!(plan["steps"][4]["role"]["handler"], "success");
}
