//! What happened in archived segments, as `pg_waldump` tells it.
//! <https://www.postgresql.org/docs/current/pgwaldump.html>

use std::path::Path;

use engine::context::{Progress, StepContext};
use engine::files;
use engine::process::Program;
use jiff::Timestamp;
use model::step_error::StepError;
use model::wal::{Lsn, Segment, WalName};
use tokio::io::{AsyncBufReadExt, BufReader};

use super::fetch;
use crate::store::Store;

/// The end of a transaction.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::pg) struct End {
    /// Its number, the lower 32 bits.
    pub(in crate::pg) xid: u32,
    /// When, by the clock of the server that wrote it.
    pub(in crate::pg) at: Timestamp,
    /// Where it is written.
    pub(in crate::pg) lsn: Lsn,
    /// It was committed, not rolled back.
    pub(in crate::pg) committed: bool,
}

/// What happened in some segments.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(in crate::pg) struct Scanned {
    /// The last transaction that was committed.
    pub(in crate::pg) last_commit: Option<End>,
    /// The last transaction that ended.
    pub(in crate::pg) last_end: Option<End>,
    /// At the last moment when no transaction was under way: the number that the next one gets.
    pub(in crate::pg) quiet: Option<u32>,
    /// The last record.
    pub(in crate::pg) last_record: Option<Lsn>,
    /// Where what was looked for is written.
    pub(in crate::pg) found: Option<Lsn>,
}

/// What to look for besides.
#[derive(Debug, Clone, Copy)]
pub(in crate::pg) enum Sought<'a> {
    /// Nothing.
    Nothing,
    /// The end of that transaction.
    Transaction(u32),
    /// The newest restore point of that name.
    RestorePoint(&'a str),
}

/// One line of `pg_waldump`.
#[derive(Debug, PartialEq, Eq)]
struct Line<'a> {
    xid: u32,
    lsn: Lsn,
    says: &'a str,
}

fn between<'a>(text: &'a str, before: &str, after: char) -> Option<&'a str> {
    let (_, rest) = text.split_once(before)?;
    Some(rest.split(after).next().unwrap_or(rest).trim())
}

fn parse(line: &str) -> Option<Line<'_>> {
    let xid = between(line, " tx:", ',')?.parse().ok()?;
    let lsn = between(line, " lsn: ", ',')?.parse().ok()?;
    let (_, says) = line.split_once(" desc: ")?;
    Some(Line { xid, lsn, says })
}

/// `COMMIT 2026-11-20 02:00:00.123456 UTC; ...`, `COMMIT_PREPARED 739: 2026-...`.
fn end(line: &Line<'_>) -> Option<End> {
    let (word, rest) = line.says.split_once(' ')?;
    let (committed, prepared) = match word {
        "COMMIT" => (true, false),
        "ABORT" => (false, false),
        "COMMIT_PREPARED" => (true, true),
        "ABORT_PREPARED" => (false, true),
        _ => return None,
    };
    let (xid, rest) = if prepared {
        let (xid, rest) = rest.split_once(": ")?;
        (xid.parse().ok()?, rest)
    } else {
        (line.xid, rest)
    };
    let mut words = rest.split([' ', ';']);
    let at = format!("{}T{}Z", words.next()?, words.next()?).parse().ok()?;
    Some(End { xid, at, lsn: line.lsn, committed })
}

/// `RUNNING_XACTS nextXid 737 latestCompletedXid 736 oldestRunningXid 737`: none is under way when
/// the oldest is the next.
fn quiet(says: &str) -> Option<u32> {
    let rest = says.strip_prefix("RUNNING_XACTS ")?;
    let next: u32 = between(rest, "nextXid ", ' ')?.parse().ok()?;
    let oldest = between(rest, "oldestRunningXid ", ' ')?;
    (oldest.trim_end_matches(';').parse() == Ok(next)).then_some(next)
}

