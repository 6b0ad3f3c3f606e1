//! `pg.create_standby`: a new standby from a base backup of its primary.

use std::path::{Path, PathBuf};
use std::time::Duration;

use engine::context::StepContext;
use engine::files;
use engine::step::{Observation, Step};
use model::catalog::InputProblem;
use model::effect::{Effect, Repeat};
use model::footprint::Footprint;
use model::step_error::StepError;
use model::units::{ByteSize, Span};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::conninfo::{Upstream, beside};
use super::follow::{configure, is_marked, short, start_and_follow};
use super::primary::{self, Primary, SLOT_FACT};
use super::server::{Local, Server};
use crate::pg::classify;
use crate::pg::connection::{connect, connect_even_cancelled, connect_named};
use crate::pg::programs;
use crate::pg::target::Target;

/// The fact that is durable before the first byte is copied.
const FACT: &str = "standby";

/// Makes a new standby from a base backup of its primary.
///
/// ## What it does
/// It looks whether the primary can serve a standby (`wal_level`, free `max_wal_senders`, the
/// role), makes the replication slot when one is named and absent, and copies the server with
/// `pg_basebackup` into a folder beside `data_directory`, which takes the name `data_directory`
/// when it is whole and will start as a standby. Then it starts the server and waits until the
/// primary says that it streams.
///
/// It runs on the standby's machine. The password of the connection lies in
/// `<data_directory>.pgpass`, which only the server's account can read.
///
/// ## When to use it
/// To protect a primary that has no standby, and after a failover whose old primary cannot be
/// rewound (`pg.rewind_rejoin`).
///
/// ## What it changes
/// Adds a data directory and a running server to this machine, and a replication slot to the
/// primary when one is named. A slot holds back WAL on the primary for as long as it exists: drop
/// it when the standby goes.
///
/// ## How it can fail
/// The data directory is not empty; the disk is too small; the primary refuses (`pg_hba.conf` needs
/// a line for `replication`); the server does not start, or does not stream in `timeout`. A failed
/// copy is removed with the slot it made; a finished one that does not stream yet stays.
///
/// ## Example
/// ```yaml
/// - id: protect
///   uses: pg.create_standby
///   with:
///     primary: prod
///     name: west
///     slot: west
///     server: {data_directory: /var/lib/postgresql/15/main, run_as: postgres}
/// ```
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Input {
    /// The primary: a name under `connections:`, whose role may replicate.
    primary: String,
    /// What `pg_stat_replication` on the primary calls it; nothing else streams by that name.
    name: String,
    /// The replication slot that keeps WAL for it; made when absent. Empty for none.
    slot: Option<String>,
    /// The server to make.
    server: Server,
    /// How long it may take to start, and then to stream.
    #[serde(default = "ten_minutes")]
    timeout: Span,
}

/// The new standby.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Output {
    /// The cluster's system identifier.
    system_identifier: String,
    /// Where it lies on this machine.
    data_directory: String,
    /// What the primary calls it.
    name: String,
    /// The primary: `host:port`.
    primary: String,
    /// Its replication slot.
    slot: Option<String>,
    /// Up to where the primary had sent WAL when it was seen to stream.
    streamed_to: String,
}

/// The step kind.
pub struct CreateStandby;

/// How long a standby may take to start and to stream, unless the plan says otherwise.
pub(super) fn ten_minutes() -> Span {
    Duration::from_mins(10).into()
}

impl Input {
    fn slot(&self) -> Option<&str> {
        self.slot.as_deref().filter(|slot| !slot.is_empty())
    }

    fn output(&self, primary: &Target, system_identifier: String, streamed_to: String) -> Output {
        Output {
            system_identifier,
            data_directory: self.server.data_directory.clone(),
            name: self.name.clone(),
            primary: primary.endpoint(),
            slot: self.slot().map(str::to_owned),
            streamed_to,
        }
    }
}

/// The names of slots, and of standbys here. <https://www.postgresql.org/docs/current/warm-standby.html>
pub(super) fn name_problem(key: &str, name: &str) -> Option<InputProblem> {
    let allowed = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_';
    let right = !name.is_empty() && name.len() <= 63 && name.chars().all(allowed);
    (!right).then(|| {
        let message = format!("`{name}` is no name of a standby");
        InputProblem::at(key, message).help("use up to 63 of `a` to `z`, digits and `_`")
    })
}

/// A folder that a standby cannot be made in.
fn taken(data: &Path, why: &str) -> StepError {
    let message = format!("no standby can be made in `{}`: {why}", data.display());
    StepError::needs_operator("RB0564", message)
        .hint("name a folder that is empty or does not exist, in one that does, with enough room")
}

/// Where the copy grows: beside its place, by a name that only this step uses.
fn partial(ctx: &StepContext, data: &Path) -> PathBuf {
    beside(data, &format!("part-{}", short(ctx)))
}

fn check_place(data: &Path, primary: &Primary) -> Result<(), StepError> {
    let names = files::list(data).map_err(|error| taken(data, &error.to_string()))?;
    if !names.is_empty() {
        return Err(taken(data, "it is not empty"));
    }
    let parent = data.parent().unwrap_or(data);
    let free = files::free_space(parent).map_err(|error| {
        taken(data, &format!("the folder it would lie in cannot be used ({error})"))
    })?;
    if free < primary.bytes {
        let (free, needed) = (ByteSize::from(free), ByteSize::from(primary.bytes));
        return Err(taken(data, &format!("the databases have {needed}, and {free} are free")));
    }
    Ok(())
}

