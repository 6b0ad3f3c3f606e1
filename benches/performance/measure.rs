//! Timing, and the page the numbers are written to.

use std::fmt::Write as _;
use std::process::Command;
use std::time::{Duration, Instant};

/// One table of the page.
pub(crate) struct Section {
    pub(crate) title: &'static str,
    pub(crate) how: &'static str,
    pub(crate) rows: Vec<Row>,
}

/// One thing that was measured and what it is held against.
pub(crate) struct Row {
    pub(crate) what: String,
    pub(crate) measured: String,
    pub(crate) target: String,
    pub(crate) held: bool,
}

impl Row {
    pub(crate) fn new(what: &str, measured: String, target: &str, held: bool) -> Self {
        Self { what: what.to_owned(), measured, target: target.to_owned(), held }
    }
}

/// The median time of `times` calls.
pub(crate) fn median(times: usize, mut call: impl FnMut()) -> Duration {
    let mut taken: Vec<Duration> = (0..times).map(|_| timed(&mut call)).collect();
    taken.sort();
    taken[times / 2]
}

/// The time of one call.
pub(crate) fn timed(call: &mut impl FnMut()) -> Duration {
    let begun = Instant::now();
    call();
    begun.elapsed()
}

/// The most memory that a process held, in MiB, as its `/proc/<pid>/status` says it; an ended one
/// says nothing. <https://www.kernel.org/doc/html/latest/filesystems/proc.html>
pub(crate) fn high_water(status: &str) -> Option<u64> {
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    let kibibytes: u64 = line.trim().trim_end_matches(" kB").parse().ok()?;
    Some(kibibytes / 1024)
}

/// A duration in milliseconds, as the page prints it.
pub(crate) fn millis(duration: Duration) -> String {
    format!("{:.1} ms", duration.as_secs_f64() * 1e3)
}

fn said_by(program: &str, args: &[&str]) -> String {
    let output = Command::new(program).args(args).output().expect("the program runs");
    String::from_utf8_lossy(&output.stdout).trim().to_owned()
}

/// The whole page.
pub(crate) fn page(sections: &[Section]) -> String {
    let cores = std::thread::available_parallelism().map_or(0, usize::from);
    let mut page = format!(
        "# Performance\n\nMeasured by `make bench` on {cores} cores, {}, {}. Ratios are taken within one run;\n\
         absolute times are of that machine.\n",
        said_by("pg_dump", &["--version"]),
        said_by("rustc", &["--version"]),
    );
    for section in sections {
        let header = "| what | measured | held against | |\n|---|---|---|---|";
        write!(page, "\n## {}\n\n{}\n\n{header}\n", section.title, section.how)
            .expect("text grows");
        for row in &section.rows {
            let verdict = if row.held { "held" } else { "**missed**" };
            writeln!(page, "| {} | {} | {} | {verdict} |", row.what, row.measured, row.target)
                .expect("text grows");
        }
    }
    page
}
