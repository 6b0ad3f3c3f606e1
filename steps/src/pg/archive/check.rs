//! `pg.archive_check`: whether the archive of WAL is whole, and how much would be lost now.

use std::time::Duration;

use engine::context::{Progress, StepContext};
use engine::step::{Observation, Step};
use jiff::Timestamp;
use model::base::BaseManifest;
use model::catalog::InputProblem;
use model::effect::{Effect, Repeat};
use model::footprint::{Footprint, Part};
use model::step_error::StepError;
use model::units::Span;
use model::wal::{Gap, History, Lsn, Reach, Segment, gaps, reach};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::archiver::{Archiver, archiver};
use super::scan::{Scanned, scan_end};
use super::{Contents, clusters, contents, history};
use crate::file::local::path_problem;
use crate::pg::connection::connect_named;
use crate::pg::{base_backup, server_programs};
use crate::store::{self, Store};

/// Between two looks while it waits.
const INTERVAL: Duration = Duration::from_secs(1);

/// Bytes of the header that every segment begins with: nothing that could be lost.
const FIRST_HEADER: u64 = 40;

/// Looks at the archive of WAL: is it whole, does it grow, how much would be lost now.
///
/// ## What it does
/// It lists the archived segments of the cluster and looks for gaps along the newest timeline, from
/// the oldest base backup on (without any, from the oldest segment). It reads the end of the archive
/// for the last commit that is in it, and asks the server what its archiver says. `rpo_seconds` is
/// the age of that commit, or of the newest base backup when that is younger: what was committed
/// since would be lost with the server. It is zero when the archive shows that no transaction has
/// been made since.
///
/// ## When to use it
/// On a schedule, with `max_age`; before something risky; as the first look when the server is gone,
/// then without `connection`.
///
/// ## What it changes
/// Nothing.
///
/// ## How it can fail
/// When segments are missing, when the archiver fails or is off, when the last moment that can be
/// recovered is older than `max_age`, when an archived file is damaged. A server on which nothing is written
/// archives nothing: set `archive_timeout`.
///
/// ## Example
/// ```yaml
/// - id: archive
///   uses: pg.archive_check
///   with: {connection: prod, store: backups, max_age: 15m}
/// ```
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Input {
    /// The server that archives: a name under `connections:`. Without it, the archive alone is
    /// looked at.
    connection: Option<String>,
    /// The store of the archive: a name under `stores:`.
    store: String,
    /// The store of the base backups; without it, the same.
    bases: Option<String>,
    /// The cluster's system identifier; without it, that of the server, or the only one there is.
    cluster: Option<String>,
    /// The last archived commit, or the newest base backup, is not older.
    max_age: Option<Span>,
    /// No segment is missing.
    #[serde(default = "crate::defaults::yes")]
    no_gaps: bool,
    /// The server archives, and its last attempt did not fail.
    #[serde(default = "crate::defaults::yes")]
    archiving: bool,
    /// The archive leads at least to this position, such as the end of a base backup.
    includes: Option<Lsn>,
    /// How long to wait for `includes`; without it, one look decides.
    wait: Option<Span>,
    /// The folder of the server programs of that version; found by itself where packages put it.
    bin: Option<String>,
}

/// Segments that are missing.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Missing {
    /// The first.
    from: String,
    /// The last.
    to: String,
}

/// What is in the archive.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Output {
    /// How long ago the last archived commit was made, or the newest base backup begun; 0 when
    /// nothing was committed since. The measured RPO.
    rpo_seconds: Option<f64>,
    /// When the last archived commit was made.
    #[schemars(with = "Option<String>")]
    last_commit: Option<Timestamp>,
    /// How many segments there are.
    segments: u64,
    /// The last segment to which one gets without a gap.
    last: String,
    /// The cluster's system identifier.
    system_identifier: String,
    /// The newest timeline in the archive.
    timeline: u32,
    /// All timelines in the archive, newest first.
    timelines: Vec<u32>,
    /// Size of the archive, in bytes.
    bytes: u64,
    /// The first segment that is needed: after the oldest base backup, else the oldest.
    first: String,
    /// Segments that are missing between others.
    gaps: Vec<Missing>,
    /// How many base backups there are.
    bases: u64,
    /// The newest base backup.
    newest_base: Option<String>,
    /// The last record that is archived: a target of `pg.pitr` that loses the least.
    last_lsn: Option<String>,
    /// What was committed after this would be lost with the server (RFC 3339).
    safe_until: Option<String>,
    /// WAL that the server has written and not archived, in bytes.
    unarchived_bytes: Option<u64>,
    /// The archiver's last attempt failed.
    failing: Option<bool>,
    /// How often the archiver has failed since its counters began.
    failed_count: Option<u64>,
    /// The file at which it last failed.
    last_failed: Option<String>,
    /// When a file was last archived, by the server.
    #[schemars(with = "Option<String>")]
    last_archived_at: Option<Timestamp>,
}

