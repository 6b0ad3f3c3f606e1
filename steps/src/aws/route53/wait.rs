//! `route53.wait`: waits until a change of records has reached those who ask.

use std::time::Duration;

use engine::context::{Progress, StepContext};
use engine::step::{Observation, Step};
use jiff::{SignedDuration, Timestamp};
use model::catalog::InputProblem;
use model::effect::{Effect, Repeat};
use model::footprint::{Footprint, Part};
use model::step_error::StepError;
use model::units::Span;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::super::asking::{five_seconds, interval_problem};
use super::Names;
use crate::dns::check::{Answers, Question};

/// The fact that the servers have the change, with the moment at which that was seen.
const IN_SYNC: &str = "in_sync";

/// Waits until a change of records has reached those who ask.
///
/// ## What it does
/// It waits for each thing that is given, in this order: until Route 53 says that every server of
/// the zone has `change` (`INSYNC`); until every name server that is asked gives the expected
/// `answers`; until `former_ttl` has passed since then, so that nobody need keep the former
/// answer any more.
///
/// ## When to use it
/// After `route53.update`, before the old server is taken away or a test is made as clients make
/// it. `INSYNC` says nothing of resolvers and clients that keep what they have looked up, and some
/// keep it longer than they should: the old server stays fenced.
///
/// ## What it changes
/// Nothing.
///
/// ## How it can fail
/// When it takes longer than `within`, or there is no such change.
///
/// ## Example
/// ```yaml
/// - id: everywhere
///   uses: route53.wait
///   with:
///     change: /change/C2682N5HXP0BZ4
///     answers: {name: db.example.com, type: CNAME, equals: [app-replica.example.com]}
///     former_ttl: 300
///     within: 10m
/// ```
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Input {
    /// The id of the change: the output `change` of `route53.update`, which may be nothing.
    change: Option<String>,
    /// What the name servers are to say.
    answers: Option<Answers>,
    /// The time to live of what was there, in seconds: the output `former_ttl` of
    /// `route53.update`, which may be nothing.
    former_ttl: Option<u64>,
    /// How long it may take altogether.
    within: Option<Span>,
    /// The time between two looks.
    #[serde(default = "five_seconds")]
    interval: Span,
    /// The region of the steps around; it tells the partition of AWS and nothing else.
    region: Option<String>,
    /// The profile of AWS whose credentials are used.
    profile: Option<String>,
    /// Where Route 53 answers, when that is not AWS.
    endpoint_url: Option<String>,
}

/// How it ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Output {
    /// When every server was seen to have the change.
    #[schemars(with = "String", extend("format" = "date-time"))]
    in_sync_at: Timestamp,
    /// The name servers that were asked and gave the answers.
    servers: Vec<String>,
}

/// The step kind.
pub struct Wait;

/// What it waits for at the moment, for the error of a wait that took too long.
type Latest = std::sync::Mutex<String>;

impl Input {
    fn names(&self) -> Names<'_> {
        Names {
            region: self.region.as_deref(),
            profile: self.profile.as_deref(),
            endpoint_url: self.endpoint_url.as_deref(),
        }
    }

    async fn pause(
        &self,
        what: String,
        ctx: &StepContext,
        latest: &Latest,
    ) -> Result<(), StepError> {
        ctx.progress(Progress { activity: format!("wait: {what}"), ..Progress::default() });
        *latest.lock().unwrap_or_else(std::sync::PoisonError::into_inner) = what;
        ctx.sleep(self.interval.duration()).await
    }

    async fn reached(&self, ctx: &StepContext, latest: &Latest) -> Result<Output, StepError> {
        if let Some(change) = self.change.as_deref().filter(|change| !change.is_empty()) {
            let client = self.names().looks().await?;
            while !super::is_in_sync(&client, change).await? {
                self.pause(format!("`{change}` is pending"), ctx, latest).await?;
            }
        }
        let mut servers = Vec::new();
        if let Some(question) = self.answers.as_ref().map(Answers::question) {
            servers = loop {
                match Question::all_say_it(&question).await {
                    Ok(servers) => break servers,
                    Err(wrong) => self.pause(wrong.join("; "), ctx, latest).await?,
                }
            };
        }
        let in_sync_at = seen(ctx).await?;
        while let Some(rest) = self.rest(in_sync_at, ctx.now()) {
            let what = format!("the former answer may be kept for {} more", Span::from(rest));
            self.pause(what, ctx, latest).await?;
        }
        Ok(Output { in_sync_at, servers })
    }

    /// How long somebody may still keep the former answer, in whole seconds.
    fn rest(&self, in_sync_at: Timestamp, now: Timestamp) -> Option<Duration> {
        let ttl = SignedDuration::from_secs(i64::try_from(self.former_ttl?).unwrap_or(i64::MAX));
        let rest = ttl.saturating_sub(now.duration_since(in_sync_at));
        let seconds = u64::try_from(rest.as_secs()).ok()? + u64::from(rest.subsec_nanos() > 0);
        (seconds > 0).then(|| Duration::from_secs(seconds))
    }
}

