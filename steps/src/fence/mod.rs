//! `fence`: shuts an old primary out, and proves it.

mod evidence;
mod input;
mod isolate;
mod look;
mod method;
mod remote;
mod sessions;
mod standby;

use std::time::Duration;

use engine::context::StepContext;
use engine::step::{Observation, Step};
use jiff::Timestamp;
use model::catalog::InputProblem;
use model::effect::{Effect, Repeat};
use model::footprint::{AwsUse, Footprint, Part};
use model::step_error::{ErrorClass, StepError};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tokio::time::timeout;

use self::evidence::Evidence;
pub use self::input::Input;
use self::input::{Method, Require, given};
use self::look::Look;
use self::method::{Control, Verdict};
use self::standby::Heard;
use crate::pg::catalogue;
use crate::pg::classify::{not_applied, statement};
use crate::pg::connection::connect;
use crate::pg::target::Target;

/// The fact that holds what the old primary was, made durable before it is stopped.
const FACT: &str = "fencing";

/// How long the old primary may take to say what it is.
const PATIENCE: Duration = Duration::from_secs(5);

/// How a fence ended well.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// The server is stopped, and was seen to be.
    Confirmed,
    /// Nothing can tell whether it runs, and a person accepted that.
    ImpossibleUnreachable,
}

/// The evidence.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Output {
    /// `confirmed` or `impossible_unreachable`.
    outcome: Outcome,
    /// What proves it, in a sentence.
    proof: String,
    /// Every observation with its time, oldest first.
    evidence: Vec<String>,
    /// How the server was stopped.
    method: String,
    /// The old primary: `host:port`.
    endpoint: String,
    /// Its cluster's system identifier, when it could be read.
    system_identifier: Option<String>,
    /// Its timeline, when it could be read.
    timeline: Option<u32>,
    /// Its last WAL position: of the clean stop, or else as it was read before.
    last_lsn: Option<String>,
    /// `rds`: the security groups that it was in before, to put it back when the failover is called
    /// off.
    #[serde(default)]
    former_security_groups: Vec<String>,
    /// When the proof was complete.
    #[schemars(with = "String")]
    fenced_at: Timestamp,
}

/// The step kind.
pub struct Fence;

/// What the old primary said of itself before it was stopped.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
struct Before {
    system_identifier: Option<String>,
    timeline: Option<u32>,
    lsn: Option<String>,
    in_recovery: bool,
}

/// Where the old primary and its standby are.
struct Places {
    old: Target,
    standby: Option<Target>,
}

async fn places(input: &Input, ctx: &StepContext) -> Result<Places, StepError> {
    let old = Target::resolve(&ctx.connection(&input.connection).await?)?;
    let standby = match given(input.standby.as_ref()) {
        Some(name) => Some(Target::resolve(&ctx.connection(name).await?)?),
        None => None,
    };
    Ok(Places { old, standby })
}

async fn ask(ctx: &StepContext, target: &Target) -> Result<Before, StepError> {
    let session = connect(ctx, target).await?;
    let server = catalogue::server(&session, &target.endpoint()).await.map_err(not_applied)?;
    let lsn = "SELECT CASE WHEN NOT pg_is_in_recovery() THEN pg_current_wal_flush_lsn()::text END";
    let lsn = session.query_one(lsn, &[]).await;
    let lsn = lsn.map_err(|error| not_applied(statement("read the WAL position", &error)))?.get(0);
    session.close().await;
    let (in_recovery, timeline) = (server.in_recovery, server.timeline);
    Ok(Before { system_identifier: server.system_identifier, timeline, lsn, in_recovery })
}

/// What the old primary is, when it says so; that it does not is no error.
async fn before(
    ctx: &StepContext,
    target: &Target,
    evidence: &mut Evidence,
) -> Result<Before, StepError> {
    match timeout(PATIENCE, ask(ctx, target)).await {
        Ok(Ok(before)) => {
            let lsn = before.lsn.as_deref().unwrap_or("an unknown position");
            evidence.saw(ctx, format!("before: the server answers, and has written up to {lsn}"));
            Ok(before)
        }
        Ok(Err(error)) if error.class == ErrorClass::Cancelled => Err(error),
        Ok(Err(error)) => {
            evidence.saw(ctx, format!("before: {}", error.message));
            Ok(Before::default())
        }
        Err(_) => {
            evidence.saw(ctx, "before: the server gave no answer");
            Ok(Before::default())
        }
    }
}

fn wrong(message: String) -> StepError {
    StepError::permanent("RB0582", message).hint(
        "nothing was stopped: check which connection is the old primary and which the standby",
    )
}

