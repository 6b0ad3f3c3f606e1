//! Programs that stand for tools that are not on this machine: they record how they are called,
//! and do what the test says.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;
use tempfile::TempDir;

use crate::bed::Ended;

/// A folder with programs, what they recorded, and the state of a run.
pub(crate) struct Stubs {
    folder: TempDir,
}

impl Stubs {
    pub(crate) fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir(folder.path().join("bin")).unwrap();
        Self { folder }
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Adds a program: lines of bash that know their folder as `$HERE`.
    pub(crate) fn program(&self, name: &str, script: &str) {
        let here = self.folder.path().display();
        let record =
            r#"{ printf '%s' "$(basename "$0")"; printf ' [%s]' "$@"; echo; } >> "$HERE/calls""#;
        let path = self.path("bin").join(name);
        fs::write(&path, format!("#!/bin/bash\nHERE={here}\n{record}\n{script}")).unwrap();
        fs::set_permissions(path, fs::Permissions::from_mode(0o755)).unwrap();
    }

    pub(crate) fn write(&self, name: &str, text: &str) -> PathBuf {
        fs::write(self.path(name), text).unwrap();
        self.path(name)
    }

    pub(crate) fn exists(&self, name: &str) -> bool {
        self.path(name).exists()
    }

    /// How the programs were called so far; forgets it.
    pub(crate) fn calls(&self) -> Vec<String> {
        let calls = fs::read_to_string(self.path("calls")).unwrap_or_default();
        fs::write(self.path("calls"), "").unwrap();
        calls.lines().map(str::to_owned).collect()
    }

    /// A `PATH` on which the programs come first.
    pub(crate) fn search_path(&self) -> String {
        format!("{}:{}", self.path("bin").display(), std::env::var("PATH").unwrap())
    }

    /// Lets a command find the programs.
    pub(crate) fn on(&self, command: &mut Command) {
        command.env("PATH", self.search_path());
    }

    /// Runs a runbook of these steps, in a state of its own.
    pub(crate) fn run(&self, name: &str, text: &str, env: &[(&str, &str)]) -> Ended {
        let file = self.write(&format!("{name}.yaml"), text);
        let mut command = Command::new(env!("CARGO_BIN_EXE_runbook"));
        command.args([Path::new("run"), &file]).env("NO_COLOR", "1");
        command.env("RUNBOOK_STATE", self.path(name)).envs(env.iter().copied());
        self.on(&mut command);
        Ended::of(command.output().unwrap())
    }

    /// The journal of the only run in the state `name`.
    pub(crate) fn journal(&self, name: &str) -> Vec<Value> {
        let mut runs = fs::read_dir(self.path(name).join("runs")).unwrap();
        let run = runs.next().unwrap().unwrap().path();
        assert!(runs.next().is_none(), "there is one run");
        let text = fs::read_to_string(run.join("journal.jsonl")).unwrap();
        text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }
}