/// Copies the primary into a folder of its own and puts that into its place.
async fn copy(
    input: &Input,
    local: &Local<'_>,
    target: &Target,
    upstream: &Upstream,
) -> Result<(), StepError> {
    let (ctx, data) = (local.ctx, local.data());
    let partial = partial(ctx, data);
    ctx.record(FACT, &partial).await?;
    let refused = |error: std::io::Error| taken(data, &error.to_string());
    files::remove_folder(&partial).map_err(refused)?;
    files::create_folder(&partial).map_err(refused)?;
    if let Some(account) = &local.account {
        files::hand_over(&partial, account.uid, account.gid).map_err(refused)?;
    }
    ctx.log(format!("copy {} into `{}`", target.endpoint(), partial.display()));
    let program = local.program("pg_basebackup").await?;
    let program = program.arg(format!("--pgdata={}", partial.display()));
    let program = program.args(["--wal-method=stream", "--checkpoint=fast", "--no-password"]);
    let program = program.args(input.slot().map(|slot| format!("--slot={slot}")));
    let program = upstream.give(program);
    programs::succeeded(&program.start(ctx).await?.wait().await?)?;
    configure(local, &partial, upstream, input.slot())?;
    files::move_into_place(&partial, data).map_err(refused)
}

/// Takes back what a failed copy left.
async fn discard(input: &Input, ctx: &StepContext, target: &Target) {
    files::remove_folder(&partial(ctx, input.server.data())).ok();
    let Some(slot) = input.slot().filter(|_| ctx.fact(SLOT_FACT).is_some()) else { return };
    let dropped = async {
        let session = connect_even_cancelled(ctx, target).await?;
        primary::drop_slot(&session, slot).await?;
        session.close().await;
        Ok::<_, StepError>(())
    };
    if let Err(error) = dropped.await {
        ctx.log(format!("the slot `{slot}` stays, and holds back WAL: {error}"));
    }
}

async fn create(input: &Input, ctx: &StepContext, target: &Target) -> Result<Output, StepError> {
    let session = connect(ctx, target).await?;
    let primary = primary::ask(&session).await?;
    primary.check(&input.primary)?;
    let local = Local::new(ctx, &input.server, primary.major())?;
    let data = input.server.data();
    if !is_marked(ctx, data) {
        primary.check_copy(&input.primary)?;
        check_place(data, &primary)?;
        primary::check_name(&session, &input.name).await?;
        primary::ensure_slot(ctx, &session, input.slot()).await?;
        let account = local.account.as_ref();
        let upstream = Upstream::new(ctx, target, &input.name, data, account)?;
        if let Err(error) = copy(input, &local, target, &upstream).await {
            discard(input, ctx, target).await;
            return Err(classify::not_applied(error));
        }
    }
    session.close().await;
    let sent = start_and_follow(&local, target, &input.name, input.timeout.duration()).await?;
    Ok(input.output(target, primary.system_identifier, sent))
}

impl Step for CreateStandby {
    const KIND: &'static str = "pg.create_standby";
    const SUMMARY: &'static str = "makes a new standby from a base backup of its primary";
    type Input = Input;
    type Output = Output;

    fn validate(input: &Input) -> Result<(), Vec<InputProblem>> {
        let mut problems = input.server.problems();
        problems.extend(name_problem("name", &input.name));
        problems.extend(input.slot().and_then(|slot| name_problem("slot", slot)));
        if problems.is_empty() { Ok(()) } else { Err(problems) }
    }

    fn footprint(input: &Input) -> Footprint {
        let Input { primary, name, server, .. } = input;
        let footprint = Footprint::new(Effect::Reversible, Repeat::Observable)
            .stops_stragglers()
            .reads(format!("the whole server of `{primary}`"))
            .writes(format!(
                "makes standby `{name}` in `{}` of this machine and starts it",
                server.data_directory
            ));
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
            data_directory: "/var/lib/postgresql/15/main".to_owned(),
            name: "west".to_owned(),
            primary: "db1.internal:5432".to_owned(),
            slot: Some("west".to_owned()),
            streamed_to: "0/3000148".to_owned(),
        }
    }

    async fn observe(input: &Input, ctx: &StepContext) -> Result<Observation<Output>, StepError> {
        if ctx.fact(FACT).is_none() || !is_marked(ctx, input.server.data()) {
            return Ok(Observation::NotDone);
        }
        let session = connect_named(ctx, &input.primary).await?;
        let identity = primary::ask(&session).await?.system_identifier;
        let found = primary::streaming(&session, &input.name).await?;
        let output = |sent| input.output(session.target(), identity, sent);
        Ok(match found {
            Some((true, sent)) => Observation::Done(output(sent)),
            // The next attempt goes on from there.
            _ => Observation::NotDone,
        })
    }

    async fn run(input: &Input, ctx: &StepContext) -> Result<Output, StepError> {
        let target = Target::resolve(&ctx.connection(&input.primary).await?)?;
        create(input, ctx, &target).await
    }
}
