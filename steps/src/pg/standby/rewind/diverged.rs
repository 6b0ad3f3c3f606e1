//! What the old primary had written after the new one went its own way: kept, listed, counted.
//! <https://www.postgresql.org/docs/current/pgwaldump.html>

use std::path::Path;

use engine::files;
use model::step_error::StepError;
use model::wal::{Lsn, Segment, WalName};
use serde::{Deserialize, Serialize};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};

use super::control::Control;
use crate::pg::programs;
use crate::pg::standby::server::Local;

/// How `pg_waldump` says that nothing follows.
const NO_RECORD: &str = "could not find a valid record";

/// What will be gone from the server, and where it is kept.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Diverged {
    /// Where the histories part; nothing when the server is on its primary's timeline.
    pub(super) fork: Option<String>,
    /// Bytes of WAL after that.
    pub(super) bytes: u64,
    /// Commits among them.
    pub(super) transactions: u64,
}

fn not_kept(folder: &Path, error: &std::io::Error) -> StepError {
    let message = format!("what the old primary wrote cannot be kept in `{}`", folder.display());
    StepError::needs_operator("RB0507", message)
        .caused_by(error)
        .hint("nothing was changed: name a folder with room as `save`")
}

/// Copies the WAL after the fork and the server's own configuration into `folder`, and lists the
/// records. Nothing of the server is changed.
pub(super) async fn keep(
    local: &Local<'_>,
    control: &Control,
    fork: Option<Lsn>,
    folder: &Path,
) -> Result<Diverged, StepError> {
    let failed = |error: std::io::Error| not_kept(folder, &error);
    for inner in ["wal", "conf"] {
        files::create_folder(&folder.join(inner)).map_err(failed)?;
    }
    for name in configuration(local.data()).map_err(failed)? {
        let from = local.data().join(&name);
        copy(&from, &folder.join("conf").join(&name)).map_err(failed)?;
    }
    let Some(fork) = fork else { return Ok(Diverged::default()) };
    let wal = local.data().join("pg_wal");
    let names = files::list(&wal).map_err(failed)?;
    let first = fork.0 / control.segment_bytes;
    let after = |name: &str| match name.parse() {
        Ok(WalName::Segment(segment)) => {
            segment.timeline == control.timeline && segment.number(control.segment_bytes) >= first
        }
        _ => false,
    };
    for name in names.iter().filter(|name| after(name)) {
        local.ctx.log(format!("keep WAL segment {name}"));
        copy(&wal.join(name), &folder.join("wal").join(name)).map_err(failed)?;
    }
    let begins = Segment::of(control.timeline, first, control.segment_bytes).to_string();
    if !names.contains(&begins) {
        // It ends before the fork.
        return Ok(Diverged { fork: Some(fork.to_string()), ..Diverged::default() });
    }
    let listed = list(local, control, fork, folder).await?;
    Ok(Diverged { fork: Some(fork.to_string()), ..listed })
}

/// Files of the server's configuration in its data directory.
pub(super) fn configuration(folder: &Path) -> std::io::Result<Vec<String>> {
    let is_conf = |name: &String| Path::new(name).extension().is_some_and(|it| it == "conf");
    Ok(files::list(folder)?.into_iter().filter(is_conf).collect())
}

fn copy(from: &Path, to: &Path) -> std::io::Result<()> {
    files::write_durably(to, &files::read(from)?)
}

/// Writes the records after the fork into `records.txt` and counts them.
async fn list(
    local: &Local<'_>,
    control: &Control,
    fork: Lsn,
    folder: &Path,
) -> Result<Diverged, StepError> {
    let failed = |error: std::io::Error| not_kept(folder, &error);
    // The copy is read: what is kept can be read again. It belongs to this process.
    let program = local.own_program("pg_waldump").await?.with_stdout();
    let program = program.arg(format!("--path={}", folder.join("wal").display()));
    let program = program.arg(format!("--timeline={}", control.timeline));
    let mut child = program.arg(format!("--start={fork}")).start(local.ctx).await?;
    let mut lines = BufReader::new(child.stdout().expect("the output was asked for")).lines();
    let path = folder.join("records.txt");
    files::remove(&path).map_err(failed)?;
    let file = files::create_private(&path).map_err(failed)?;
    let mut records = tokio::fs::File::from_std(file);
    let mut found = Diverged::default();
    while let Some(line) = lines.next_line().await.map_err(failed)? {
        found.count(&line, fork);
        records.write_all(format!("{line}\n").as_bytes()).await.map_err(failed)?;
    }
    records.sync_all().await.map_err(failed)?;
    let exit = child.wait().await?;
    // At the end of the WAL it says that the next record does not read.
    if found.bytes == 0 && !exit.stderr.contains(NO_RECORD) {
        programs::succeeded(&exit)?;
    }
    Ok(found)
}

impl Diverged {
    /// `rmgr: Transaction len (rec/tot): 34/ 34, tx: 735, lsn: 0/03000148, prev ..., desc: COMMIT ...`
    fn count(&mut self, line: &str, fork: Lsn) {
        let after = |key: &str, end: char| {
            let rest = line.split_once(key)?.1;
            Some(rest.split(end).next()?.trim().to_owned())
        };
        let length =
            after("/tot):", ',').and_then(|text| text.split_once('/')?.1.trim().parse().ok());
        let begin = after("lsn:", ',').and_then(|text| text.parse::<Lsn>().ok());
        let (Some(length), Some(begin)) = (length, begin) else { return };
        let length: u64 = length;
        self.bytes = (begin.0 + length).saturating_sub(fork.0);
        let commits = line.starts_with("rmgr: Transaction") && line.contains("desc: COMMIT");
        self.transactions += u64::from(commits);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_are_counted_from_the_fork_on() {
        let mut found = Diverged::default();
        for line in [
            "rmgr: Heap        len (rec/tot):     59/    59, tx:        735, lsn: 0/030000A0, \
             prev 0/03000060, desc: INSERT off 1 flags 0x00",
            "rmgr: Transaction len (rec/tot):     34/    34, tx:        735, lsn: 0/030000E0, \
             prev 0/030000A0, desc: COMMIT 2026-11-20 02:00:00.000000 UTC",
            "rmgr: Transaction len (rec/tot):     34/    34, tx:        736, lsn: 0/03000108, \
             prev 0/030000E0, desc: ABORT 2026-11-20 02:00:00.000000 UTC",
            "something else",
        ] {
            found.count(line, Lsn(0x0300_00A0));
        }
        assert_eq!((found.transactions, found.bytes), (1, 0x0108 - 0x00A0 + 34));
    }
}
