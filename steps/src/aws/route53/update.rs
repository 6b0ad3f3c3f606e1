//! `route53.update`: changes records of a zone, all or none.

use engine::context::{Progress, StepContext};
use engine::step::{Observation, Step};
use model::catalog::InputProblem;
use model::effect::{Effect, Repeat};
use model::footprint::{Footprint, Part};
use model::step_error::StepError;
use model::units::Span;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::super::asking::{five_seconds, interval_problem, unless_cancelled};
use super::Names;
use super::change::{self, Found};
use super::record::{Record, plain};
use super::zone;

/// The fact that is recorded before the request is sent.
const ASKED: &str = "asked";

/// The fact that is recorded as soon as Route 53 has told the change's id.
const CHANGE: &str = "change";

/// Changes records of a zone of Route 53, all of them or none.
///
/// ## What it does
/// It reads the records that `changes` names and keeps what they say now. Then it sends one change
/// that takes away exactly what was read and puts the new records in its place: when somebody else
/// changes a record in between, Route 53 refuses all of it. With `expect` a record must also be
/// what the runbook says it is. What is as it should be already is left alone. At last it waits
/// until every server of the zone has the change (`INSYNC`), unless `wait` is `false`.
///
/// The change is sent once. When its answer is lost, the records tell what happened.
///
/// ## When to use it
/// To send clients to another server, after it was proved to take writes. Clients keep what they
/// have looked up until the former time to live has passed (`former_ttl`): `route53.wait` waits
/// for that, and a low `ttl` is set days before. The control plane of Route 53 stands in
/// `us-east-1`, whatever `region` says; a failover record with a health check needs no change of
/// a record, and so no control plane.
///
/// `former` is what was there. As `restore` of the same kind it puts that back, unless somebody
/// has changed the records since; the example does so when it is undone.
///
/// ## What it changes
/// The records that it names. One with a routing that it could not put back (geolocation,
/// geoproximity, addresses of clients, a traffic policy) is refused.
///
/// ## How it can fail
/// Before anything is changed: when the zone is not there or its name is that of several, a record
/// is not what `expect` says, or Route 53 refuses the change as a whole. While another change of
/// the zone is under way (`PriorRequestNotComplete`), or requests are throttled, it is tried again
/// as `retry` says. When the answer is lost and the records are neither what they were nor what
/// was asked for, nobody can tell: the step is in doubt.
///
/// ## Example
/// ```yaml
/// - id: dns
///   uses: route53.update
///   with:
///     zone: example.com
///     changes:
///       - name: db.example.com
///         type: CNAME
///         ttl: 1m
///         values: [app-replica.c9x.us-west-2.rds.amazonaws.com]
///         expect: [app-primary.c9x.us-east-1.rds.amazonaws.com]
///   undo:
///     uses: route53.update
///     with: {zone: example.com, restore: "{{ steps.dns.outputs.former }}"}
/// ```
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Input {
    /// The zone, by its id or its name.
    zone: String,
    /// The records as they are to be. Either this or `restore`.
    changes: Option<Vec<Record>>,
    /// What to put back: the output `former` of such a step. Either this or `changes`.
    restore: Option<Vec<Record>>,
    /// Whether it waits until every server of the zone has the change.
    #[serde(default = "crate::defaults::yes")]
    wait: bool,
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

/// What was changed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Output {
    /// The id of the zone.
    zone: String,
    /// The id of the change; absent when nothing had to change, or its answer was lost.
    change: Option<String>,
    /// Whether it is known that every server of the zone has the change.
    in_sync: bool,
    /// Whether anything had to change.
    changed: bool,
    /// What was there, for `restore`.
    former: Vec<Record>,
    /// The longest time to live of what was there, in seconds: so long clients may keep it.
    former_ttl: Option<u64>,
}

/// What is recorded before the request.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Asked {
    zone: String,
    changes: Vec<Record>,
    former: Vec<Record>,
    /// What each record was, as it is compared.
    found: Vec<Option<Record>>,
}

/// The step kind.
pub struct Update;

fn asked_for(ctx: &StepContext) -> Option<Asked> {
    serde_json::from_value(ctx.fact(ASKED)?).ok()
}

