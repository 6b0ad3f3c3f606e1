//! One table out of a set of many: how much of the store is read for it, seen from outside by
//! `strace`.

use std::collections::HashMap;
use std::path::Path;
use std::process::Command;

use lab::cluster::ClusterOptions;
use serde_json::Value;

use crate::measure::{Row, Section};

/// Megabytes of rows in all; the table that is wanted holds a sixth of them.
const MEGABYTES: u32 = 120;

/// The table that is wanted.
const TABLE: &str = "requests_a";

const RUNBOOK: &str = r#"
version: 1
name: measured
params:
  step: {type: string, required: true}
connections: {prod: {url: "URL"}}
stores: {backups: {url: "file://STORE"}}
steps:
  - id: dump
    uses: pg.dump
    if: "params.step == 'dump'"
    with: {connection: prod, store: backups, part_size: 8MiB}
  - id: restore
    uses: pg.restore_table
    if: "params.step == 'restore'"
    with: {connection: prod, store: backups, backup: SET, table: bulk.requests_a, mode: staging, jobs: 1}
"#;

/// A folder with the store and what runs.
struct Place {
    folder: tempfile::TempDir,
    url: String,
}

impl Place {
    fn store(&self) -> String {
        self.folder.path().join("store").display().to_string()
    }

    /// Runs one of the steps; `strace` tells what it reads.
    fn run(&self, step: &str, set: &str) -> String {
        let runbook = self.folder.path().join("measured.yaml");
        let text = RUNBOOK.replace("URL", &self.url).replace("STORE", &self.store());
        std::fs::write(&runbook, text.replace("SET", set)).expect("the runbook is written");
        let log = self.folder.path().join(format!("{step}.strace"));
        let mut command = Command::new("strace");
        command.args(["-f", "-y", "-e", "trace=read,pread64,readv,preadv", "-o"]).arg(&log);
        command.args([env!("CARGO_BIN_EXE_runbook"), "run"]).arg(&runbook);
        command.args(["-p", &format!("step={step}")]);
        command.env("RUNBOOK_STATE", self.folder.path().join("state")).env("NO_COLOR", "1");
        let output = command.output().expect("`strace` is installed");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        std::fs::read_to_string(log).expect("`strace` wrote its log")
    }

    fn manifest(&self) -> Value {
        let sets = Path::new(&self.store()).join("sets/bulk");
        let set = std::fs::read_dir(sets).expect("there are sets").next().expect("there is a set");
        let path = set.expect("an entry reads").path().join("manifest.json");
        let text = std::fs::read(path).expect("the set is whole");
        serde_json::from_slice(&text).expect("a manifest is JSON")
    }
}

/// The bytes that were read of files below `folder`. A call that another thread interrupts is told
/// in two lines.
fn read_below(strace: &str, folder: &str) -> u64 {
    let (mut open, mut bytes) = (HashMap::new(), 0);
    for line in strace.lines() {
        let (thread, call) = line.trim_start().split_once(' ').unwrap_or_default();
        let is_below = call.contains(&format!("<{folder}/"));
        if call.ends_with("<unfinished ...>") {
            open.insert(thread.to_owned(), is_below);
            continue;
        }
        let counts = if call.trim_start().starts_with("<... ") {
            open.remove(thread).unwrap_or_default()
        } else {
            is_below
        };
        let read = call.rsplit_once(" = ").and_then(|(_, read)| read.trim().parse::<u64>().ok());
        bytes += read.filter(|_| counts).unwrap_or_default();
    }
    bytes
}

/// The bytes of the objects that hold the table's rows, and those of all objects.
fn own_bytes(manifest: &Value) -> (u64, u64) {
    let list = |value: &Value| value.as_array().cloned().unwrap_or_default();
    let files = list(&manifest["files"]);
    let bytes = |file: &Value| file["bytes"].as_u64().unwrap_or_default();
    let tables = list(&manifest["contents"]["tables"]);
    let table = tables.iter().find(|table| table["name"] == TABLE).expect("it is in the set");
    let parts = list(&table["parts"]);
    let is_own = |file: &&Value| parts.iter().any(|part| part["file"] == file["path"]);
    (files.iter().filter(is_own).map(bytes).sum(), files.iter().map(bytes).sum())
}

/// Measures it.
pub(crate) fn section() -> Section {
    let cluster = ClusterOptions::new().start().expect("a cluster starts");
    cluster.create_database("bulk").expect("the server makes a database");
    cluster.execute("bulk", &lab::sample::bulk(MEGABYTES)).expect("the sample loads");
    let folder = tempfile::tempdir().expect("a folder for the store");
    let place = Place { folder, url: cluster.socket_url("bulk") };
    place.run("dump", "latest");
    let manifest = place.manifest();
    let log = place.run("restore", manifest["set"].as_str().expect("a set has an id"));
    let read = read_below(&log, &place.store());
    let (own, all) = own_bytes(&manifest);
    #[expect(clippy::cast_precision_loss, reason = "a ratio for people")]
    let ratio = read as f64 / own as f64;
    let row = Row::new(
        "`pg.restore_table`: bytes read of the store, against those of the table's own objects",
        format!("{ratio:.3} times ({read} / {own} bytes of a set of {all})"),
        "1.2 times",
        read > 0 && ratio <= 1.2,
    );
    Section {
        title: "One table of many",
        how: "The manifest and every object that is opened count, as `strace` sees them.",
        rows: vec![row],
    }
}
