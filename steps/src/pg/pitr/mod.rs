//! `pg.pitr`: a whole cluster at a moment, as a new instance beside what there is.

mod config;
mod fill;
mod input;
mod instance;
mod recover;
mod target;
mod watch;
mod way;

use engine::context::StepContext;
use engine::files;
use engine::step::{Observation, Step};
use model::catalog::InputProblem;
use model::effect::{Effect, Repeat};
use model::footprint::Footprint;
use model::step_error::{ErrorClass, StepError};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

pub use self::input::{Action, Input};
use self::instance::{Instance, Mark, Stage};
pub use self::target::{InvalidTarget, Target};
use self::watch::{Standing, standing};
use super::connection::Session;

/// The fact that announces an instance.
const INSTANCE: &str = "instance";
/// The fact that announces that one is opened.
const OPENING: &str = "opening";
/// The fact that announces that one is removed.
const DISCARDING: &str = "discarding";

/// The step.
pub struct Pitr;

/// What a query found at the moment.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Inspected {
    /// The query.
    pub query: String,
    /// Its rows, 100 at most.
    pub rows: Vec<Map<String, Value>>,
    /// How many rows there are.
    pub count: u64,
    /// Why it could not be asked.
    pub error: Option<String>,
}

/// The instance.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Output {
    /// `paused` at the moment, `open`, or `discarded`.
    pub state: String,
    /// The server's own words for where it stopped.
    pub stopped: Option<String>,
    /// When the last transaction that is in it had ended (RFC 3339).
    pub recovery_point: Option<String>,
    /// Its timeline: the one that was followed, or the new one when it was opened.
    pub timeline: Option<u32>,
    /// The base backup it was made of.
    pub base: Option<String>,
    /// Its folder.
    pub data_directory: String,
    /// The folder of its socket: what `host` of a connection takes.
    pub host: String,
    /// Its port.
    pub port: u16,
    /// The moment that was asked for.
    pub target: Option<String>,
    /// The last archived commit, as far as it was looked for (RFC 3339).
    pub last_archived_commit: Option<String>,
    /// Where in the WAL it stands.
    pub lsn: Option<String>,
    /// The cluster's system identifier.
    pub system_identifier: Option<String>,
    /// What the queries of `inspect` found.
    pub inspected: Vec<Inspected>,
}

/// What is recorded before an instance is made, opened or removed.
#[derive(Debug, Serialize, Deserialize)]
struct Announced {
    data_directory: String,
    timeline: Option<u32>,
}

/// The output that a folder alone gives.
fn output_of(input: &Input, state: &str) -> Output {
    Output {
        state: state.to_owned(),
        data_directory: input.data_directory.clone(),
        host: input.data_directory.clone(),
        port: input.port,
        base: None,
        target: None,
        stopped: None,
        recovery_point: None,
        last_archived_commit: None,
        lsn: None,
        timeline: None,
        system_identifier: None,
        inspected: Vec::new(),
    }
}

/// The output of an instance that answered.
fn output(input: &Input, instance: &Instance, mark: &Mark, standing: &Standing) -> Output {
    Output {
        port: mark.port,
        base: Some(mark.base.clone()),
        target: Some(mark.target.clone()),
        stopped: watch::stopped(instance),
        recovery_point: standing.replayed_until.map(|at| at.to_string()),
        last_archived_commit: mark.last_commit.clone(),
        lsn: standing.lsn.map(|lsn| lsn.to_string()),
        timeline: Some(if standing.in_recovery { mark.timeline } else { standing.timeline }),
        system_identifier: Some(mark.system_identifier.clone()),
        ..output_of(input, if standing.in_recovery { "paused" } else { "open" })
    }
}

/// There is no instance of ours.
fn none(input: &Input) -> StepError {
    let message = format!("`{}` holds no instance that `pg.pitr` made", input.data_directory);
    StepError::permanent("RB0635", message)
        .hint("nothing was changed; check `data_directory`: only what this step made is opened or removed")
}

/// The instance of the input and who made it.
fn known(input: &Input) -> Result<(Instance, Mark), StepError> {
    let instance = Instance::of(input)?;
    let mark = instance.mark().ok_or_else(|| none(input))?;
    Ok((instance, mark))
}

/// Whether a step has announced something.
fn announced(ctx: &StepContext, what: &str, input: &Input) -> Option<Announced> {
    let fact = serde_json::from_value::<Announced>(ctx.fact(what)?).ok()?;
    (fact.data_directory == input.data_directory).then_some(fact)
}

async fn announce(
    ctx: &StepContext,
    what: &str,
    input: &Input,
    timeline: Option<u32>,
) -> Result<(), StepError> {
    let data_directory = input.data_directory.clone();
    ctx.record(what, Announced { data_directory, timeline }).await
}

