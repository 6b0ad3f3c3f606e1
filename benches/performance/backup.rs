//! A backup of a large database against PostgreSQL's own programs, and its proof against the
//! restore it follows. `RUNBOOK_BENCH_MB` says how large, by default 1024.

use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use engine::memory_host::MemoryHost;
use engine::settings::{ConnectionSettings, S3Settings, StoreSettings};
use lab::cluster::{Cluster, ClusterOptions};
use model::node::Node;
use model::proof::Level;
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

use crate::measure::{Row, Section, high_water, median, timed};

/// The database of the measurements.
const DATABASE: &str = "bulk";

struct Bench {
    cluster: Cluster,
    folder: tempfile::TempDir,
    runtime: tokio::runtime::Runtime,
    host: Arc<MemoryHost>,
    steps: std::cell::Cell<u32>,
}

impl Bench {
    fn new(megabytes: u32) -> Self {
        let settings = ClusterOptions::new().setting("shared_buffers", "256MB");
        let cluster = settings.setting("max_wal_size", "4GB").start().expect("a cluster starts");
        cluster.create_database(DATABASE).expect("the server makes a database");
        cluster.execute(DATABASE, &lab::sample::bulk(megabytes)).expect("the sample loads");
        cluster.execute(DATABASE, "VACUUM ANALYZE; CHECKPOINT").expect("the server vacuums");
        let folder = tempfile::tempdir().expect("a folder for the store");
        let scratch = folder.path().join("scratch");
        std::fs::create_dir(&scratch).expect("a scratch folder");
        let connection = |name: &str, database: &str| ConnectionSettings {
            name: name.to_owned(),
            url: Some(cluster.socket_url(database).into()),
            ..ConnectionSettings::default()
        };
        let store = StoreSettings {
            name: "backups".to_owned(),
            url: format!("file://{}/store", folder.path().display()),
            min_proof: Level::Stored,
            encrypt: None,
            s3: S3Settings::default(),
        };
        let host = MemoryHost::new(jiff::Timestamp::now(), scratch)
            .with_connection(connection("prod", DATABASE))
            .with_connection(connection("scratch", "postgres"))
            .with_store(store);
        let runtime = tokio::runtime::Runtime::new().expect("a runtime starts");
        Self { cluster, folder, runtime, host: Arc::new(host), steps: std::cell::Cell::new(0) }
    }

    fn run(&self, kind: &str, with: &Value) -> Value {
        self.steps.set(self.steps.get() + 1);
        let id = format!("step{}", self.steps.get());
        let ctx = self.host.context(&id, 1, CancellationToken::new());
        let step = steps::REGISTRY.step(kind).expect("the kind is registered");
        let done = self.runtime.block_on(step.run(&Node::from_json(with), &ctx));
        done.expect("the step succeeds")
    }

    fn dump(&self) -> Value {
        self.run("pg.dump", &json!({"connection": "prod", "store": "backups"}))
    }

    fn restore(&self, set: &Value, analyze: bool) {
        let with = json!({"connection": "scratch", "store": "backups", "source": DATABASE,
            "backup": set, "database": "restored", "analyze": analyze});
        self.run("pg.restore", &with);
    }

    fn drop_restored(&self) {
        self.cluster.drop_database("restored").expect("the server drops a database");
    }

    fn verify(&self, set: &Value) {
        let with = json!({"store": "backups", "database": DATABASE, "scratch": "scratch",
            "backup": set, "level": "identical"});
        self.run("pg.verify_backup", &with);
    }

    /// A shell command of the documents, in the bench's folder.
    fn shell(&self, command: &str) {
        let mut shell = Command::new("bash");
        shell.args(["-c", &format!("set -eo pipefail; {command}")]).current_dir(self.folder.path());
        shell.env("URL", self.cluster.socket_url(DATABASE)).stdout(Stdio::null());
        assert!(shell.status().expect("a shell runs").success(), "{command}");
    }

    /// Nothing that was written before is left to be written during a measurement.
    fn settle(&self) {
        self.cluster.execute(DATABASE, "CHECKPOINT").expect("the server writes a checkpoint");
        self.shell("sync");
    }
}

/// The most memory that this process held since the last call, in MiB.
fn peak_memory() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").expect("the kernel tells");
    std::fs::write("/proc/self/clear_refs", "5").expect("the kernel forgets the peak");
    high_water(&status).expect("a peak")
}

fn ratio(what: Duration, held_against: Duration) -> f64 {
    what.as_secs_f64() / held_against.as_secs_f64()
}

fn size(path: &Path) -> u64 {
    std::fs::metadata(path).expect("the file is there").len()
}

