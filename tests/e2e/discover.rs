//! Finding one's way: from nothing to a proven backup, and what the program tells of itself.

use std::collections::BTreeSet;
use std::process::Command;

use crate::bed::{Bed, Ended};

/// The binary in an empty folder, with nothing in its environment but a `PATH`.
fn stranger(folder: &std::path::Path, args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_runbook"));
    command.args(args).current_dir(folder).env_clear();
    command.env("PATH", std::env::var("PATH").unwrap()).env("HOME", folder);
    command
}

fn ended(command: &mut Command) -> Ended {
    Ended::of(command.output().expect("the binary starts"))
}

#[test]
fn from_nothing_to_a_proven_backup() {
    let bed = Bed::with(&lab::sample::application(500));
    let home = tempfile::tempdir().unwrap();
    let url = bed.cluster.url("app");
    let run = |args: &[&str]| ended(stranger(home.path(), args).env("DATABASE_URL", &url));

    let said = run(&["init", "--yes"]).expect(0);
    assert_eq!(said.stderr, "");
    assert!(said.stdout.contains("connection `prod` logs in to PostgreSQL"), "{}", said.stdout);
    let commands: Vec<&str> =
        said.stdout.lines().filter_map(|line| line.strip_prefix("  runbook ")).collect();
    assert_eq!(commands.len(), 3, "{}", said.stdout);
    for command in commands {
        let done = run(&command.split(' ').collect::<Vec<_>>()).expect(0);
        if command.starts_with("backups") {
            assert!(done.stdout.contains("identical"), "{}", done.stdout);
        }
    }
    let text = std::fs::read_to_string(home.path().join("daily-backup.yaml")).unwrap();
    assert!(!text.contains(&url), "the URL stays out of the file:\n{text}");
}

#[test]
fn parts_take_their_password_from_the_password_file() {
    let bed = Bed::with(&lab::sample::application(10));
    bed.cluster.execute("postgres", "alter role postgres password 'open sesame'").unwrap();
    let home = tempfile::tempdir().unwrap();
    let port = bed.cluster.port().to_string();
    let file = home.path().join(".pgpass");
    std::fs::write(&file, format!("127.0.0.1:{port}:*:postgres:open sesame\n")).unwrap();
    let private = std::os::unix::fs::PermissionsExt::from_mode(0o600);
    std::fs::set_permissions(&file, private).unwrap();
    let parts = ["init", "--yes", "--host", "127.0.0.1", "--port", &port, "--dbname", "app"];
    let more = ["--user", "postgres", "--store", "kept here", "--output", "nightly.yaml"];
    let said = ended(&mut stranger(home.path(), &[&parts[..], &more].concat())).expect(0);
    assert_eq!(said.stderr, "");
    ended(&mut stranger(home.path(), &["run", "nightly.yaml"])).expect(0);
    let set = home.path().join("kept here/sets/app");
    assert_eq!(std::fs::read_dir(set).unwrap().count(), 1);
}

#[test]
fn what_cannot_be_reached_is_said_and_the_file_is_written() {
    let home = tempfile::tempdir().unwrap();
    let args = ["init", "--yes", "--slack", "--database-url-env", "PROD"];
    let nobody = "postgresql://ann:canary@127.0.0.1:1/app";
    let said = ended(stranger(home.path(), &args).env("PROD", nobody)).expect(0);
    for part in ["[RB0501]", "[RB0420]", "warning: the backup cannot run yet"] {
        assert!(said.stderr.contains(part), "{part}\n{}", said.stderr);
    }
    assert!(!said.stderr.contains("canary") && !said.stdout.contains("canary"));
    let valid = ended(&mut stranger(home.path(), &["validate", "daily-backup.yaml"])).expect(0);
    assert_eq!(valid.stderr, "");

    let again = ended(&mut stranger(home.path(), &["init", "--yes", "--dbname", "x"])).expect(2);
    shown::case("RB0961", again.stderr);
    let kept = std::fs::read_to_string(home.path().join("daily-backup.yaml")).unwrap();
    assert!(kept.contains("PROD"));
    let over = ["init", "--yes", "--dbname", "x", "--force"];
    ended(&mut stranger(home.path(), &over)).expect(0);
    let new = std::fs::read_to_string(home.path().join("daily-backup.yaml")).unwrap();
    assert!(new.contains("dbname: \"x\""), "{new}");
}

#[test]
fn what_init_cannot_use_is_refused() {
    let home = tempfile::tempdir().unwrap();
    let refused = |args: &[&str]| {
        let said = ended(&mut stranger(home.path(), args)).expect(2);
        assert!(!home.path().join("daily-backup.yaml").exists());
        said.stderr
    };
    shown::case("RB0960", refused(&["init", "--yes"]));
    let url = "postgresql://ann:canary@db/app";
    shown::case("RB0962", refused(&["init", "--yes", "--database-url-env", url]));
    let unwritable = ["init", "--yes", "--dbname", "x", "--output", "/no/such/folder/a.yaml"];
    shown::case("RB0905", refused(&unwritable));
}

#[test]
fn the_preflight_alone_looks_and_leaves_nothing() {
    let bed = Bed::with("select 1");
    let said = bed.runbook(&["preflight", "runbooks/daily-backup.yaml"]).expect(0).stdout;
    assert!(said.contains("store `backups` opens and has room\n"), "{said}");
    assert!(!bed.state().exists());
    let args = ["preflight", "runbooks/daily-backup.yaml"];
    let failed = Ended::of(bed.command(&args).env_remove("DATABASE_URL").output().unwrap());
    shown::case("RB0435", failed.expect(3).stderr);
}