/// Opens an instance that is paused, on a new timeline.
async fn resume(input: &Input, ctx: &StepContext) -> Result<Output, StepError> {
    let (instance, mark) = known(input)?;
    if instance.server().is_none() {
        return Err(none(input).hint("its server does not run: recover it anew"));
    }
    let session = instance.connect(ctx, mark.port).await?;
    let before = standing(&session).await?;
    if before.in_recovery {
        if !before.paused {
            session.close().await;
            let message = "the instance has not reached its moment yet";
            return Err(
                StepError::transient("RB0634", message).hint("wait for the step that recovers it")
            );
        }
        announce(ctx, OPENING, input, Some(mark.timeline)).await?;
        session.execute_all("open the instance", "SELECT pg_wal_replay_resume()").await?;
    }
    session.close().await;
    opened(input, ctx, &instance, &mark).await
}

/// Waits until the instance takes writes, and proves that it left the timeline it came from.
async fn opened(
    input: &Input,
    ctx: &StepContext,
    instance: &Instance,
    mark: &Mark,
) -> Result<Output, StepError> {
    let (session, standing) =
        watch::wait(instance, ctx, mark, |standing| !standing.in_recovery).await?;
    session.close().await;
    if standing.timeline <= mark.timeline {
        return Err(kept_timeline(standing.timeline, mark.timeline));
    }
    Ok(output(input, instance, mark, &standing))
}

fn kept_timeline(open: u32, followed: u32) -> StepError {
    let message =
        format!("the instance is open on timeline {open}, and timeline {followed} was followed");
    StepError::needs_operator("RB0638", message)
        .hint("do not use it: it cannot be told from the cluster it comes from")
}

/// Stops an instance and removes it.
async fn discard(input: &Input, ctx: &StepContext) -> Result<Output, StepError> {
    let instance = Instance::of(input)?;
    if files::facts(&instance.folder).is_err() && files::facts(&instance.parts()).is_err() {
        return Ok(output_of(input, "discarded"));
    }
    let Some(mark) = instance.mark() else {
        // A removal that was cut off takes the mark before the folder.
        if announced(ctx, DISCARDING, input).is_some() && instance.server().is_none() {
            instance.remove()?;
            return Ok(output_of(input, "discarded"));
        }
        return Err(none(input));
    };
    if !input.force && instance.server().is_some() && is_open(&instance, ctx, &mark).await? {
        let message =
            format!("the instance in `{}` was opened: it may be in use", input.data_directory);
        return Err(StepError::needs_operator("RB0635", message)
            .hint("nothing was changed; say `force: true` to remove it all the same"));
    }
    announce(ctx, DISCARDING, input, None).await?;
    instance.stop(ctx, mark.server_major).await?;
    instance.remove()?;
    Ok(output_of(input, "discarded"))
}

async fn is_open(instance: &Instance, ctx: &StepContext, mark: &Mark) -> Result<bool, StepError> {
    match instance.connect(ctx, mark.port).await {
        Ok(session) => {
            let open = !standing(&session).await?.in_recovery;
            session.close().await;
            Ok(open)
        }
        // One that takes no connection is on its way.
        Err(error) if error.class == ErrorClass::Transient => Ok(false),
        Err(error) => Err(error),
    }
}

/// Looks at the instance of an input, if its server answers.
async fn seen(
    instance: &Instance,
    ctx: &StepContext,
    mark: &Mark,
) -> Result<Option<(Session, Standing)>, StepError> {
    if instance.server().is_none() {
        return Ok(None);
    }
    let session = match instance.connect(ctx, mark.port).await {
        Err(error) if error.class == ErrorClass::Transient => return Ok(None),
        session => session?,
    };
    let standing = standing(&session).await?;
    Ok(Some((session, standing)))
}

/// Recovered when the server stands at the moment. Whatever is on its way is taken up by the next
/// attempt.
async fn observe_recovery(
    input: &Input,
    ctx: &StepContext,
) -> Result<Observation<Output>, StepError> {
    if announced(ctx, INSTANCE, input).is_none() {
        return Ok(Observation::NotDone);
    }
    let instance = Instance::of(input)?;
    let ours = instance.mark().filter(|mark| mark.is_of(ctx) && mark.stage == Stage::Ready);
    let Some(mark) = ours else { return Ok(Observation::NotDone) };
    let Some((session, standing)) = seen(&instance, ctx, &mark).await? else {
        return Ok(Observation::NotDone);
    };
    let there = match input.action {
        Action::Promote => !standing.in_recovery && standing.timeline > mark.timeline,
        _ => standing.paused && watch::stopped(&instance).is_some(),
    };
    if !there {
        session.close().await;
        return Ok(Observation::NotDone);
    }
    let inspected = recover::inspect(input, ctx, &session).await?;
    session.close().await;
    Ok(Observation::Done(Output { inspected, ..output(input, &instance, &mark, &standing) }))
}

impl Step for Pitr {
    const KIND: &'static str = "pg.pitr";
    const SUMMARY: &'static str = "recovers a whole cluster to a moment, as a new instance";
    type Input = Input;
    type Output = Output;

    fn validate(input: &Input) -> Result<(), Vec<InputProblem>> {
        input.problems()
    }

