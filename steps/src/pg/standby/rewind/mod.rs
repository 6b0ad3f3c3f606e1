//! `pg.rewind_rejoin`: an old primary becomes a standby of the new one.

mod control;
mod diverged;

use std::path::{Path, PathBuf};

use engine::context::StepContext;
use engine::files;
use engine::step::{Observation, Step};
use model::catalog::InputProblem;
use model::effect::{Effect, Repeat};
use model::footprint::Footprint;
use model::set::manifest;
use model::step_error::StepError;
use model::units::Span;
use model::wal::{History, Lsn};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use self::control::Control;
use self::diverged::{Diverged, configuration, keep};
use super::conninfo::{Upstream, write_private};
use super::create::{name_problem, ten_minutes};
use super::follow::{SIGNAL, configure, is_marked, short, start_and_follow};
use super::primary::{self, Primary};
use super::server::{Local, Server};
use crate::file::local::path_problem;
use crate::pg::connection::{Session, connect, connect_named};
use crate::pg::target::Target;
use crate::pg::{catalogue, classify};

/// The fact that is durable once everything that will be gone is kept.
const KEPT: &str = "diverged";

/// The fact that is durable before the server's files are changed.
const REWIND: &str = "rewind";

/// How `pg_rewind` says, before it changes anything, that it cannot find where to start.
const NO_CHECKPOINT: &str = "could not find previous WAL record";

/// Makes the old primary a standby of the new one.
///
/// ## What it does
/// The server must be stopped, and of the same cluster. What it had written after the new primary
/// went its own way is kept first, in a folder below `save`: the WAL segments from the fork on,
/// `records.txt` with every record in them, and the server's configuration; the output says how
/// many bytes and commits that are. Then `pg_rewind` takes the server back to the fork and over
/// to the new timeline, the server gets its own configuration back, and starts as a standby. It
/// never starts as a primary. A server that had written nothing of its own is not rewound.
///
/// It runs on the old primary's machine. The password of the connection lies in
/// `<data_directory>.pgpass`, which only the server's account can read.
///
/// ## When to use it
/// After a failover, when the old primary's machine is back and its disk is sound. Look at the
/// kept records before: commits that are only there can be written again by hand.
///
/// ## What it changes
/// What only the old primary had is gone from it, and kept in `save`. It follows the new primary.
///
/// ## How it can fail
/// The server runs; it is of another cluster, or of a timeline the new primary does not come from;
/// it has neither `wal_log_hints` nor data checksums, or its WAL since the last checkpoint before
/// the fork is gone (`wal_keep_size`), so that `pg_rewind` cannot work. A server whose rewind broke off must be built anew
/// (`pg.create_standby`).
///
/// ## Example
/// ```yaml
/// - id: rejoin
///   uses: pg.rewind_rejoin
///   with:
///     primary: new_primary
///     name: east
///     server: {data_directory: /var/lib/postgresql/15/main, run_as: postgres}
///     save: /var/backups/diverged
/// ```
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Input {
    /// The new primary: a name under `connections:`, whose role may replicate and read the
    /// server's files (a superuser, for example).
    primary: String,
    /// What `pg_stat_replication` on the new primary calls it; nothing else streams by that name.
    name: String,
    /// The replication slot that keeps WAL for it; made when absent. Empty for none.
    slot: Option<String>,
    /// The old primary.
    server: Server,
    /// The folder, an absolute path, in which what will be gone is kept.
    save: String,
    /// How long it may take to start, and then to stream.
    #[serde(default = "ten_minutes")]
    timeout: Span,
}

/// The old primary as a standby.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Output {
    /// The cluster's system identifier.
    system_identifier: String,
    /// The timeline that it follows now.
    timeline: u32,
    /// What the primary calls it.
    name: String,
    /// Where its own history left the new primary's; nothing when it was on its timeline.
    fork_lsn: Option<String>,
    /// Bytes of WAL that only it had; gone from it, and kept.
    lost_bytes: u64,
    /// Commits among them.
    lost_transactions: u64,
    /// Where they are kept.
    kept_in: String,
    /// It had to be rewound.
    rewound: bool,
    /// Up to where the primary had sent WAL when it was seen to stream.
    streamed_to: String,
}