/// The step kind.
pub struct ArchiveCheck;

/// Everything that was found.
struct Seen {
    cluster: u64,
    contents: Contents,
    history: History,
    bases: Vec<BaseManifest>,
    from: u64,
    segment_bytes: u64,
    reach: Reach,
    gaps: Vec<Gap>,
    scanned: Scanned,
    archiver: Option<Archiver>,
    now: Timestamp,
}

/// Of which cluster the archive is looked at.
async fn cluster(
    input: &Input,
    archiver: Option<&Archiver>,
    store: &dyn Store,
) -> Result<u64, StepError> {
    let said = input.cluster.as_ref().or(archiver.map(|it| &it.system_identifier));
    if let Some(said) = said {
        return said.parse().map_err(|_| nothing(&format!("`{said}` is no system identifier")));
    }
    match clusters(store).await?.as_slice() {
        [only] => Ok(*only),
        [] => Err(nothing(&format!("`{}` holds no archive of WAL", store.describe()))),
        several => {
            let names = several.iter().map(u64::to_string).collect::<Vec<_>>().join(", ");
            Err(nothing(&format!("the store holds WAL of several clusters: {names}")))
        }
    }
}

fn nothing(why: &str) -> StepError {
    StepError::permanent("RB0598", why.to_owned())
        .hint("name the one that is meant as `cluster`; see `archive_command` of the server")
}

impl Seen {
    async fn look(input: &Input, ctx: &StepContext) -> Result<Self, StepError> {
        let archiver = match &input.connection {
            Some(name) => {
                let session = connect_named(ctx, name).await?;
                let archiver = archiver(&session).await?;
                session.close().await;
                Some(archiver)
            }
            None => None,
        };
        let store = store::open_named(ctx, &input.store).await?;
        let cluster = cluster(input, archiver.as_ref(), store.as_ref()).await?;
        let contents = contents(store.as_ref(), cluster).await?;
        let bases = match &input.bases {
            Some(name) => store::open_named(ctx, name).await?,
            None => store.clone(),
        };
        let bases = base_backup::find(bases.as_ref(), Some(&cluster.to_string())).await?.whole;
        let oldest = contents.segments.first().ok_or_else(|| {
            nothing(&format!("`{}` holds no WAL of cluster {cluster}", store.describe()))
        })?;
        let newest = contents.timelines().first().copied().unwrap_or(1);
        let history = history(store.as_ref(), cluster, newest).await?;
        let segment_bytes = match (&archiver, bases.first()) {
            (Some(archiver), _) => archiver.segment_bytes,
            (None, Some(base)) => base.server.segment_bytes,
            (None, None) => 16 << 20,
        };
        let from = bases.last().map_or(oldest.number(segment_bytes), |base| {
            base.last_segment().number(segment_bytes) + 1
        });
        let reached = reach(&contents.segments, &history, from, segment_bytes);
        let gaps = gaps(&contents.segments, &history, from, segment_bytes);
        let now = archiver.as_ref().map_or(ctx.now(), |archiver| archiver.now);
        let mut seen = Self {
            cluster,
            contents,
            history,
            bases,
            from,
            segment_bytes,
            reach: reached,
            gaps,
            scanned: Scanned::default(),
            archiver,
            now,
        };
        seen.scanned = seen.read_end(input, ctx, store.as_ref()).await?;
        Ok(seen)
    }

    /// The last commit and the last record to which one gets.
    async fn read_end(
        &self,
        input: &Input,
        ctx: &StepContext,
        store: &dyn Store,
    ) -> Result<Scanned, StepError> {
        let of_base = self.bases.first().map(|base| base.server.version_num / 10_000);
        let major = self.archiver.as_ref().map(|archiver| archiver.major).or(of_base);
        let Some(major) = major.filter(|_| !self.reach.path.is_empty()) else {
            return Ok(Scanned::default());
        };
        let (pg_waldump, _) =
            server_programs::find(ctx, input.bin.as_deref(), "pg_waldump", major).await?;
        let folder = ctx.scratch_folder()?.join("archive");
        scan_end(ctx, (store, self.cluster), &self.reach.path, (&pg_waldump, &folder)).await
    }

