//! `validate`, whole process: start, read, check, exit.

use std::fmt::Write as _;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use crate::measure::{Row, Section, median, millis};

/// A runbook of `steps` steps, each with a template, every tenth with a reference to the one before.
fn runbook(steps: usize) -> String {
    let mut text =
        "version: 1\nname: long\nparams:\n  label: {type: string, default: daily}\nsteps:\n"
            .to_owned();
    for step in 0..steps {
        let value = if step % 10 == 9 {
            format!("{{{{ steps.step_{}.outputs.stdout }}}}", step - 1)
        } else {
            "{{ params.label }}".to_owned()
        };
        let argv = format!("[echo, \"{value}\", \"number {step}\"]");
        writeln!(text, "  - id: step_{step}\n    uses: command.run\n    with: {{argv: {argv}, idempotent: true}}")
            .expect("text grows");
    }
    text
}

fn validate(file: &Path) {
    let status = Command::new(env!("CARGO_BIN_EXE_runbook"))
        .arg("validate")
        .arg(file)
        .output()
        .expect("it runs")
        .status;
    assert!(status.success(), "{} is valid", file.display());
}

fn validated(folder: &Path, steps: usize, times: usize) -> Duration {
    let file = folder.join(format!("{steps}.yaml"));
    std::fs::write(&file, runbook(steps)).expect("the runbook is written");
    median(times, || validate(&file))
}

pub(crate) fn section() -> Section {
    let folder = tempfile::tempdir().expect("a folder is made");
    let hundred = validated(folder.path(), 100, 21);
    let thousand = validated(folder.path(), 1_000, 11);
    let ten_thousand = validated(folder.path(), 10_000, 5);
    let growth = ten_thousand.as_secs_f64() / thousand.as_secs_f64();
    let rows = vec![
        Row::new("100 steps", millis(hundred), "under 20 ms", hundred < Duration::from_millis(20)),
        Row::new("1,000 steps", millis(thousand), "", true),
        Row::new(
            "10,000 steps",
            millis(ten_thousand),
            "under 1 s",
            ten_thousand < Duration::from_secs(1),
        ),
        Row::new(
            "10,000 steps against 1,000",
            format!("{growth:.1} times"),
            "linear: under 12 times",
            growth < 12.0,
        ),
    ];
    Section {
        title: "`validate`",
        how: "Median of whole processes, start and exit included.",
        rows,
    }
}