/// The step kind.
pub struct RewindRejoin;

/// That the server's files are about to be changed.
#[derive(Serialize, Deserialize)]
struct Rewind {
    /// It was a standby already, so that the signal does not tell that it was rewound.
    was_standby: bool,
}

impl Input {
    fn slot(&self) -> Option<&str> {
        self.slot.as_deref().filter(|slot| !slot.is_empty())
    }

    /// The folder of this step's own.
    fn kept_in(&self, ctx: &StepContext) -> PathBuf {
        Path::new(&self.save).join(format!("{}-{}", self.name, short(ctx)))
    }

    fn output(
        &self,
        ctx: &StepContext,
        server: &manifest::Server,
        kept: Diverged,
        sent: String,
    ) -> Output {
        Output {
            system_identifier: server.system_identifier.clone().unwrap_or_default(),
            timeline: server.timeline.unwrap_or_default(),
            name: self.name.clone(),
            rewound: kept.bytes > 0,
            fork_lsn: kept.fork,
            lost_bytes: kept.bytes,
            lost_transactions: kept.transactions,
            kept_in: self.kept_in(ctx).display().to_string(),
            streamed_to: sent,
        }
    }
}

fn not_possible(input: &Input, why: &str) -> StepError {
    let message =
        format!("`{}` cannot become a standby by a rewind: {why}", input.server.data_directory);
    StepError::permanent("RB0568", message)
        .hint("nothing was changed; make a new standby in an empty folder with `pg.create_standby`")
}

/// Where the old primary's timeline was left by the new primary.
async fn fork(
    input: &Input,
    session: &Session,
    server: &manifest::Server,
    control: &Control,
) -> Result<Option<Lsn>, StepError> {
    let ours = server.system_identifier.as_deref().unwrap_or("unknown");
    if ours != control.system_identifier {
        let theirs = &control.system_identifier;
        let why = format!("it is of cluster {theirs}, the new primary of {ours}");
        return Err(not_possible(input, &why));
    }
    let timeline = server.timeline.unwrap_or_default();
    if timeline == control.timeline {
        return Ok(None);
    }
    let sql = format!("SELECT pg_read_file('pg_wal/{timeline:08X}.history')");
    let text = session.text("read the history of the new primary", &sql).await;
    let history = History::parse(timeline, &text.map_err(classify::not_applied)?);
    let history = history.map_err(|error| not_possible(input, &error.to_string()))?;
    let left = history.forks.iter().find(|fork| fork.timeline == control.timeline);
    let unrelated = || {
        let why = format!(
            "it is on timeline {}, from which timeline {timeline} of the new primary does not come",
            control.timeline
        );
        not_possible(input, &why)
    };
    left.map(|fork| Some(fork.end)).ok_or_else(unrelated)
}

/// Keeps what will be gone, once.
async fn kept(
    input: &Input,
    local: &Local<'_>,
    control: &Control,
    fork: Option<Lsn>,
) -> Result<Diverged, StepError> {
    let ctx = local.ctx;
    if let Some(kept) = ctx.fact(KEPT).and_then(|fact| serde_json::from_value(fact).ok()) {
        return Ok(kept);
    }
    let kept = keep(local, control, fork, &input.kept_in(ctx)).await?;
    ctx.log(format!(
        "{} bytes of WAL with {} commits are only here, kept in `{}`",
        kept.bytes,
        kept.transactions,
        input.kept_in(ctx).display()
    ));
    ctx.record(KEPT, &kept).await?;
    Ok(kept)
}