/// Measures everything.
pub(crate) fn section() -> Section {
    let megabytes = std::env::var("RUNBOOK_BENCH_MB").ok().and_then(|text| text.parse().ok());
    let bench = Bench::new(megabytes.unwrap_or(1024));
    bench.shell("pg_dump -d \"$URL\" -Fc -Z0 > /dev/null");
    let mut rows = dump_rows(&bench);
    rows.extend(restore_rows(&bench));
    rows.push(proof_row(&bench));
    Section {
        title: "Backup and proof",
        how: "`pg.dump` with its manifest, `pg.restore`, and `pg.verify_backup` at `identical`, on \
              text tables of a gigabyte in a warm cache.",
        rows,
    }
}

fn dump_rows(bench: &Bench) -> Vec<Row> {
    peak_memory();
    let mut sets = Vec::new();
    let dump = median(3, || sets.push(bench.dump()));
    let memory = peak_memory();
    let plain = median(3, || bench.shell("pg_dump -d \"$URL\" -Fc -Z0 > /dev/null"));
    let documents = timed(&mut || {
        bench.shell("pg_dump -d \"$URL\" > f; gzip f; sha256sum f.gz > f.sum; cp f.gz copy.gz");
    });
    let bytes = sets[0]["bytes"].as_u64().expect("a dump has a size");
    let gzip = size(&bench.folder.path().join("f.gz"));
    let raw = sets[0]["raw_bytes"].as_u64().unwrap_or_default() / 1_000_000;
    let (slower, faster) = (ratio(dump, plain), ratio(documents, dump));
    #[expect(clippy::cast_precision_loss, reason = "a ratio for people")]
    let share = bytes as f64 / gzip as f64;
    let seconds = |time: Duration| format!("{:.1} s", time.as_secs_f64());
    vec![
        Row::new(
            &format!("`pg.dump` of {raw} MB, against `pg_dump -Fc -Z0 > /dev/null`"),
            format!("{slower:.2} times ({} / {})", seconds(dump), seconds(plain)),
            "2.0 times",
            slower <= 2.0,
        ),
        Row::new(
            "against `pg_dump > f; gzip f; sha256sum f.gz; cp`",
            format!("{faster:.1} times faster ({})", seconds(documents)),
            "5 times faster",
            faster >= 5.0,
        ),
        Row::new("size, against gzip", format!("{share:.2} times"), "1.0 times", share <= 1.0),
        Row::new("peak memory", format!("{memory} MiB"), "200 MiB", memory < 200),
    ]
}

/// The file that the documents' pipeline left, restored as the documents say; `psql` stops at the
/// first error, which theirs does not. It leaves no statistics, and neither does the first of ours.
fn restore_rows(bench: &Bench) -> Vec<Row> {
    let (mut bare, mut whole, mut documents) = (Vec::new(), Vec::new(), Vec::new());
    let set = bench.dump()["set"].clone();
    for _ in 0..3 {
        for (analyze, times) in [(false, &mut bare), (true, &mut whole)] {
            bench.settle();
            times.push(timed(&mut || bench.restore(&set, analyze)));
            bench.drop_restored();
        }
        bench.cluster.create_database("restored").expect("the server makes a database");
        bench.settle();
        let psql = "gunzip -c f.gz | psql -X -q -v ON_ERROR_STOP=1 -d \"${URL/bulk/restored}\"";
        documents.push(timed(&mut || bench.shell(psql)));
        bench.drop_restored();
    }
    for times in [&mut bare, &mut whole, &mut documents] {
        times.sort();
    }
    let row = |what: &str, ours: Duration| {
        let faster = ratio(documents[1], ours);
        let (ours, theirs) = (ours.as_secs_f64(), documents[1].as_secs_f64());
        let measured = format!("{faster:.2} times faster ({ours:.1} s / {theirs:.1} s)");
        Row::new(what, measured, "1.5 times faster", faster >= 1.5)
    };
    vec![
        row("`pg.restore` with `analyze: false`, against `gunzip -c f.gz | psql`", bare[1]),
        row("`pg.restore`, which leaves statistics as well, against the same", whole[1]),
    ]
}

/// The median of three: a restore writes a gigabyte, and disks differ from minute to minute.
fn proof_row(bench: &Bench) -> Row {
    let (mut restores, mut proofs) = (Vec::new(), Vec::new());
    for _ in 0..3 {
        let set = bench.dump()["set"].clone();
        bench.settle();
        restores.push(timed(&mut || bench.restore(&set, true)));
        bench.drop_restored();
        bench.settle();
        proofs.push(timed(&mut || bench.verify(&set)));
    }
    restores.sort();
    proofs.sort();
    let (restore, verify) = (restores[1], proofs[1]);
    let more = (ratio(verify, restore) - 1.0) * 100.0;
    Row::new(
        "`pg.verify_backup` at `identical`, on top of `pg.restore`",
        format!("{more:.0} % ({:.1} s / {:.1} s)", verify.as_secs_f64(), restore.as_secs_f64()),
        "40 %",
        more <= 40.0,
    )
}