/// When the servers were first seen to have it; an earlier attempt may have seen it.
async fn seen(ctx: &StepContext) -> Result<Timestamp, StepError> {
    let earlier = ctx.fact(IN_SYNC).and_then(|fact| serde_json::from_value(fact).ok());
    if let Some(at) = earlier {
        return Ok(at);
    }
    let now = ctx.now();
    ctx.record(IN_SYNC, now).await?;
    Ok(now)
}

impl Step for Wait {
    const KIND: &'static str = "route53.wait";
    const SUMMARY: &'static str = "waits until a change of records has reached those who ask";
    type Input = Input;
    type Output = Output;

    fn validate(input: &Input) -> Result<(), Vec<InputProblem>> {
        let mut problems: Vec<_> = interval_problem(input.interval).into_iter().collect();
        if input.change.is_none() && input.answers.is_none() && input.former_ttl.is_none() {
            let problem = InputProblem::at("change", "there is nothing to wait for");
            problems.push(problem.help("write `change`, `answers` or `former_ttl`"));
        }
        problems.extend(input.answers.as_ref().and_then(Answers::problem));
        if problems.is_empty() { Ok(()) } else { Err(problems) }
    }

    fn footprint(input: &Input) -> Footprint {
        let mut footprint = Footprint::new(Effect::Read, Repeat::Idempotent)
            .plays(Part::Verify)
            .reads("whether a change of names has arrived")
            .gives_up_after(input.within);
        if input.change.is_some() {
            footprint = footprint.aws(input.names().asked(&["GetChange"]));
            footprint = input.endpoint_url.iter().fold(footprint, Footprint::endpoint);
        }
        match &input.answers {
            Some(answers) => answers.asked(footprint),
            None => footprint,
        }
    }

    fn example() -> Output {
        let servers = vec!["ns-1.awsdns-1.com (192.0.2.53:53)".to_owned()];
        Output { in_sync_at: Timestamp::UNIX_EPOCH, servers }
    }

    async fn observe(_input: &Input, _ctx: &StepContext) -> Result<Observation<Output>, StepError> {
        Ok(Observation::NotDone)
    }

    async fn run(input: &Input, ctx: &StepContext) -> Result<Output, StepError> {
        let latest = Latest::default();
        let within = input.within.map_or(Duration::MAX, Span::duration);
        tokio::select! {
            biased;
            slept = ctx.sleep(within) => {
                slept?;
                let what = latest.into_inner().unwrap_or_else(std::sync::PoisonError::into_inner);
                let message = format!("a change of names has not arrived after {}", Span::from(within));
                let mut error = StepError::permanent("RB0924", message)
                    .hint("see what Route 53 and the name servers say, or give a longer `within`");
                error.causes.extend(Some(what).filter(|what| !what.is_empty()));
                Err(error)
            }
            reached = input.reached(ctx, &latest) => reached,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_former_time_to_live_is_counted_from_when_the_servers_had_it() {
        let input: Input = serde_json::from_str(r#"{"former_ttl": 60}"#).unwrap();
        let at = |second| Timestamp::from_second(second).unwrap();
        assert_eq!(input.rest(at(100), at(100)), Some(Duration::from_mins(1)));
        assert_eq!(input.rest(at(100), at(159)), Some(Duration::from_secs(1)));
        assert_eq!(input.rest(at(100), at(160)), None);
        let none: Input = serde_json::from_str(r#"{"change": "/change/C1"}"#).unwrap();
        assert_eq!(none.rest(at(100), at(100)), None);
    }
}