/// What a shell shows after `runbook words` and Tab.
fn offered(shell: &str, words: &[&str], state: &std::path::Path) -> String {
    let mut command = Command::new(env!("CARGO_BIN_EXE_runbook"));
    command.args(["--", "runbook"]).args(words).env("RUNBOOK_COMPLETE", shell);
    command.env("_CLAP_COMPLETE_INDEX", words.len().to_string()).env("_CLAP_IFS", "\n");
    command.env("RUNBOOK_STATE", state).current_dir(env!("CARGO_MANIFEST_DIR"));
    ended(&mut command).expect(0).stdout
}

#[test]
fn completions_offer_what_there_is() {
    let folder = tempfile::tempdir().unwrap();
    let (state, file) = (folder.path().join("state"), folder.path().join("pass.yaml"));
    std::fs::write(&file, "version: 1\nname: pass\nsteps: [{id: a, uses: flow.pass}]\n").unwrap();
    let mut run = stranger(folder.path(), &["run", "pass.yaml"]);
    ended(run.env("RUNBOOK_STATE", &state)).expect(0);
    let run = std::fs::read_dir(state.join("runs")).unwrap().next().unwrap().unwrap();
    let run = run.file_name().into_string().unwrap();
    for shell in ["bash", "zsh", "fish"] {
        let script = ended(&mut stranger(folder.path(), &["completions", shell])).expect(0).stdout;
        assert!(script.contains("RUNBOOK_COMPLETE") && script.contains("runbook"), "{script}");
        for (words, expected) in [
            (&["steps", "pg.du"][..], "pg.dump"),
            (&["explain", "RB0211"], "RB0211"),
            (&["status", "01"], &run),
            (&["plan", "runbooks/full"], "runbooks/full-restore.yaml"),
            (&["init", "--sla"], "--slack"),
        ] {
            let offered = offered(shell, words, &state);
            assert!(offered.contains(expected), "{shell} {words:?}: {offered}");
        }
    }
}

#[test]
fn bash_completes_with_the_script_it_was_given() {
    let folder = std::path::Path::new(env!("CARGO_BIN_EXE_runbook")).parent().unwrap();
    let script = "source <(runbook completions bash); COMP_WORDS=(runbook steps pg.dum); \
                  COMP_CWORD=2; COMP_TYPE=9; _clap_complete_runbook runbook pg.dum steps; \
                  echo \"${COMPREPLY[@]}\"";
    let path = format!("{}:{}", folder.display(), std::env::var("PATH").unwrap());
    let said = ended(Command::new("bash").args(["-c", script]).env("PATH", path)).expect(0);
    assert_eq!(said.stdout.trim(), "pg.dump", "{}", said.stderr);
}

#[test]
fn every_command_has_a_manual_page() {
    let folder = tempfile::tempdir().unwrap();
    ended(&mut stranger(folder.path(), &["man", "--out", "man1"])).expect(0);
    let pages = std::fs::read_dir(folder.path().join("man1")).unwrap();
    let pages: BTreeSet<String> =
        pages.map(|page| page.unwrap().file_name().into_string().unwrap()).collect();
    let help = ended(&mut stranger(folder.path(), &["--help"])).expect(0).stdout;
    let commands = help.split("Commands:\n").nth(1).unwrap().split("\n\n").next().unwrap();
    let commands =
        commands.lines().filter(|line| line.starts_with("  ") && !line[2..].starts_with(' '));
    for command in
        commands.filter_map(|line| line.split_whitespace().next()).filter(|it| *it != "help")
    {
        assert!(pages.contains(&format!("runbook-{command}.1")), "{command}: {pages:?}");
    }
    let page = std::fs::read_to_string(folder.path().join("man1/runbook-plan.1")).unwrap();
    assert!(page.contains("runbook plan runbooks/daily"), "the example is there:\n{page}");
    let one = ended(&mut stranger(folder.path(), &["man"])).expect(0).stdout;
    assert!(one.starts_with(".ie") && one.contains(".TH runbook 1"), "{one}");
}

#[test]
fn a_shipped_runbook_is_drawn() {
    let home = tempfile::tempdir().unwrap();
    let file = concat!(env!("CARGO_MANIFEST_DIR"), "/runbooks/daily-backup.yaml");
    let draw = |format| ended(&mut stranger(home.path(), &["graph", file, "--format", format]));
    assert!(draw("mermaid").expect(0).stdout.contains("subgraph c1[\"backup\"]"));
    assert!(draw("dot").expect(0).stdout.starts_with("digraph \"daily-backup\" {"));
    assert!(draw("svg").expect(0).stdout.ends_with("</svg>\n"));
    assert_eq!(std::fs::read_dir(home.path()).unwrap().count(), 0);
}

#[test]
fn names_that_do_not_exist_are_told_with_the_nearest() {
    let home = tempfile::tempdir().unwrap();
    let refused = |args: &[&str]| ended(&mut stranger(home.path(), args)).expect(2).stderr;
    shown::case("RB0902", refused(&["steps", "pg.dmup"]));
    shown::case("RB0903", refused(&["explain", "RB0229"]));
    let all = ended(&mut stranger(home.path(), &["explain"])).expect(0).stdout;
    assert!(all.lines().count() > 100 && all.contains("RB0501  the server cannot"), "{all}");
}
