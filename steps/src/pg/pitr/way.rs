//! The way to a moment: a base backup, and the archived WAL that leads on from it. Checked before
//! anything is done.

use std::path::Path;

use engine::context::StepContext;
use model::base::{BaseManifest, chain};
use model::step_error::StepError;
use model::wal::{History, Lsn, Reach, Segment, reach};

use super::Input;
use super::target::Target;
use crate::pg::archive::{self, Contents, Scanned, Sought, scan_end, scan_for};
use crate::pg::{base_backup, server_programs};
use crate::store::Store;

/// As many base backups are named in a message.
const NAMED: usize = 10;

/// A way that was found.
#[derive(Debug)]
pub(super) struct Way {
    /// The base backup with all it builds on, the full one first.
    pub(super) chain: Vec<BaseManifest>,
    /// The timeline that is followed.
    pub(super) timeline: u32,
    /// The archived segments that follow each other.
    pub(super) path: Vec<Segment>,
    /// What stops the server: the name of a setting and its value.
    pub(super) stop: (&'static str, String),
    /// The last archived commit, as far as it was looked for.
    pub(super) last_commit: Option<String>,
}

/// Where everything is looked for.
pub(super) struct Map<'a> {
    pub(super) input: &'a Input,
    pub(super) ctx: &'a StepContext,
    pub(super) bases: &'a dyn Store,
    pub(super) archive: &'a dyn Store,
    pub(super) target: &'a Target,
}

/// What leads on from one base backup.
struct Lead {
    history: History,
    reach: Reach,
}

impl Way {
    /// The base backup itself.
    pub(super) fn base(&self) -> &BaseManifest {
        self.chain.last().expect("a chain has at least one backup")
    }

    /// The major version of the server.
    pub(super) fn major(&self) -> u32 {
        self.base().server.version_num / 10_000
    }
}