/// Refuses to stop what is not the old primary of that standby.
fn check_right(
    input: &Input,
    places: &Places,
    before: &Before,
    heard: Option<&Heard>,
) -> Result<(), StepError> {
    let name = &input.connection;
    if places.standby.as_ref().is_some_and(|one| one.endpoint() == places.old.endpoint()) {
        let endpoint = places.old.endpoint();
        return Err(wrong(format!("the old primary and the standby are one server: {endpoint}")));
    }
    if before.in_recovery {
        return Err(wrong(format!("the server of `{name}` is a standby, not the old primary")));
    }
    let theirs = heard.map(|heard| &heard.system_identifier);
    match (before.system_identifier.as_ref(), theirs) {
        (Some(own), Some(other)) if own != other => Err(wrong(format!(
            "the server of `{name}` belongs to cluster {own}, the standby to {other}"
        ))),
        _ => Ok(()),
    }
}

/// What was found after the method had ended.
struct Found {
    look: Look,
    verdict: Verdict,
    control: Control,
    /// The standby heard of the old primary since.
    heard_since: bool,
}

/// Whether the standby still hears of the old primary: the network may part us from a server that
/// lives.
async fn heard_since(
    input: &Input,
    ctx: &StepContext,
    places: &Places,
    evidence: &mut Evidence,
) -> Result<bool, StepError> {
    let name = given(input.standby.as_ref()).unwrap_or_default();
    let Some(first) = standby::heard(ctx, places.standby.as_ref()).await? else {
        return Ok(false);
    };
    if !first.streams() {
        evidence.saw(ctx, first.told(name));
        return Ok(false);
    }
    ctx.sleep(input.quiet.duration()).await?;
    let last = standby::heard(ctx, places.standby.as_ref()).await?.unwrap_or_else(|| first.clone());
    evidence.saw(ctx, last.told(name));
    Ok(last.since(first.now))
}

/// Looks, read-only, for what proves the fence.
async fn find(
    input: &Input,
    ctx: &StepContext,
    places: &Places,
    wait: Duration,
    evidence: &mut Evidence,
) -> Result<Found, StepError> {
    let look = look::looks(input, ctx, &places.old, wait, evidence).await?;
    let verdict = input.verdict(ctx, evidence).await?;
    let control = match &verdict {
        Verdict::Stopped(_) => input.control(ctx, evidence).await?,
        _ => Control::default(),
    };
    let heard_since = heard_since(input, ctx, places, evidence).await?;
    Ok(Found { look, verdict, control, heard_since })
}

/// What is to be said of the old primary.
enum Judgement {
    Confirmed(String),
    Unknown(String),
    Failed(String),
}

fn judge(input: &Input, found: &Found) -> Judgement {
    use Judgement::{Confirmed, Failed, Unknown};
    // An instance that is shut in goes on sending to its replica; one that runs may go on writing.
    let shut_in = input.method == Method::Rds && matches!(found.verdict, Verdict::Stopped(_));
    if found.heard_since && !shut_in {
        return Failed("the standby still hears of it".to_owned());
    }
    match (&found.look, &found.verdict) {
        (Look::InRecovery, Verdict::Stopped(why)) if input.require == Require::NoWrites => {
            Confirmed(format!("{why}, and the server is in recovery: it takes no writes"))
        }
        (Look::InRecovery, _) => Failed("it is in recovery, and still answers".to_owned()),
        (Look::Alive(how), _) | (_, Verdict::Runs(how)) => Failed(how.clone()),
        (Look::Closed, Verdict::Stopped(why)) => {
            let quiet = input.quiet;
            Confirmed(format!("{why}, and its port refused connections for {quiet}"))
        }
        (Look::Silent(_), Verdict::Stopped(why)) if input.sees() => {
            Confirmed(format!("{why}, and nothing answers at its port"))
        }
        (Look::Silent(why), Verdict::Stopped(_)) => Unknown(why.clone()),
        (Look::Closed, Verdict::Unknown(why)) => {
            Unknown(format!("its port refuses connections, but {why}"))
        }
        (Look::Silent(look), Verdict::Unknown(why)) => Unknown(format!("{look}; {why}")),
    }
}

/// What ends the run: the server lives, or nobody can tell.
async fn refused(
    input: &Input,
    ctx: &StepContext,
    old: &Target,
    judgement: Judgement,
    evidence: Evidence,
) -> StepError {
    let endpoint = old.endpoint();
    let (mut error, hint) = match judgement {
        Judgement::Unknown(why) => {
            let message =
                format!("nothing can tell whether the old primary {endpoint} runs: {why}");
            let hint = "cut it off by other means (power, network, storage), then say which in \
                `accept_unreachable`; a standby that is promoted beside it may lose data for good";
            (StepError::needs_operator("RB0581", message), hint)
        }
        Judgement::Failed(how) | Judgement::Confirmed(how) => {
            let message = format!("the old primary {endpoint} is not shut out: {how}");
            let mut error = StepError::permanent("RB0580", message);
            error.causes = look::deeds(ctx, old).await;
            (error, "promote nothing; stop it by hand or by another `method`, then run again")
        }
    };
    if let Some(how) = input.remote().map(|ssh| &ssh.host) {
        error.causes.push(format!("the method ran by ssh on `{how}`"));
    }
    error.causes.extend(evidence.into_list());
    error.hint(hint)
}