    fn footprint(input: &Input) -> Footprint {
        let folder = &input.data_directory;
        let (effect, change) = match input.action {
            Action::Pause | Action::Promote => (
                Effect::Reversible,
                format!("makes `{folder}` and starts a server there, on port {}", input.port),
            ),
            Action::Resume => (Effect::Irreversible, format!("opens the instance in `{folder}`")),
            Action::Discard => {
                (Effect::Destructive, format!("stops the instance in `{folder}` and removes it"))
            }
        };
        let footprint = Footprint::new(effect, Repeat::Observable).writes(change);
        if !input.action.recovers() {
            return footprint;
        }
        let stores = [&input.store, &input.archive].into_iter().flatten();
        let target = input.target.as_ref().map(ToString::to_string).unwrap_or_default();
        stores
            .fold(footprint, |footprint, store| footprint.store(store))
            .reads(format!("a base backup and the archive of WAL, to `{target}`"))
            .makes_server(folder)
            .tool("tar")
    }

    fn example() -> Output {
        Output {
            state: "paused".to_owned(),
            data_directory: "/var/lib/postgresql/pitr".to_owned(),
            host: "/var/lib/postgresql/pitr".to_owned(),
            port: 5499,
            base: Some("20261120T020000Z-7k3m9q2x5w8r1t4v".to_owned()),
            target: Some("2026-11-20T11:59:59Z".to_owned()),
            stopped: Some(
                "recovery stopping before commit of transaction 739, time 2026-11-20 12:00:00.1+00"
                    .to_owned(),
            ),
            recovery_point: Some("2026-11-20T11:59:58Z".to_owned()),
            last_archived_commit: Some("2026-11-20T12:04:00Z".to_owned()),
            lsn: Some("2/9B0000C8".to_owned()),
            timeline: Some(1),
            system_identifier: Some("7571234567890123456".to_owned()),
            inspected: Vec::new(),
        }
    }

    async fn observe(input: &Input, ctx: &StepContext) -> Result<Observation<Output>, StepError> {
        match input.action {
            Action::Pause | Action::Promote => observe_recovery(input, ctx).await,
            Action::Resume => {
                if announced(ctx, OPENING, input).is_none() {
                    return Ok(Observation::NotDone);
                }
                let (instance, mark) = known(input)?;
                let Some((session, standing)) = seen(&instance, ctx, &mark).await? else {
                    return Ok(Observation::InProgress);
                };
                session.close().await;
                let open = !standing.in_recovery && standing.timeline > mark.timeline;
                let done = || output(input, &instance, &mark, &standing);
                Ok(if open { Observation::Done(done()) } else { Observation::NotDone })
            }
            Action::Discard => {
                let gone = files::facts(input.data_directory.as_ref()).is_err();
                let done = gone && announced(ctx, DISCARDING, input).is_some();
                let output = || output_of(input, "discarded");
                Ok(if done { Observation::Done(output()) } else { Observation::NotDone })
            }
        }
    }

    async fn run(input: &Input, ctx: &StepContext) -> Result<Output, StepError> {
        match input.action {
            Action::Pause | Action::Promote => recover::recover(input, ctx).await,
            Action::Resume => resume(input, ctx).await,
            Action::Discard => discard(input, ctx).await,
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn refused(json: serde_json::Value) -> Vec<String> {
        let input: Input = serde_json::from_value(json).unwrap();
        let problems = Pitr::validate(&input).err().unwrap_or_default();
        problems.into_iter().map(|problem| problem.path.join(".")).collect()
    }

    #[test]
    fn an_instance_that_keeps_its_timeline_is_for_a_person() {
        shown::case("RB0638", kept_timeline(1, 1).told());
    }

    #[test]
    fn what_each_action_needs_is_asked_for() {
        let folder = "/var/lib/postgresql/pitr";
        assert_eq!(refused(json!({"data_directory": folder})), ["store", "target"]);
        let whole = json!({"data_directory": folder, "store": "s", "target": "latest"});
        assert_eq!(refused(whole), Vec::<String>::new());
        for action in ["resume", "discard"] {
            let alone = json!({"data_directory": folder, "action": action});
            assert_eq!(refused(alone), Vec::<String>::new());
        }
        let inspect =
            json!({"data_directory": folder, "action": "resume", "inspect": ["select 1"]});
        assert_eq!(refused(inspect), ["inspect"]);
        let force = json!({"data_directory": folder, "action": "resume", "force": true});
        assert_eq!(refused(force), ["force"]);
    }

    #[test]
    fn a_folder_that_a_server_cannot_be_told_of_is_refused() {
        let of = |folder: &str| refused(json!({"action": "discard", "data_directory": folder}));
        let long = format!("/{}", "x".repeat(91));
        for folder in ["pitr", "/a'b", "/a%b", "/var/../etc", long.as_str(), "/a\nb"] {
            assert_eq!(of(folder), ["data_directory"], "{folder}");
        }
        let setting =
            json!({"data_directory": "/a", "action": "discard", "settings": {"a b": "1"}});
        assert_eq!(refused(setting), ["settings.a b"]);
    }
}
