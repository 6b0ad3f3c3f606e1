//! `docker:` connections, against a program `docker` that records its arguments and works on this
//! machine in place of an engine. What is tested is the contract: which arguments, with which
//! variables, on which files.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use crate::bed::Bed;

/// Records each call, then does it here: `exec` starts the program with the socket of the cluster
/// as the container's, `cp` copies below a folder that stands for the container's files.
const DOCKER: &str = r#"#!/bin/bash
set -e
printf '%s\n' "$(printf '[%s] ' "$@")" >> HERE/calls
inside() { case "$1" in /tmp/*) echo "HERE/inside$1";; *) echo "$1";; esac; }
case "$1" in
inspect)
  cat HERE/container.json;;
cp)
  from=${4#lms-postgres:}; to=${5#lms-postgres:}
  if [ "$from" = "$4" ]; then to=$(inside "$to"); else from=$(inside "$from"); fi
  cp -r "$from" "$to";;
exec)
  shift; [ "$1" = --interactive ] && shift
  while [[ "$1" == --env=* ]]; do name=${1#--env=}; kept+=("$name=${!name}"); shift; done
  [ "$1" = lms-postgres ]; shift
  args=(); for arg in "$@"; do
    case "$arg" in /tmp/*|--*=/tmp/*) args+=("${arg/\/tmp\//HERE/inside/tmp/}");; *) args+=("$arg");; esac
  done
  exec env -i PATH="$PATH" PGHOST=@SOCKET@ PGPORT=@PORT@ "${kept[@]}" "${args[@]}";;
esac
"#;

const RUNBOOK: &str = r#"version: 1
name: container-backup
secrets: {password: {env: CONTAINER_PASSWORD}}
connections:
  prod: {docker: lms-postgres, dbname: app, password: "{{ secrets.password }}"}
  scratch: {docker: lms-postgres, dbname: postgres, password: "{{ secrets.password }}", protected: false}
stores: {backups: {url: "file://STORE"}}
steps:
  - {id: dump, uses: pg.dump, with: {connection: prod, store: backups, jobs: 2, format: FORMAT}}
  - id: verify
    uses: pg.verify_backup
    with:
      store: backups
      database: app
      scratch: scratch
      backup: "{{ steps.dump.outputs.set }}"
      level: identical
"#;

fn bed() -> Bed {
    let bed = Bed::with(
        "CREATE TABLE orders AS SELECT n, 'x' || n AS t FROM generate_series(1, 1000) AS n;
         ALTER TABLE orders ADD PRIMARY KEY (n)",
    );
    let here = bed.folder().join("docker");
    fs::create_dir_all(here.join("inside/tmp")).unwrap();
    let container = serde_json::json!([{
        "State": {"Running": true},
        "Config": {"Env": ["POSTGRES_USER=postgres"]},
        "NetworkSettings": {"Ports": {"5432/tcp": [
            {"HostIp": "0.0.0.0", "HostPort": bed.cluster.port().to_string()}]}},
    }]);
    fs::write(here.join("container.json"), container.to_string()).unwrap();
    let script = DOCKER
        .replace("HERE", here.to_str().unwrap())
        .replace("@SOCKET@", bed.cluster.host_dir().to_str().unwrap())
        .replace("@PORT@", &bed.cluster.port().to_string());
    fs::create_dir(here.join("bin")).unwrap();
    let program = here.join("bin/docker");
    fs::write(&program, script).unwrap();
    fs::set_permissions(program, fs::Permissions::from_mode(0o755)).unwrap();
    bed
}

fn calls(bed: &Bed) -> String {
    fs::read_to_string(bed.folder().join("docker/calls")).unwrap()
}

/// Runs the backup in `format`, with a `PATH` on which the stub comes first.
fn back_up(bed: &Bed, format: &str) -> crate::bed::Ended {
    let text = RUNBOOK.replace("STORE", bed.store().to_str().unwrap()).replace("FORMAT", format);
    let file = bed.write("container.yaml", &text);
    let path = std::env::var("PATH").unwrap();
    let mut command = bed.command(&["run", &file]);
    command
        .env("PATH", format!("{}:{path}", bed.folder().join("docker/bin").display()))
        .env("CONTAINER_PASSWORD", bed.cluster.password());
    crate::bed::Ended::of(command.output().unwrap())
}

#[test]
fn every_format_is_dumped_and_proven_through_docker_exec() {
    for format in ["objects", "custom", "directory", "plain"] {
        let bed = bed();
        back_up(&bed, format).expect(0);
        let calls = calls(&bed);
        let dumps: Vec<_> = calls.lines().filter(|call| call.contains("[pg_dump] [--")).collect();
        assert!(!dumps.is_empty(), "{format}: {calls}");
        for dump in dumps.iter().filter(|dump| !dump.contains("[--version]")) {
            let variables = "[exec] [--interactive] [--env=PGUSER] [--env=PGDATABASE] \
                [--env=PGAPPNAME] [--env=PGCONNECT_TIMEOUT] [--env=LC_ALL] [--env=PGPASSWORD] \
                [lms-postgres] [pg_dump] ";
            assert!(dump.starts_with(variables), "{format}: {dump}");
        }
        assert!(!calls.contains(bed.cluster.password()), "{format}: a password is an argument");
        let left = fs::read_dir(bed.folder().join("docker/inside/tmp")).unwrap().count();
        assert_eq!(left, 0, "{format}: files are left in the container");
    }
}

#[test]
fn a_container_that_does_not_run_is_found_before_anything_starts() {
    let bed = bed();
    let stopped = r#"[{"State": {"Running": false}}]"#;
    fs::write(bed.folder().join("docker/container.json"), stopped).unwrap();
    let refused = back_up(&bed, "objects").expect(3);
    shown::case("RB0421", refused.stderr);
    assert!(!calls(&bed).contains("[exec]"), "nothing is started");
}