    /// The segment to which one gets, or the one in front of where it would begin.
    fn last(&self) -> Segment {
        let before =
            Segment::of(self.history.timeline, self.from.saturating_sub(1), self.segment_bytes);
        self.reach.path.last().copied().unwrap_or(before)
    }

    /// The position to which one gets.
    fn end(&self) -> Lsn {
        self.reach
            .path
            .last()
            .map_or(Lsn(self.from * self.segment_bytes), |last| last.end(self.segment_bytes))
    }

    fn unarchived(&self) -> Option<u64> {
        let end = self.last().end(self.segment_bytes).0 + FIRST_HEADER;
        self.archiver.as_ref().map(|archiver| archiver.written.0.saturating_sub(end))
    }

    /// Nothing was committed since: the server has written nothing, or given no transaction a number.
    fn nothing_since(&self) -> bool {
        let Some(archiver) = &self.archiver else { return false };
        self.gaps.is_empty()
            && (self.unarchived() == Some(0) || self.scanned.quiet == Some(archiver.next_xid))
    }

    /// What was committed after this would be lost: a base backup has all that was committed before
    /// it began, with or without the archive.
    fn safe_until(&self) -> Option<Timestamp> {
        if self.nothing_since() {
            return Some(self.now);
        }
        let archived = self.scanned.last_commit.as_ref().map(|commit| commit.at);
        archived.max(self.bases.first().map(|base| base.started))
    }

    fn rpo_seconds(&self) -> Option<f64> {
        let age = |until| self.now.duration_since(until).as_secs_f64().max(0.0);
        self.safe_until().map(age)
    }

    fn output(&self) -> Output {
        let archiver = self.archiver.as_ref();
        let last_commit = self.scanned.last_commit.as_ref().map(|commit| commit.at);
        Output {
            system_identifier: self.cluster.to_string(),
            timeline: self.history.timeline,
            timelines: self.contents.timelines(),
            segments: self.contents.segments.len() as u64,
            bytes: self.contents.bytes,
            first: self.reach.path.first().map_or_else(
                || Segment::of(self.history.timeline, self.from, self.segment_bytes).to_string(),
                ToString::to_string,
            ),
            last: self.last().to_string(),
            gaps: self.gaps.iter().map(Missing::from).collect(),
            bases: self.bases.len() as u64,
            newest_base: self.bases.first().map(|base| base.base.to_string()),
            last_lsn: self.scanned.last_record.map(|lsn| lsn.to_string()),
            last_commit,
            safe_until: self.safe_until().map(|at| at.to_string()),
            rpo_seconds: self.rpo_seconds(),
            unarchived_bytes: self.unarchived(),
            failing: archiver.map(|archiver| archiver.failing),
            failed_count: archiver.map(|archiver| archiver.failed_count),
            last_failed: archiver.and_then(|archiver| archiver.last_failed.clone()),
            last_archived_at: archiver.and_then(|archiver| archiver.last_archived_at),
        }
    }

    /// The archive does not lead to where it should, yet.
    fn late(&self, input: &Input) -> Option<StepError> {
        let wanted = input.includes.filter(|position| self.end() < *position)?;
        let message = format!("the archive leads to {}, not to {wanted}", self.end());
        Some(StepError::permanent("RB0599", message).hint(
            "see `pg_stat_archiver` and the server's log: it has what `archive_command` says",
        ))
    }

    /// What is wrong, by the gates of the input.
    fn judge(&self, input: &Input) -> Result<(), StepError> {
        if input.archiving
            && let Some(archiver) = self.archiver.as_ref().filter(|archiver| !archiver.only_reads)
        {
            archiver.judge()?;
        }
        if input.no_gaps && !self.gaps.is_empty() {
            return Err(self.has_gaps());
        }
        let Some(most) = input.max_age else { return Ok(()) };
        match self.rpo_seconds() {
            Some(seconds) if seconds <= most.duration().as_secs_f64() => Ok(()),
            seconds => Err(self.too_old(seconds, most)),
        }
    }

