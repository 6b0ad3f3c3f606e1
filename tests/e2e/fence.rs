//! `fence` through the binary: killed after each of its records, with programs found on `PATH`,
//! and with an old primary that is away before the run.

use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::ExitStatusExt;

use crate::bed::{Bed, Ended};

/// A bed with a program that controls its server: `stop`, `status`, and what systemd knows.
struct Ground {
    bed: Bed,
    path: String,
}

/// `systemctl` as far as a fence uses it. A real server stops; what was masked is remembered.
const SYSTEMCTL: &str = r#"#!/bin/sh
echo "$1" >> CALLS
case $1 in
  stop) CONTROL stop --mode=fast --wait --silent || exit 1 ;;
  mask) touch MASKED ;;
  is-active) if CONTROL status >/dev/null; then echo active; else echo inactive; exit 3; fi ;;
  is-enabled) if [ -e MASKED ]; then echo masked; else echo enabled; fi; exit 1 ;;
esac
"#;

impl Ground {
    fn new() -> Self {
        let bed = Bed::with("create table ledger (n int)");
        let bin = bed.folder().join("bin");
        std::fs::create_dir(&bin).unwrap();
        let owner =
            if rustix::process::geteuid().is_root() { "runuser -u postgres -- " } else { "" };
        let (pg_ctl, data) = (bed.cluster.program("pg_ctl"), bed.cluster.data_dir());
        let control = format!("{owner}env PGDATA={} {}", data.display(), pg_ctl.display());
        let script = SYSTEMCTL
            .replace("CONTROL", &format!("cd /; {control}"))
            .replace("if cd /; ", "if ")
            .replace("CALLS", &bed.folder().join("calls").display().to_string())
            .replace("MASKED", &bed.folder().join("masked").display().to_string());
        let program = bin.join("systemctl");
        std::fs::write(&program, script).unwrap();
        std::fs::set_permissions(&program, std::fs::Permissions::from_mode(0o755)).unwrap();
        let path = format!("{}:{}", bin.display(), std::env::var("PATH").unwrap());
        Self { bed, path }
    }

    /// A runbook that fences and then promotes, as far as this test goes.
    fn runbook(&self) -> String {
        self.bed.write(
            "shut-out.yaml",
            "version: 1\nname: shut-out\nsecrets: {db_url: {env: DATABASE_URL}}\n\
             connections: {old: {url: \"{{ secrets.db_url }}\", protected: false}}\nsteps:\n  \
             - {id: fence, uses: fence, with: {connection: old, method: systemd, unit: pg.service, quiet: 500ms, wait: 1s}}\n  \
             - {id: after, uses: flow.pass}\n",
        )
    }

    fn run(&self, args: &[&str], fail_point: Option<&str>) -> std::process::Output {
        let mut command = self.bed.command(args);
        command.env("PATH", &self.path);
        if let Some(point) = fail_point {
            command.env("RUNBOOK_FAILPOINT", point);
        }
        command.output().unwrap()
    }

    fn calls(&self, verb: &str) -> usize {
        let calls = std::fs::read_to_string(self.bed.folder().join("calls")).unwrap_or_default();
        calls.lines().filter(|line| *line == verb).count()
    }

    /// Starts the server again and forgets everything.
    fn reset(&self) {
        for name in ["calls", "masked"] {
            std::fs::remove_file(self.bed.folder().join(name)).ok();
        }
        std::fs::remove_dir_all(self.bed.state()).ok();
        if self.bed.cluster.query_one("app", "select 1").is_err() {
            self.bed.cluster.start_again().unwrap();
        }
    }
}

#[test]
fn killed_after_any_record_it_ends_with_the_proof() {
    let ground = Ground::new();
    let file = ground.runbook();
    Ended::of(ground.run(&["run", &file], None)).expect(0);
    let journal = ground.bed.journal();
    let seq = |kind: &str| {
        let ours = |record: &&serde_json::Value| {
            record["type"] == kind && record["data"]["step"] == "fence"
        };
        journal.iter().find(ours).and_then(|record| record["seq"].as_u64()).unwrap()
    };
    let (first, last) = (seq("step_started"), seq("step_succeeded"));
    assert!(last - first > 5, "what it starts is journaled");
    for at in first..=last {
        ground.reset();
        let point = format!("journal:{at}:after");
        let killed = ground.run(&["run", &file], Some(&point));
        assert_eq!(killed.status.signal(), Some(9), "{point}");
        let run = ground.bed.runs().pop().unwrap();
        Ended::of(ground.run(&["resume", &run], None)).expect(0);
        let output = ground.bed.output("fence");
        assert_eq!(output["outcome"], "confirmed", "{point}");
        assert!(output["system_identifier"].is_string(), "{point}: {output}");
        assert!((1..=2).contains(&ground.calls("stop")), "{point}");
        assert!(ground.bed.cluster.query_one("app", "select 1").is_err(), "{point}");
    }
}

#[test]
fn what_comes_after_waits_for_the_proof() {
    let ground = Ground::new();
    let file = ground.runbook();
    // Away before the run: the preflight does not mind, and the unit is looked at all the same.
    ground.bed.cluster.stop().unwrap();
    Ended::of(ground.run(&["run", &file], None)).expect(0);
    assert_eq!(ground.bed.output("fence")["outcome"], "confirmed");
    assert_eq!(ground.calls("mask"), 1);

    // A unit that says it has stopped, and a server that has not.
    ground.reset();
    let liar = "#!/bin/sh\ncase $1 in is-active) echo inactive;; is-enabled) echo masked;; esac\n";
    std::fs::write(ground.bed.folder().join("bin/systemctl"), liar).unwrap();
    let ended = Ended::of(ground.run(&["run", &file], None)).expect(1);
    assert!(ended.stderr.contains("[RB0580]"), "{}", ended.stderr);
    assert!(ended.stderr.contains("it takes writes"), "{}", ended.stderr);
    assert!(!ended.stderr.contains("after         started"), "{}", ended.stderr);
    ground.bed.cluster.execute("app", "insert into ledger values (1)").unwrap();
}