impl Scanned {
    /// What older segments tell beside what newer ones told.
    pub(in crate::pg) fn after(self, older: Self) -> Self {
        Self {
            last_commit: self.last_commit.or(older.last_commit),
            last_end: self.last_end.or(older.last_end),
            quiet: self.quiet.or(older.quiet),
            last_record: self.last_record.or(older.last_record),
            found: self.found.or(older.found),
        }
    }

    fn add(&mut self, line: &str, sought: Sought<'_>) {
        let Some(line) = parse(line) else { return };
        self.last_record = Some(line.lsn);
        if let Some(end) = end(&line) {
            if matches!(sought, Sought::Transaction(xid) if xid == end.xid && end.committed) {
                self.found = Some(end.lsn);
            }
            if end.committed {
                self.last_commit = Some(end.clone());
            }
            self.last_end = Some(end);
        } else if let Some(next) = quiet(line.says) {
            self.quiet = Some(next);
        } else if let Some(name) = line.says.strip_prefix("RESTORE_POINT ")
            && matches!(sought, Sought::RestorePoint(wanted) if wanted == name.trim_end())
        {
            // Recovery stops at the first of that name.
            self.found = self.found.or(Some(line.lsn));
        }
    }
}

/// Reads archived segments, which follow each other, through `pg_waldump` in `folder`.
pub(in crate::pg) async fn scan(
    ctx: &StepContext,
    (store, cluster): (&dyn Store, u64),
    segments: &[Segment],
    (pg_waldump, folder): (&str, &Path),
    sought: Sought<'_>,
) -> Result<Scanned, StepError> {
    let mut scanned = Scanned::default();
    // `pg_waldump` follows one timeline.
    for stretch in segments.chunk_by(|a, b| a.timeline == b.timeline) {
        files::remove_folder(folder).and_then(|()| files::create_folder(folder)).map_err(
            |error| {
                let message = "the folder for archived segments cannot be made";
                StepError::transient("RB0597", message).caused_by(&error)
            },
        )?;
        for segment in stretch {
            let activity = format!("read `{segment}` of the archive");
            ctx.progress(Progress { activity, done: 0, total: None, bytes: false });
            let name = WalName::Segment(*segment);
            fetch(store, Some(cluster), &name, &folder.join(segment.to_string())).await?;
        }
        let (Some(first), Some(last)) = (stretch.first(), stretch.last()) else { continue };
        dump(ctx, pg_waldump, folder, (first, last), &mut scanned, sought).await?;
    }
    files::remove_folder(folder).ok();
    Ok(scanned)
}

/// Segments that are read at once, at most.
const BATCH: usize = 16;

/// Reads backwards from the last of some segments to the last commit in them.
pub(in crate::pg) async fn scan_end(
    ctx: &StepContext,
    from: (&dyn Store, u64),
    segments: &[Segment],
    with: (&str, &Path),
) -> Result<Scanned, StepError> {
    let (mut scanned, mut left, mut count) = (Scanned::default(), segments, 1);
    while scanned.last_commit.is_none() && !left.is_empty() {
        let (before, batch) = left.split_at(left.len().saturating_sub(count));
        scanned = scanned.after(scan(ctx, from, batch, with, Sought::Nothing).await?);
        (left, count) = (before, (count * 4).min(BATCH));
    }
    Ok(scanned)
}

/// Reads forward until what is sought is found.
pub(in crate::pg) async fn scan_for(
    ctx: &StepContext,
    from: (&dyn Store, u64),
    segments: &[Segment],
    with: (&str, &Path),
    sought: Sought<'_>,
) -> Result<Scanned, StepError> {
    let mut scanned = Scanned::default();
    for batch in segments.chunks(BATCH) {
        scanned = scan(ctx, from, batch, with, sought).await?.after(scanned);
        if scanned.found.is_some() {
            break;
        }
    }
    Ok(scanned)
}