    fn has_gaps(&self) -> StepError {
        let gaps = self.gaps.iter().map(|gap| {
            if gap.from == gap.to {
                format!("`{}`", gap.from)
            } else {
                format!("`{}` to `{}`", gap.from, gap.to)
            }
        });
        let gaps = gaps.collect::<Vec<_>>().join(", ");
        let message = format!("the archive of cluster {} lacks {gaps}", self.cluster);
        StepError::permanent("RB0598", message).hint(
            "no moment after that can be reached from an older base backup: take a new one now \
             (`pg.base_backup`), then look why the segments are missing",
        )
    }

    fn too_old(&self, seconds: Option<f64>, most: Span) -> StepError {
        let message = match seconds.zip(self.safe_until()) {
            Some((seconds, until)) => format!(
                "what was committed after {until}, {seconds:.0} s ago, would be lost, `max_age` is {most}"
            ),
            None => {
                format!("no archived commit was found, and no base backup; `max_age` is {most}")
            }
        };
        StepError::permanent("RB0599", message)
            .hint("see `pg_stat_archiver`, and set `archive_timeout` on the server")
    }
}

impl From<&Gap> for Missing {
    fn from(gap: &Gap) -> Self {
        Self { from: gap.from.to_string(), to: gap.to.to_string() }
    }
}

impl Step for ArchiveCheck {
    const KIND: &'static str = "pg.archive_check";
    const SUMMARY: &'static str = "looks whether the archive of WAL is whole, and measures the RPO";
    type Input = Input;
    type Output = Output;

    fn validate(input: &Input) -> Result<(), Vec<InputProblem>> {
        let mut problems: Vec<_> =
            input.bin.as_ref().and_then(|path| path_problem("bin", path)).into_iter().collect();
        if input.wait.is_some() && input.includes.is_none() {
            let problem = InputProblem::at("wait", "it is not said what is waited for");
            problems.push(problem.help("name the position as `includes`"));
        }
        if input.cluster.as_ref().is_some_and(|it| it.parse::<u64>().is_err()) {
            problems.push(InputProblem::at("cluster", "a system identifier is a number"));
        }
        if problems.is_empty() { Ok(()) } else { Err(problems) }
    }

    fn footprint(input: &Input) -> Footprint {
        let footprint = Footprint::new(Effect::Read, Repeat::Idempotent)
            .reads(format!("the archive of WAL in store `{}`", input.store))
            .store(&input.store)
            .plays(Part::Verify);
        let footprint = match &input.bases {
            Some(store) => footprint.store(store),
            None => footprint,
        };
        match &input.connection {
            Some(name) => footprint
                .reads_connection(name)
                .reads(format!("what the archiver of `{name}` says")),
            None => footprint,
        }
    }

    fn example() -> Output {
        Output {
            system_identifier: "7571234567890123456".to_owned(),
            timeline: 1,
            timelines: vec![1],
            segments: 412,
            bytes: 1_288_490_188,
            first: "00000001000000020000009B".to_owned(),
            last: "000000010000000400000036".to_owned(),
            gaps: Vec::new(),
            bases: 2,
            newest_base: Some("20261120T020000Z-7k3m9q2x5w8r1t4v".to_owned()),
            last_lsn: Some("4/36FFFFC8".to_owned()),
            last_commit: Some(Timestamp::UNIX_EPOCH),
            safe_until: Some("2026-11-20T02:00:00Z".to_owned()),
            rpo_seconds: Some(41.0),
            unarchived_bytes: Some(65_536),
            failing: Some(false),
            failed_count: Some(0),
            last_failed: None,
            last_archived_at: Some(Timestamp::UNIX_EPOCH),
        }
    }

    async fn observe(_input: &Input, _ctx: &StepContext) -> Result<Observation<Output>, StepError> {
        Ok(Observation::NotDone)
    }

    async fn run(input: &Input, ctx: &StepContext) -> Result<Output, StepError> {
        let wait = input.wait.map_or(Duration::ZERO, Span::duration);
        let mut waited = Duration::ZERO;
        loop {
            let late = match Seen::look(input, ctx).await {
                Ok(seen) => match seen.late(input) {
                    Some(late) => late,
                    None => return seen.judge(input).map(|()| seen.output()),
                },
                // What is waited for may be the first segment of all.
                Err(error) if error.code == "RB0598" && input.includes.is_some() => error,
                Err(error) => return Err(error),
            };
            if waited >= wait {
                return Err(late);
            }
            let activity = format!("wait for the archive: {}", late.message);
            ctx.progress(Progress { activity, done: 0, total: None, bytes: false });
            ctx.sleep(INTERVAL).await?;
            waited += INTERVAL;
        }
    }
}
