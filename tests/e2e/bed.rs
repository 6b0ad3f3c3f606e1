//! A private PostgreSQL with sample data, a message sink, a store and a state folder.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use lab::cluster::{Cluster, ClusterOptions};
use lab::sink::Sink;
use serde_json::Value;
use tempfile::TempDir;

/// Everything a daily backup needs.
pub(crate) struct Bed {
    pub(crate) cluster: Cluster,
    pub(crate) sink: Sink,
    folder: TempDir,
}

/// How a command ended.
#[derive(Debug)]
pub(crate) struct Ended {
    pub(crate) status: Option<i32>,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Bed {
    /// A bed whose database `app` holds `sql`.
    pub(crate) fn with(sql: &str) -> Self {
        Self::with_settings(sql, &[])
    }

    /// The same, on a server with more settings.
    pub(crate) fn with_settings(sql: &str, settings: &[(&str, &str)]) -> Self {
        let options = ClusterOptions::new()
            .setting("log_statement", "all")
            .setting("log_line_prefix", "%a|")
            .setting("autovacuum", "off");
        let set =
            |options: ClusterOptions, (name, value): &(&str, &str)| options.setting(name, value);
        let options = settings.iter().fold(options, set);
        let cluster = Cluster::start(&options).expect("a private cluster starts");
        cluster.create_database("app").expect("the database is made");
        cluster.execute("app", sql).expect("the sample loads");
        let folder = tempfile::tempdir().expect("a folder is made");
        std::fs::create_dir(folder.path().join("store")).expect("the store is made");
        let sink = Sink::start().expect("the sink starts");
        Self { cluster, sink, folder }
    }

    pub(crate) fn folder(&self) -> &Path {
        self.folder.path()
    }

    pub(crate) fn store(&self) -> PathBuf {
        self.folder().join("store")
    }

    pub(crate) fn state(&self) -> PathBuf {
        self.folder().join("state")
    }

    /// The binary with everything in its environment.
    pub(crate) fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_runbook"));
        command.args(args).current_dir(env!("CARGO_MANIFEST_DIR"));
        command.env("RUNBOOK_STATE", self.state());
        command.env("RUNBOOK_STORE", format!("file://{}", self.store().display()));
        command.env("DATABASE_URL", self.cluster.url("app"));
        command.env("SCRATCH_DATABASE_URL", self.cluster.url("postgres"));
        command.env("TARGET_DATABASE_URL", self.cluster.url("postgres"));
        command.env("SLACK_WEBHOOK_URL", self.sink.slack_url());
        command.env("NO_COLOR", "1");
        command
    }

    /// Runs the binary to its end.
    pub(crate) fn runbook(&self, args: &[&str]) -> Ended {
        Ended::of(self.command(args).output().expect("the binary starts"))
    }

    /// Writes a runbook of the test's own.
    pub(crate) fn write(&self, name: &str, text: &str) -> String {
        let path = self.folder().join(name);
        std::fs::write(&path, text).expect("the runbook is written");
        path.display().to_string()
    }

    /// The ids of the runs, oldest first.
    pub(crate) fn runs(&self) -> Vec<String> {
        let mut runs: Vec<String> = folders(&self.state().join("runs"));
        runs.sort();
        runs
    }

    /// The journal of the newest run, record by record.
    pub(crate) fn journal(&self) -> Vec<Value> {
        let run = self.runs().pop().expect("there is a run");
        let path = self.state().join("runs").join(run).join("journal.jsonl");
        let text = std::fs::read_to_string(path).expect("the journal reads");
        text.lines().map(|line| serde_json::from_str(line).expect("a record is JSON")).collect()
    }

    /// The numbers of the records of the newest run from the start of a step until its end.
    pub(crate) fn records_of(&self, step: &str) -> Vec<u64> {
        let journal = self.journal();
        let of_step = journal.iter().filter(|record| record["data"]["step"] == step);
        let records: Vec<u64> = of_step.filter_map(|record| record["seq"].as_u64()).collect();
        assert!(records.len() > 3, "`{step}` left {records:?}");
        records
    }

    /// Folders of sets of `app` that have a manifest: what anything would take for a backup.
    pub(crate) fn sets(&self) -> Vec<String> {
        let sets = self.store().join("sets/app");
        let committed = |id: &String| sets.join(id).join("manifest.json").exists();
        folders(&sets).into_iter().filter(committed).collect()
    }