/// Takes the server back to the fork and over to the new timeline. It ends with the signal that
/// makes it a standby.
async fn rewind(
    input: &Input,
    local: &Local<'_>,
    upstream: &Upstream,
    server: &manifest::Server,
) -> Result<(), StepError> {
    let (ctx, signal) = (local.ctx, local.data().join(SIGNAL));
    let is_standby = files::facts(&signal).is_ok();
    let begun = ctx.fact(REWIND).and_then(|fact| serde_json::from_value::<Rewind>(fact).ok());
    if begun.as_ref().is_some_and(|begun| !begun.was_standby && is_standby) {
        return Ok(());
    }
    if begun.is_none() {
        ctx.record(REWIND, Rewind { was_standby: is_standby }).await?;
    }
    ctx.log(format!("rewind `{}`", input.server.data_directory));
    let program = local.program("pg_rewind").await?;
    let program = program.arg(format!("--target-pgdata={}", input.server.data_directory));
    let program = program.arg(format!("--source-server={}", upstream.conninfo));
    let program = program.arg("--write-recovery-conf");
    let program = program.args(local.config_file().map(|path| format!("--config-file={path}")));
    let exit = upstream.give(program).start(ctx).await?.wait().await?;
    if exit.status.success() {
        let reached = control::read(local).await?.timeline;
        let arrived = Some(reached) == server.timeline;
        return if arrived { Ok(()) } else { Err(broken(input, "it changed nothing")) };
    }
    if exit.stderr.contains(NO_CHECKPOINT) {
        let why = "the WAL since the last checkpoint before the fork is gone (`wal_keep_size`)";
        return Err(not_possible(input, why));
    }
    Err(exit.stderr.lines().fold(broken(input, "see below"), |mut error, line| {
        error.causes.push(line.to_owned());
        error
    }))
}

fn broken(input: &Input, why: &str) -> StepError {
    let data = &input.server.data_directory;
    StepError::permanent("RB0569", format!("the rewind of `{data}` failed: {why}")).hint(
        "the server may be damaged: do not start it; make a new standby in an empty folder with \
         `pg.create_standby`",
    )
}

/// `pg_rewind` brings the configuration of the new primary: the server's own comes back.
fn restore_configuration(local: &Local<'_>, kept_in: &Path) -> Result<(), StepError> {
    let folder = kept_in.join("conf");
    let failed = |error: std::io::Error| {
        let message = format!("the configuration kept in `{}` does not read", folder.display());
        StepError::needs_operator("RB0559", message).caused_by(&error)
    };
    for name in configuration(&folder).map_err(failed)? {
        let bytes = files::read(&folder.join(&name)).map_err(failed)?;
        write_private(&local.data().join(&name), &bytes, local.account.as_ref())?;
    }
    Ok(())
}

/// Refuses what `pg_rewind` cannot work on.
fn check_rewind(input: &Input, primary: &Primary, control: &Control) -> Result<(), StepError> {
    if !control.can_rewind {
        let why = "it has neither `wal_log_hints` nor data checksums";
        return Err(not_possible(input, why));
    }
    if !primary.writes_full_pages {
        return Err(not_possible(input, "the new primary has `full_page_writes = off`"));
    }
    Ok(())
}

/// Makes the stopped server a standby.
async fn convert(
    input: &Input,
    local: &Local<'_>,
    session: &Session,
    primary: &Primary,
    server: &manifest::Server,
) -> Result<(), StepError> {
    let ctx = local.ctx;
    if local.is_running().await? {
        let message = format!("the server of `{}` runs", input.server.data_directory);
        return Err(StepError::needs_operator("RB0567", message)
            .hint("nothing was changed: stop it (`fence`), and make sure that nobody needs it"));
    }
    primary::check_name(session, &input.name).await?;
    let control = control::read(local).await?;
    let fork = fork(input, session, server, &control).await?;
    let kept = kept(input, local, &control, fork).await?;
    if kept.bytes > 0 {
        check_rewind(input, primary, &control)?;
        local.check_owner()?;
    }
    ctx.log(format!("the server was left in state `{}`", control.state));
    primary::ensure_slot(ctx, session, input.slot()).await?;
    let target = session.target();
    let account = local.account.as_ref();
    let upstream = Upstream::new(ctx, target, &input.name, local.data(), account)?;
    if kept.bytes > 0 {
        // Until its first checkpoint the control file of a new primary names the old timeline,
        // and `pg_rewind` sees nothing to do.
        let done = session.execute_all("checkpoint the new primary", "CHECKPOINT").await;
        done.map_err(classify::not_applied)?;
        rewind(input, local, &upstream, server).await?;
        restore_configuration(local, &input.kept_in(ctx))?;
    }
    configure(local, local.data(), &upstream, input.slot())
}