/// The change that was accepted for what was asked last.
fn accepted(ctx: &StepContext) -> Option<String> {
    let facts = ctx.facts();
    let last = facts.iter().rposition(|fact| fact.name == ASKED)?;
    let change = facts[last..].iter().find(|fact| fact.name == CHANGE)?;
    change.data.as_str().map(str::to_owned)
}

impl Asked {
    fn output(&self, change: Option<String>, in_sync: bool) -> Output {
        let ttl = |found: &Record| found.ttl.map(|ttl| ttl.duration().as_secs());
        Output {
            zone: self.zone.clone(),
            change,
            in_sync,
            changed: true,
            former: self.former.clone(),
            former_ttl: self.found.iter().flatten().filter_map(ttl).max(),
        }
    }
}

impl Input {
    fn names(&self) -> Names<'_> {
        Names {
            region: self.region.as_deref(),
            profile: self.profile.as_deref(),
            endpoint_url: self.endpoint_url.as_deref(),
        }
    }

    fn records(&self) -> &[Record] {
        self.changes.as_deref().or(self.restore.as_deref()).unwrap_or_default()
    }

    /// Reads what is there; the ids of zones and the records, asked for one after the other.
    async fn look(&self) -> Result<(String, Vec<Found>), StepError> {
        let client = self.names().looks().await?;
        let zone = zone::find(&client, &self.zone).await?;
        let mut all = Vec::new();
        for record in self.records() {
            all.push(Found::read(&client, &zone, record).await?);
        }
        Ok((zone, all))
    }

    /// Nothing has to change, perhaps because an earlier attempt did it.
    fn unchanged(zone: String, all: &[Found], ctx: &StepContext) -> Output {
        let earlier = asked_for(ctx).filter(|asked| {
            asked.changes.iter().all(|change| all.iter().any(|found| found.asked == *change))
        });
        if let Some(asked) = earlier {
            return asked.output(accepted(ctx), false);
        }
        let (former, former_ttl) = (Vec::new(), None);
        Output { zone, change: None, in_sync: true, changed: false, former, former_ttl }
    }

    /// Sends the change, once.
    async fn change(
        &self,
        asked: &Asked,
        all: &[Found],
        ctx: &StepContext,
    ) -> Result<String, StepError> {
        let client = self.names().changes().await?;
        let id = ctx.id();
        let comment = format!("runbook {} {} {}", id.run, id.step, id.attempt);
        let batch = change::batch(all, &comment)?;
        match change::send(&client, &asked.zone, batch).await {
            Ok(change) => {
                ctx.record(CHANGE, &change).await?;
                Ok(change)
            }
            Err(refusal) => Err(self.explained(refusal, asked).await),
        }
    }

    /// A change that was refused because the records are no longer what was read.
    async fn explained(&self, refusal: change::Refusal, asked: &Asked) -> StepError {
        let change::Refusal { as_a_whole: true, error } = refusal else { return refusal.error };
        let Ok(client) = self.names().looks().await else { return error };
        for (change, was) in asked.changes.iter().zip(&asked.found) {
            match Found::read(&client, &asked.zone, change).await {
                Ok(now) if now.there != *was => {
                    return change::surprise(&now, "somebody changed it meanwhile");
                }
                _ => {}
            }
        }
        error
    }

    /// Waits until every server of the zone has the change.
    async fn in_sync(&self, change: &str, ctx: &StepContext) -> Result<(), StepError> {
        let client = self.names().looks().await?;
        while !super::is_in_sync(&client, change).await? {
            let activity = format!("wait for the servers of the zone: `{change}` is pending");
            ctx.progress(Progress { activity, ..Progress::default() });
            ctx.sleep(self.interval.duration()).await?;
        }
        Ok(())
    }
}

/// An error after the change was accepted: it says nothing against the change.
fn after(error: StepError) -> StepError {
    let message = "the change was accepted, and whether every server of the zone has it is unknown";
    let mut out = StepError::ambiguous("RB0923", message);
    out.causes.push(error.message);
    out
}

impl Step for Update {
    const KIND: &'static str = "route53.update";
    const SUMMARY: &'static str = "changes records of a zone of Route 53, all or none";
    type Input = Input;
    type Output = Output;

