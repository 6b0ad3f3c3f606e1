//! Bad runbooks: exact messages, exit status 2, nothing executed.

use std::path::Path;

use crate::bed::Ended;

fn runbook(args: &[&str], state: &Path) -> Ended {
    let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_runbook"));
    command.args(args).current_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/golden"));
    command.env("RUNBOOK_STATE", state).env("NO_COLOR", "1").env_remove("DATABASE_URL");
    Ended::of(command.output().unwrap())
}

/// What stands after `# runbook ` on the first line, else `run`, with the file.
fn arguments<'a>(text: &'a str, name: &'a str) -> Vec<&'a str> {
    let said = text.lines().next().and_then(|line| line.strip_prefix("# runbook "));
    let mut words = said.unwrap_or("run").split_whitespace();
    let command = words.next().unwrap();
    [command, name].into_iter().chain(words).collect()
}

/// Runs each golden runbook and compares standard error with the file beside it.
#[test]
fn each_golden_runbook_is_refused_with_its_exact_message() {
    let folder = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/golden"));
    let state = tempfile::tempdir().unwrap();
    let entries = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let mut files: Vec<_> =
        entries.filter(|path| path.extension().is_some_and(|e| e == "yaml")).collect();
    files.sort();
    assert!(files.len() >= 10, "the golden runbooks are there: {}", files.len());
    for file in files {
        let name = file.file_name().unwrap().to_str().unwrap();
        let text = std::fs::read_to_string(&file).unwrap();
        let refused = runbook(&arguments(&text, name), &state.path().join("state"));
        snapbox::assert_data_eq!(
            format!("exit status {}\n{}", refused.status.unwrap(), refused.stderr),
            snapbox::Data::read_from(&file.with_extension("stderr"), None).raw()
        );
        assert_eq!(refused.status, Some(2), "{name}");
        assert_eq!(refused.stdout, "", "{name}");
        assert!(!state.path().join("state").exists(), "{name}: nothing was executed");
    }
}

#[test]
fn a_missing_file_says_so() {
    let state = tempfile::tempdir().unwrap();
    let refused = runbook(&["run", "no-such.yaml"], state.path()).expect(2);
    shown::case("RB0901", refused.stderr);
}

#[test]
fn an_incident_to_come_is_refused_before_anything_runs() {
    let folder = tempfile::tempdir().unwrap();
    let (state, file) = (folder.path().join("state"), folder.path().join("pass.yaml"));
    std::fs::write(&file, "version: 1\nname: pass\nsteps: [{id: a, uses: flow.pass}]\n").unwrap();
    let at = "2099-01-01T00:00:00Z";
    let refused = runbook(&["run", file.to_str().unwrap(), "--incident-at", at], &state).expect(2);
    assert!(!state.exists(), "nothing was executed");
    shown::case("RB0914", refused.stderr);
}

#[test]
fn problems_as_json_carry_code_and_position() {
    let state = tempfile::tempdir().unwrap();
    let refused =
        runbook(&["validate", "misspelt-key.yaml", "--format", "json"], state.path()).expect(2);
    let problems: serde_json::Value = serde_json::from_str(&refused.stdout).unwrap();
    let first = &problems["files"][0]["diagnostics"][1];
    assert_eq!((&first["place"]["line"], &first["place"]["column"]), (&5.into(), &5.into()));
    assert_eq!(first["code"], "RB0201");
}

#[test]
fn a_run_whose_folder_is_gone_is_missing() {
    let folder = tempfile::tempdir().unwrap();
    let (state, file) = (folder.path().join("state"), folder.path().join("pass.yaml"));
    std::fs::write(&file, "version: 1\nname: pass\nsteps: [{id: a, uses: flow.pass}]\n").unwrap();
    runbook(&["run", file.to_str().unwrap()], &state).expect(0);
    let runs = state.join("runs");
    let run = std::fs::read_dir(&runs).unwrap().next().unwrap().unwrap().file_name();
    let run = run.into_string().unwrap();
    std::fs::remove_dir_all(runs.join(&run)).unwrap();
    let said = runbook(&["status", &run], &state).expect(6).stderr;
    shown::case("RB0818", &said);
    assert!(said.contains(&runs.join(&run).display().to_string()), "{said}");
    let unknown = runbook(&["status", "01ZZZZ"], &state).expect(4).stderr;
    shown::case("RB0812", unknown);
}