async fn dump(
    ctx: &StepContext,
    pg_waldump: &str,
    folder: &Path,
    (first, last): (&Segment, &Segment),
    scanned: &mut Scanned,
    sought: Sought<'_>,
) -> Result<(), StepError> {
    let program = Program::new(pg_waldump)
        .arg("--path")
        .arg(folder)
        .args([first.to_string(), last.to_string()])
        .env("TZ", "UTC")
        .env("LC_ALL", "C")
        .with_stdout();
    let mut child = program.start(ctx).await?;
    let stdout = child.stdout().expect("the output was asked for");
    let mut lines = BufReader::new(stdout).lines();
    while let Ok(Some(line)) = tokio::select! {
        biased;
        () = ctx.cancel().cancelled() => Ok(None),
        line = lines.next_line() => line,
    } {
        scanned.add(&line, sought);
    }
    // It ends with an error where a record goes on in the next segment: what it read counts.
    child.wait().await.map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;

    const COMMIT: &str = "rmgr: Transaction len (rec/tot):     34/    34, tx:        735, \
        lsn: 0/01964E90, prev 0/01964E58, desc: COMMIT 2026-11-28 09:14:25.123456 UTC; rels: base/5/16384";
    const ABORT: &str = "rmgr: Transaction len (rec/tot):     34/    34, tx:        736, \
        lsn: 0/01964F00, prev 0/01964E90, desc: ABORT 2026-11-28 09:14:26.000001 UTC";
    const PREPARED: &str = "rmgr: Transaction len (rec/tot):     34/    34, tx:          0, \
        lsn: 0/01965000, prev 0/01964F00, desc: COMMIT_PREPARED 734: 2026-11-28 09:14:27.5 UTC";
    const POINT: &str = "rmgr: XLOG        len (rec/tot):     98/    98, tx:          0, \
        lsn: 0/01965100, prev 0/01965000, desc: RESTORE_POINT before release";

    #[test]
    fn the_end_of_the_archive_is_read_from_its_records() {
        let mut scanned = Scanned::default();
        for line in [COMMIT, PREPARED, ABORT, POINT, "nothing of the kind"] {
            scanned.add(line, Sought::Nothing);
        }
        let commit = scanned.last_commit.unwrap();
        assert_eq!((commit.xid, commit.at.to_string().as_str()), (734, "2026-11-28T09:14:27.5Z"));
        let end = scanned.last_end.unwrap();
        assert_eq!((end.xid, end.committed), (736, false));
        assert_eq!(scanned.last_record, Some(Lsn(0x0196_5100)));
        assert_eq!(scanned.found, None);
    }

    #[test]
    fn a_quiet_moment_is_one_without_a_transaction_under_way() {
        let line = |rest: &str| format!("RUNNING_XACTS nextXid 737 latestCompletedXid 736 {rest}");
        assert_eq!(quiet(&line("oldestRunningXid 737")), Some(737));
        assert_eq!(quiet(&line("oldestRunningXid 735; 1 xacts: 735")), None);
        assert_eq!(quiet("COMMIT 2026-11-28 09:14:25.123456 UTC"), None);
    }

    #[test]
    fn what_is_sought_is_found_by_transaction_and_by_name() {
        let found = |sought| {
            let mut scanned = Scanned::default();
            for line in [COMMIT, ABORT, PREPARED, POINT] {
                scanned.add(line, sought);
            }
            scanned.found
        };
        assert_eq!(found(Sought::Transaction(735)), Some(Lsn(0x0196_4E90)));
        assert_eq!(found(Sought::Transaction(736)), None, "it was rolled back");
        assert_eq!(found(Sought::Transaction(734)), Some(Lsn(0x0196_5000)));
        assert_eq!(found(Sought::RestorePoint("before release")), Some(Lsn(0x0196_5100)));
        assert_eq!(found(Sought::RestorePoint("before")), None);
    }
}