    fn validate(input: &Input) -> Result<(), Vec<InputProblem>> {
        let mut problems: Vec<_> = interval_problem(input.interval).into_iter().collect();
        let (key, both) = match (&input.changes, &input.restore) {
            (Some(_), Some(_)) => ("restore", true),
            (None, Some(_)) => ("restore", false),
            _ => ("changes", false),
        };
        if both {
            problems.push(InputProblem::at(key, "`changes` is given as well"));
        } else if input.records().is_empty() && input.restore.is_none() {
            let problem = InputProblem::at("changes", "nothing is to change");
            problems.push(problem.help("write `changes`, or `restore` to put back what was there"));
        }
        let places = input.records().iter().enumerate();
        problems.extend(places.filter_map(|(at, one)| one.problem(&format!("{key}[{at}]"))));
        if problems.is_empty() { Ok(()) } else { Err(problems) }
    }

    fn footprint(input: &Input) -> Footprint {
        let Input { zone, .. } = input;
        let names = input.names();
        let actions: Vec<_> =
            super::LOOKS.into_iter().chain(["ChangeResourceRecordSets"]).collect();
        let footprint = Footprint::new(Effect::Reversible, Repeat::Observable)
            .plays(Part::MoveTraffic)
            .aws(names.asked(&actions));
        let footprint = match &input.restore {
            Some(_) => footprint.writes(format!("records of zone `{}`, as they were", plain(zone))),
            None => input.records().iter().fold(footprint, |footprint, record| {
                footprint.writes(format!("{record} of zone `{}`", plain(zone)))
            }),
        };
        input.endpoint_url.iter().fold(footprint, Footprint::endpoint)
    }

    fn example() -> Output {
        let values = vec!["app-primary.c9x.us-east-1.rds.amazonaws.com".to_owned()];
        let now = vec!["app-replica.c9x.us-west-2.rds.amazonaws.com".to_owned()];
        Output {
            zone: "Z1D633PJN98FT9".to_owned(),
            change: Some("/change/C2682N5HXP0BZ4".to_owned()),
            in_sync: true,
            changed: true,
            former: vec![Record::cname("db.example.com", values, now)],
            former_ttl: Some(60),
        }
    }

    async fn observe(input: &Input, ctx: &StepContext) -> Result<Observation<Output>, StepError> {
        let Some(asked) = asked_for(ctx) else { return Ok(Observation::NotDone) };
        let client = input.names().looks().await?;
        let (mut is_new, mut is_old) = (true, true);
        for (change, found) in asked.changes.iter().zip(&asked.found) {
            let now = change::record(&client, &asked.zone, change).await?;
            is_new &= change.is_met_by(now.as_ref());
            is_old &= *found == now;
        }
        let change = accepted(ctx);
        Ok(match (is_new, is_old, change) {
            (true, _, Some(change)) => {
                let in_sync = super::is_in_sync(&client, &change).await?;
                if in_sync || !input.wait {
                    Observation::Done(asked.output(Some(change), in_sync))
                } else {
                    Observation::InProgress
                }
            }
            (true, _, None) => Observation::Done(asked.output(None, false)),
            (false, true, None) => Observation::NotDone,
            _ => Observation::Unknown,
        })
    }

    async fn run(input: &Input, ctx: &StepContext) -> Result<Output, StepError> {
        let (zone, all) = unless_cancelled(ctx, Box::pin(input.look())).await?;
        let all: Vec<Found> = all.into_iter().map(Found::settled).collect();
        let open: Vec<Found> = all.iter().filter(|one| !one.is_met()).cloned().collect();
        if open.is_empty() {
            return Ok(Input::unchanged(zone, &all, ctx));
        }
        for found in &open {
            found.check()?;
        }
        let asked = Asked {
            zone,
            changes: open.iter().map(|one| one.asked.clone()).collect(),
            former: open.iter().map(|one| one.asked.undone(one.there.as_ref())).collect(),
            found: open.iter().map(|one| one.there.clone()).collect(),
        };
        ctx.record(ASKED, &asked).await?;
        let change = input.change(&asked, &open, ctx).await?;
        if input.wait {
            input.in_sync(&change, ctx).await.map_err(after)?;
        }
        Ok(asked.output(Some(change), input.wait))
    }
}