async fn rejoin(input: &Input, ctx: &StepContext, target: &Target) -> Result<Output, StepError> {
    let session = connect(ctx, target).await?;
    let primary: Primary = primary::ask(&session).await?;
    primary.check(&input.primary)?;
    let server = catalogue::server(&session, &target.endpoint()).await;
    let server = server.map_err(classify::not_applied)?;
    let local = Local::new(ctx, &input.server, primary.major())?;
    if !is_marked(ctx, local.data()) {
        convert(input, &local, &session, &primary, &server).await?;
    }
    session.close().await;
    let sent = start_and_follow(&local, target, &input.name, input.timeout.duration()).await?;
    let kept = ctx.fact(KEPT).and_then(|fact| serde_json::from_value(fact).ok());
    Ok(input.output(ctx, &server, kept.unwrap_or_default(), sent))
}

impl Step for RewindRejoin {
    const KIND: &'static str = "pg.rewind_rejoin";
    const SUMMARY: &'static str = "makes an old primary a standby of the new one";
    type Input = Input;
    type Output = Output;

    fn validate(input: &Input) -> Result<(), Vec<InputProblem>> {
        let mut problems = input.server.problems();
        problems.extend(name_problem("name", &input.name));
        problems.extend(input.slot().and_then(|slot| name_problem("slot", slot)));
        problems.extend(path_problem("save", &input.save));
        if problems.is_empty() { Ok(()) } else { Err(problems) }
    }

    fn footprint(input: &Input) -> Footprint {
        let Input { primary, name, server, save, .. } = input;
        let data = &server.data_directory;
        let footprint = Footprint::new(Effect::Destructive, Repeat::Observable)
            .reads(format!("the whole server of `{primary}`"))
            .writes(format!("keeps what only the server of `{data}` has in `{save}`"))
            .writes(format!("rewinds the server of `{data}` and starts it as standby `{name}`"));
        match input.slot() {
            Some(slot) => footprint
                .writes_connection(primary)
                .writes(format!("makes replication slot `{slot}` on the server of `{primary}`")),
            None => footprint.reads_connection(primary),
        }
    }

    fn example() -> Output {
        Output {
            system_identifier: "7571234567890123456".to_owned(),
            timeline: 2,
            name: "east".to_owned(),
            fork_lsn: Some("0/3000148".to_owned()),
            lost_bytes: 0,
            lost_transactions: 0,
            kept_in: "/var/backups/diverged/east-0123456789abcdef".to_owned(),
            rewound: false,
            streamed_to: "0/3000148".to_owned(),
        }
    }

    async fn observe(input: &Input, ctx: &StepContext) -> Result<Observation<Output>, StepError> {
        let kept = ctx.fact(KEPT).and_then(|fact| serde_json::from_value(fact).ok());
        let Some(kept) = kept.filter(|_| is_marked(ctx, input.server.data())) else {
            return Ok(Observation::NotDone);
        };
        let session = connect_named(ctx, &input.primary).await?;
        let server = catalogue::server(&session, &session.target().endpoint()).await?;
        let found = primary::streaming(&session, &input.name).await?;
        Ok(match found {
            Some((true, sent)) => Observation::Done(input.output(ctx, &server, kept, sent)),
            // The next attempt goes on from there.
            _ => Observation::NotDone,
        })
    }

    async fn run(input: &Input, ctx: &StepContext) -> Result<Output, StepError> {
        let target = Target::resolve(&ctx.connection(&input.primary).await?)?;
        rejoin(input, ctx, &target).await
    }
}
