//! A large object to S3 and back, against the command line of AWS and the same server.
//! `RUNBOOK_BENCH_MB` says how large, by default 1024.

use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use lab::s3::S3;

use crate::measure::{Row, Section, high_water, timed};

const RUNBOOK: &str = r#"
version: 1
name: measured
params:
  step: {type: string, required: true}
  key: {type: string, required: true}
stores: {bucket: {url: "s3://bench/objects"}}
steps:
  - id: put
    uses: store.put
    if: "params.step == 'put'"
    with: {store: bucket, from: FOLDER/object, to: "{{ params.key }}"}
  - id: get
    uses: store.get
    if: "params.step == 'get'"
    with: {store: bucket, from: "{{ params.key }}", to: "FOLDER/{{ params.key }}"}
"#;

/// A server and a folder with an object.
struct Place {
    server: S3,
    folder: tempfile::TempDir,
}

impl Place {
    fn new(megabytes: u32) -> Self {
        let server = S3::start().expect("S3 starts");
        server.create_bucket("bench").expect("S3 makes a bucket");
        let folder = tempfile::tempdir().expect("a folder for the object");
        let runbook = RUNBOOK.replace("FOLDER", &folder.path().display().to_string());
        std::fs::write(folder.path().join("measured.yaml"), runbook).expect("a runbook is written");
        let place = Self { server, folder };
        let object = place.folder.path().join("object");
        let fill = format!("head -c {megabytes}M /dev/urandom > {}", object.display());
        let filled = Command::new("bash").args(["-c", &fill]).status().expect("a shell runs");
        assert!(filled.success(), "{fill}");
        place
    }

    /// A program with what leads to the server in its environment.
    fn command(&self, program: &Path) -> Command {
        let mut command = Command::new(program);
        command.env("AWS_ENDPOINT_URL", self.server.url()).env("AWS_REGION", "us-east-1");
        command.env("AWS_ACCESS_KEY_ID", "lab").env("AWS_SECRET_ACCESS_KEY", "lab");
        command.env("AWS_EC2_METADATA_DISABLED", "true").env("AWS_CONFIG_FILE", "/dev/null");
        command.env("RUNBOOK_STATE", self.folder.path().join("state"));
        command.stdout(Stdio::null()).stderr(Stdio::null()).current_dir(self.folder.path());
        command
    }

    /// One step of ours; gives the most memory it held, in MiB.
    fn ours(&self, step: &str, key: &str) -> u64 {
        let mut command = self.command(Path::new(env!("CARGO_BIN_EXE_runbook")));
        command.args(["run", "measured.yaml", "-p", &format!("step={step}")]);
        command.args(["-p", &format!("key={key}")]);
        watched(command.spawn().expect("runbook starts"))
    }

    fn aws(&self, from: &str, to: &str) {
        let program = lab::moto::program("aws").expect("the `aws` program");
        let copied = self.command(&program).args(["s3", "cp", from, to]).status();
        assert!(copied.expect("`aws` runs").success(), "{from} to {to}");
    }
}

/// Waits for a process; gives the most memory it held, in MiB.
fn watched(mut child: Child) -> u64 {
    let status = format!("/proc/{}/status", child.id());
    let mut peak = 0;
    loop {
        let told = std::fs::read_to_string(&status).unwrap_or_default();
        peak = peak.max(high_water(&told).unwrap_or_default());
        if let Some(status) = child.try_wait().expect("the process is ours") {
            assert!(status.success(), "{status}");
            return peak;
        }
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// Three of each in turn; gives the medians of ours and theirs.
fn in_turn(mut ours: impl FnMut(u32), mut theirs: impl FnMut(u32)) -> (Duration, Duration) {
    let (mut first, mut second) = (Vec::new(), Vec::new());
    for round in 0..3 {
        first.push(timed(&mut || ours(round)));
        second.push(timed(&mut || theirs(round)));
    }
    first.sort();
    second.sort();
    (first[1], second[1])
}

fn compared(what: &str, (ours, theirs): (Duration, Duration)) -> Row {
    let (ours, theirs) = (ours.as_secs_f64(), theirs.as_secs_f64());
    let ratio = ours / theirs;
    let measured = format!("{ratio:.2} times ({ours:.1} s / {theirs:.1} s)");
    Row::new(what, measured, "1.3 times", ratio <= 1.3)
}

/// Measures it.
pub(crate) fn section() -> Section {
    let megabytes = std::env::var("RUNBOOK_BENCH_MB").ok().and_then(|text| text.parse().ok());
    let megabytes = megabytes.unwrap_or(1024);
    let place = Place::new(megabytes);
    let memory = std::cell::Cell::new(0);
    let ours = |step: &str, key: &str| memory.set(memory.get().max(place.ours(step, key)));
    let up = in_turn(
        |round| ours("put", &format!("ours-{round}")),
        |round| place.aws("object", &format!("s3://bench/theirs-{round}")),
    );
    let down = in_turn(
        |round| ours("get", &format!("ours-{round}")),
        |round| {
            place.aws(&format!("s3://bench/theirs-{round}"), "theirs");
            std::fs::remove_file(place.folder.path().join(format!("ours-{round}")))
                .expect("the object came");
        },
    );
    let memory = memory.get();
    Section {
        title: "Objects in S3",
        how: "Whole processes against one S3 on loopback: hashed on the way and compared by the \
              server (`store.put`), read in ranges and compared with the SHA-256 (`store.get`).",
        rows: vec![
            compared(&format!("up, {megabytes} MiB, against `aws s3 cp`"), up),
            compared("down, against `aws s3 cp`", down),
            Row::new("peak memory", format!("{memory} MiB"), "256 MiB", memory < 256),
        ],
    }
}