fn output(
    input: &Input,
    ctx: &StepContext,
    old: &Target,
    before: Before,
    control: Control,
    ended: (Outcome, String),
    evidence: Evidence,
) -> Output {
    Output {
        outcome: ended.0,
        proof: ended.1,
        evidence: evidence.into_list(),
        method: input.method.name().to_owned(),
        endpoint: old.endpoint(),
        system_identifier: control.system_identifier.or(before.system_identifier),
        timeline: control.timeline.or(before.timeline),
        last_lsn: control.last_lsn.or(before.lsn),
        former_security_groups: isolate::former(ctx),
        fenced_at: ctx.now(),
    }
}

impl Step for Fence {
    const KIND: &'static str = "fence";
    const SUMMARY: &'static str = "shuts an old primary out, and proves it";
    type Input = Input;
    type Output = Output;

    fn validate(input: &Input) -> Result<(), Vec<InputProblem>> {
        let problems = input.problems();
        if problems.is_empty() { Ok(()) } else { Err(problems) }
    }

    fn footprint(input: &Input) -> Footprint {
        let mut footprint = Footprint::new(Effect::Destructive, Repeat::Observable)
            .plays(Part::Fence)
            .writes_connection(&input.connection)
            .that_may_be_away()
            .writes(input.deed());
        if let Some(standby) = given(input.standby.as_ref()) {
            footprint = footprint
                .reads_connection(standby)
                .that_may_be_away()
                .reads(format!("whether `{standby}` hears of the old primary"));
        }
        if input.method == Method::Rds {
            let actions = ["DescribeDBInstances", "ModifyDBInstance", "RebootDBInstance"];
            footprint = footprint.aws(AwsUse::control("rds", input.region.as_deref(), &actions));
        }
        if let Some(ssh) = input.remote() {
            footprint = footprint.endpoint(ssh.host.clone());
        }
        input.tools().into_iter().fold(footprint, Footprint::tool)
    }

    fn example() -> Output {
        let proof = "no server runs on `/var/lib/postgresql/15/main`, and its port refused \
                     connections for 3s";
        Output {
            outcome: Outcome::Confirmed,
            proof: proof.to_owned(),
            evidence: vec!["2026-11-20T02:00:05Z: the port refuses connections".to_owned()],
            method: "pg_ctl".to_owned(),
            endpoint: "db1.internal:5432".to_owned(),
            system_identifier: Some("7571234567890123456".to_owned()),
            timeline: Some(1),
            last_lsn: Some("0/3000148".to_owned()),
            former_security_groups: Vec::new(),
            fenced_at: Timestamp::UNIX_EPOCH,
        }
    }

    async fn observe(input: &Input, ctx: &StepContext) -> Result<Observation<Output>, StepError> {
        let begun = ctx.fact(FACT).and_then(|fact| serde_json::from_value(fact).ok());
        let Some(before): Option<Before> = begun else { return Ok(Observation::NotDone) };
        let (places, mut evidence) = (places(input, ctx).await?, Evidence::default());
        let found = find(input, ctx, &places, Duration::ZERO, &mut evidence).await?;
        // Without proof it is stopped once more, which does no harm.
        let Judgement::Confirmed(proof) = judge(input, &found) else {
            return Ok(Observation::NotDone);
        };
        let ended = (Outcome::Confirmed, proof);
        let output = output(input, ctx, &places.old, before, found.control, ended, evidence);
        Ok(Observation::Done(output))
    }

    async fn run(input: &Input, ctx: &StepContext) -> Result<Output, StepError> {
        let (places, mut evidence) = (places(input, ctx).await?, Evidence::default());
        let mut was = before(ctx, &places.old, &mut evidence).await?;
        let heard = standby::heard(ctx, places.standby.as_ref()).await?;
        check_right(input, &places, &was, heard.as_ref())?;
        if ctx.cancel().is_cancelled() {
            return Err(StepError::cancelled());
        }
        // What an earlier attempt read is kept when there is nobody to ask any more.
        let earlier = ctx.fact(FACT).and_then(|fact| serde_json::from_value(fact).ok());
        if was == Before::default() {
            was = earlier.unwrap_or_default();
        }
        ctx.record(FACT, &was).await?;
        input.stop(ctx, &places.old, &mut evidence).await?;
        let wait = input.wait.duration();
        let found = find(input, ctx, &places, wait, &mut evidence).await?;
        let ended = match (judge(input, &found), given(input.accept_unreachable.as_ref())) {
            (Judgement::Confirmed(proof), _) => (Outcome::Confirmed, proof),
            (Judgement::Unknown(why), Some(reason)) => {
                evidence.saw(ctx, format!("accepted: {reason}"));
                let proof = format!("nothing can tell whether it runs ({why}); accepted: {reason}");
                (Outcome::ImpossibleUnreachable, proof)
            }
            (judgement, _) => {
                return Err(refused(input, ctx, &places.old, judgement, evidence).await);
            }
        };
        ctx.log(&ended.1);
        Ok(output(input, ctx, &places.old, was, found.control, ended, evidence))
    }
}