    /// A `PATH` on which `program` tells its version and then fails.
    pub(crate) fn failing(&self, program: &str) -> String {
        let folder = self.folder().join("failing");
        std::fs::create_dir(&folder).expect("the folder is made");
        let real = self.cluster.program(program);
        let script = format!(
            "#!/bin/sh\ncase \"$*\" in *--version*) exec {} --version;; esac\necho broken >&2\nexit 1\n",
            real.display()
        );
        std::fs::write(folder.join(program), script).expect("the program is written");
        let mode = std::os::unix::fs::PermissionsExt::from_mode(0o755);
        std::fs::set_permissions(folder.join(program), mode).expect("it is executable");
        format!("{}:{}", folder.display(), std::env::var("PATH").expect("there is a PATH"))
    }

    /// How often the server's own log holds `text`: effects seen from outside.
    pub(crate) fn server_saw(&self, text: &str) -> usize {
        let log = std::fs::read_to_string(self.cluster.log()).expect("the server's log reads");
        log.lines().filter(|line| line.contains(text)).count()
    }

    pub(crate) fn archive(&self) -> PathBuf {
        let archive = self.folder().join("archive");
        std::fs::create_dir_all(&archive).expect("the bed is whole");
        archive
    }

    /// Runs a shipped runbook with what its environment may hold.
    pub(crate) fn shipped(&self, name: &str, params: &[&str]) -> Ended {
        self.shipped_with(name, params, &[])
    }

    pub(crate) fn shipped_with(&self, name: &str, params: &[&str], env: &[(&str, &str)]) -> Ended {
        let file = format!("runbooks/{name}.yaml");
        let mut args = vec!["run", &file];
        args.extend(params.iter().flat_map(|param| ["-p", param]));
        let mut command = self.command(&args);
        command.env("RUNBOOK_ARCHIVE", format!("file://{}", self.archive().display()));
        command.env("RUNBOOK_REPOSITORY", self.folder().join("schema"));
        command.env("PAGERDUTY_ROUTING_KEY", "0123456789abcdef0123456789abcdef");
        command.env("PAGERDUTY_ENDPOINT", self.sink.pagerduty_url());
        command.envs(env.iter().copied());
        Ended::of(command.output().expect("the bed is whole"))
    }

    pub(crate) fn databases(&self) -> Vec<String> {
        let names = "select datname from pg_database where not datistemplate order by 1";
        self.cluster.query("postgres", names).expect("the bed is whole")
    }

    pub(crate) fn texts(&self) -> Vec<String> {
        let text = |message: &lab::sink::Message| message.body["text"].as_str().map(str::to_owned);
        self.sink.messages().iter().filter_map(text).collect()
    }

    /// What a step of the newest run gave.
    #[track_caller]
    pub(crate) fn output(&self, step: &str) -> Value {
        let journal = self.journal();
        let succeeded = of_type(&journal, "step_succeeded");
        let record = succeeded.iter().find(|record| record["data"]["step"] == step);
        record.unwrap_or_else(|| panic!("`{step}` did not succeed"))["data"]["output"].clone()
    }
}

impl Ended {
    pub(crate) fn of(output: Output) -> Self {
        Self {
            status: output.status.code(),
            stdout: String::from_utf8(output.stdout).expect("output is text"),
            stderr: String::from_utf8(output.stderr).expect("messages are text"),
        }
    }

    /// Fails the test with everything that was printed unless the status is `status`.
    #[track_caller]
    pub(crate) fn expect(self, status: i32) -> Self {
        assert_eq!(self.status, Some(status), "stdout:\n{}\nstderr:\n{}", self.stdout, self.stderr);
        self
    }
}

/// Names of the folders in `path`; none when it does not exist.
fn folders(path: &Path) -> Vec<String> {
    let Ok(entries) = std::fs::read_dir(path) else { return Vec::new() };
    let folders =
        entries.map(|entry| entry.expect("an entry reads")).filter(|entry| entry.path().is_dir());
    folders.map(|entry| entry.file_name().into_string().expect("a name is text")).collect()
}

/// The records of one type.
pub(crate) fn of_type<'a>(journal: &'a [Value], kind: &str) -> Vec<&'a Value> {
    journal.iter().filter(|record| record["type"] == kind).collect()
}