impl Map<'_> {
    /// Finds the way, or says why there is none.
    pub(super) async fn way(&self) -> Result<Way, StepError> {
        let all = self.all().await?;
        let candidates = self.candidates(&all)?;
        let cluster = cluster_of(candidates[0])?;
        let contents = archive::contents(self.archive, cluster).await?;
        match self.target {
            Target::Xid(_) | Target::Name(_) => self.search(&all, &candidates, &contents).await,
            Target::Latest | Target::Time(_) | Target::Lsn(_) => {
                self.reachable(&all, candidates[0], &contents).await
            }
        }
    }

    /// Every base backup of the cluster, newest first.
    async fn all(&self) -> Result<Vec<BaseManifest>, StepError> {
        let found = base_backup::find(self.bases, self.input.cluster.as_deref()).await?;
        for broken in &found.broken {
            self.ctx.log(format!("passed over: {broken}"));
        }
        let first = found.whole.first().map(|base| base.server.system_identifier.clone());
        let Some(first) = first else {
            let message = format!("`{}` holds no base backup", self.bases.describe());
            return Err(StepError::permanent("RB0626", message)
                .hint("take one with `pg.base_backup`; a logical set does not lead to a moment"));
        };
        if found.whole.iter().any(|base| base.server.system_identifier != first) {
            let message =
                format!("`{}` holds base backups of several clusters", self.bases.describe());
            return Err(StepError::permanent("RB0626", message)
                .hint("name the one that is meant as `cluster`"));
        }
        Ok(found.whole)
    }

    /// Those that had ended before the moment, newest first; never none.
    fn candidates<'b>(&self, all: &'b [BaseManifest]) -> Result<Vec<&'b BaseManifest>, StepError> {
        let wanted = |base: &&BaseManifest| {
            self.input.base == "latest" || base.base.as_str() == self.input.base
        };
        let in_time = |base: &&BaseManifest| match self.target {
            Target::Time(at) => base.finished <= *at,
            Target::Lsn(lsn) => base.stop_lsn <= *lsn,
            Target::Latest | Target::Xid(_) | Target::Name(_) => true,
        };
        let named: Vec<_> = all.iter().filter(wanted).collect();
        if named.is_empty() {
            let message = format!("there is no base backup `{}`", self.input.base);
            return Err(StepError::permanent("RB0626", message).hint(there_are(all)));
        }
        let fitting: Vec<_> = named.iter().copied().filter(in_time).collect();
        if fitting.is_empty() {
            let which = match named[..] {
                [only] => format!("base backup `{}` ends", only.base),
                _ => "every base backup ends".to_owned(),
            };
            let message = format!("{which} after the moment `{}`", self.target);
            return Err(StepError::permanent("RB0626", message).hint(there_are(all)));
        }
        Ok(fitting)
    }

    async fn lead(&self, base: &BaseManifest, contents: &Contents) -> Result<Lead, StepError> {
        let cluster = cluster_of(base)?;
        let history = self.history(base, cluster, contents).await?;
        let size = base.server.segment_bytes;
        let last = base.last_segment().number(size);
        // Of a standby the archive goes on in the segment in which the backup ended.
        let mut reached = reach(&contents.segments, &history, last, size);
        if reached.path.is_empty() {
            reached = reach(&contents.segments, &history, last + 1, size);
        }
        Ok(Lead { history, reach: reached })
    }

    /// The newest timeline that leads on from the base backup, or the one that is asked for.
    async fn history(
        &self,
        base: &BaseManifest,
        cluster: u64,
        contents: &Contents,
    ) -> Result<History, StepError> {
        let timelines = match self.input.timeline {
            Some(timeline) => vec![timeline],
            None => contents.timelines(),
        };
        for timeline in timelines {
            let history = archive::history(self.archive, cluster, timeline).await?;
            if history.contains(base.timeline, base.stop_lsn) {
                return Ok(history);
            }
        }
        if let Some(timeline) = self.input.timeline {
            let message = format!(
                "timeline {timeline} does not lead on from base backup `{}`, which is of timeline {}",
                base.base, base.timeline
            );
            return Err(StepError::permanent("RB0632", message)
                .hint("leave `timeline` out for the newest that does"));
        }
        Ok(History::first(base.timeline))
    }

    /// A way to a time, a position or the end, if the archive leads there.
    async fn reachable(
        &self,
        all: &[BaseManifest],
        base: &BaseManifest,
        contents: &Contents,
    ) -> Result<Way, StepError> {
        let lead = self.lead(base, contents).await?;
        let scanned = self.scan(base, &lead.reach, Sought::Nothing).await?;
        let last = scanned.last_record.unwrap_or(base.stop_lsn);
        let (stop, there) = match self.target {
            Target::Time(at) => {
                // The server stops at the first transaction that ended later.
                let later = |end: &archive::End| {
                    if self.input.inclusive { end.at > *at } else { end.at >= *at }
                };
                let stop = at.strftime("%Y-%m-%d %H:%M:%S.%6f+00").to_string();
                (("recovery_target_time", stop), scanned.last_end.as_ref().is_some_and(later))
            }
            Target::Lsn(lsn) => (("recovery_target_lsn", lsn.to_string()), *lsn <= last),
            _ if lead.reach.path.is_empty() => {
                (("recovery_target", "immediate".to_owned()), lead.reach.missing.is_none())
            }
            _ => (("recovery_target_lsn", last.to_string()), lead.reach.missing.is_none()),
        };
        if !there {
            return Err(self.too_far(base, &lead.reach, &scanned));
        }
        self.found(all, base, lead, stop, &scanned)
    }

    /// Looks through the archive, from the newest base backup on, for a transaction or a name.
    async fn search(
        &self,
        all: &[BaseManifest],
        candidates: &[&BaseManifest],
        contents: &Contents,
    ) -> Result<Way, StepError> {
        let (sought, stop) = match self.target {
            Target::Xid(xid) => {
                let low = u32::try_from(xid & 0xFFFF_FFFF).expect("32 bits are left");
                (Sought::Transaction(low), ("recovery_target_xid", xid.to_string()))
            }
            Target::Name(name) => {
                (Sought::RestorePoint(name), ("recovery_target_name", name.clone()))
            }
            _ => unreachable!("only a transaction or a name is looked for"),
        };
        let mut missing = None;
        for base in candidates {
            let lead = self.lead(base, contents).await?;
            let scanned = self.scan(base, &lead.reach, sought).await?;
            if scanned.found.is_some() {
                return self.found(all, base, lead, stop, &scanned);
            }
            missing = missing.or(lead.reach.missing);
        }
        if let Some(missing) = missing {
            return Err(self.gap(&missing, "it was not found before that"));
        }
        let message = format!("`{}` is not in the archive", self.target);
        Err(StepError::permanent("RB0632", message).hint(
            "a transaction must have been committed, a restore point made, after the oldest base backup \
             and before the end of the archive",
        ))
    }

    async fn scan(
        &self,
        base: &BaseManifest,
        reach: &Reach,
        sought: Sought<'_>,
    ) -> Result<Scanned, StepError> {
        if reach.path.is_empty() {
            return Ok(Scanned::default());
        }
        let major = base.server.version_num / 10_000;
        let bin = self.input.bin.as_deref();
        let (program, _) = server_programs::find(self.ctx, bin, "pg_waldump", major).await?;
        let folder = self.ctx.scratch_folder()?.join("archive");
        let (from, with): (_, (&str, &Path)) =
            ((self.archive, cluster_of(base)?), (&program, &folder));
        match sought {
            Sought::Nothing => scan_end(self.ctx, from, &reach.path, with).await,
            sought => scan_for(self.ctx, from, &reach.path, with, sought).await,
        }
    }

    fn found(
        &self,
        all: &[BaseManifest],
        base: &BaseManifest,
        lead: Lead,
        stop: (&'static str, String),
        scanned: &Scanned,
    ) -> Result<Way, StepError> {
        let chain = chain(all, &base.base).map_err(|broken| {
            StepError::permanent("RB0624", broken.to_string())
                .hint("name another base backup as `base`")
        })?;
        let chain: Vec<BaseManifest> = chain.into_iter().cloned().collect();
        self.ctx.log(format!("base backup `{}` ended at {}", base.base, base.finished));
        Ok(Way {
            chain,
            timeline: lead.history.timeline,
            path: lead.reach.path,
            stop,
            last_commit: scanned.last_commit.as_ref().map(|commit| commit.at.to_string()),
        })
    }

    /// The moment lies beyond what the archive leads to: behind a gap, or behind its end.
    fn too_far(&self, base: &BaseManifest, reach: &Reach, scanned: &Scanned) -> StepError {
        let end = scanned.last_end.as_ref().map(|end| end.at.to_string());
        let end = match (self.target, end) {
            (Target::Time(_), Some(end)) => {
                format!("the last transaction before that ended at {end}")
            }
            (Target::Time(_), None) => {
                format!("nothing was committed after base backup `{}`", base.base)
            }
            _ => {
                let last: Lsn = scanned.last_record.unwrap_or(base.stop_lsn);
                format!("the last record before that is at {last}")
            }
        };
        if let Some(missing) = &reach.missing {
            return self.gap(missing, &end);
        }
        let end = end.replace("before that ", "in the archive ");
        let message = format!("the moment `{}` lies beyond the archive: {end}", self.target);
        StepError::permanent("RB0630", message).hint(
            "choose an earlier moment, or `latest` for the end of the archive; if the server still \
             runs, `select pg_switch_wal()` there archives what it has written",
        )
    }

    fn gap(&self, missing: &Segment, end: &str) -> StepError {
        let message = format!(
            "segment `{missing}` is missing from the archive, so that `{}` cannot be reached: {end}",
            self.target
        );
        StepError::permanent("RB0631", message).hint(
            "bring the segment back (another copy of the archive, `pg_wal` of the server), or choose a \
             moment before it",
        )
    }
}

fn cluster_of(base: &BaseManifest) -> Result<u64, StepError> {
    let text = &base.server.system_identifier;
    text.parse().map_err(|_| StepError::permanent("RB0626", format!("`{text}` is no cluster")))
}

fn there_are(all: &[BaseManifest]) -> String {
    let one = |base: &BaseManifest| format!("`{}` (ended at {})", base.base, base.finished);
    let named = all.iter().take(NAMED).map(one).collect::<Vec<_>>().join(", ");
    let more = all.len().saturating_sub(NAMED);
    let more = if more > 0 { format!(" and {more} older ones") } else { String::new() };
    format!("there are {named}{more}")
}
