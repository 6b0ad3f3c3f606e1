//! `flow.wait`: waits for a span of time, or until a moment.

use std::time::Duration;

use engine::context::{Progress, StepContext};
use engine::step::{Observation, Step};
use jiff::{SignedDuration, Timestamp};
use model::catalog::InputProblem;
use model::effect::{Effect, Repeat};
use model::footprint::Footprint;
use model::step_error::StepError;
use model::units::Span;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The longest sleep before the clock is read again and progress is shown.
const NAP: Duration = Duration::from_secs(5);

/// The fact that holds the moment the wait ends.
const FACT: &str = "wait";

/// Waits for a span of time, or until a moment.
///
/// ## What it does
/// With `duration` the end is that long after the step's first start; with `until` it is that
/// moment. The end is journaled before the wait begins, so a resumed run waits for what is left
/// and not from the start again. An end that has passed is no wait.
///
/// ## When to use it
/// To let an old DNS answer run out, or to hold a step back until a maintenance window opens. To
/// wait for a condition, use `retry` on a step that checks it.
///
/// ## What it changes
/// Nothing.
///
/// ## How it can fail
/// Only by being cancelled.
///
/// ## Example
/// ```yaml
/// - id: old_ttl
///   uses: flow.wait
///   with: {duration: 5m}
/// ```
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Input {
    /// How long to wait, such as `90s` or `1h30m`. Either this or `until`.
    duration: Option<Span>,
    /// The moment to wait for, RFC 3339 with a zone: `2026-11-20T02:00:00Z`. Either this or
    /// `duration`.
    #[schemars(with = "Option<String>", extend("format" = "date-time"))]
    until: Option<Timestamp>,
}

/// When the wait was over.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Output {
    /// The moment that was waited for.
    #[schemars(with = "String", extend("format" = "date-time"))]
    until: Timestamp,
}

/// The step kind.
pub struct Wait;

#[derive(Serialize, Deserialize)]
struct End {
    until: Timestamp,
}

fn recorded(ctx: &StepContext) -> Option<Timestamp> {
    let end: End = serde_json::from_value(ctx.fact(FACT)?).ok()?;
    Some(end.until)
}

fn planned(input: &Input, now: Timestamp) -> Timestamp {
    let after = |span: Span| {
        let duration = SignedDuration::try_from(span.duration()).unwrap_or(SignedDuration::MAX);
        now.checked_add(duration).unwrap_or(Timestamp::MAX)
    };
    input.until.or_else(|| input.duration.map(after)).unwrap_or(now)
}

/// How long from `now` to `until`; zero when it has passed.
fn left(until: Timestamp, now: Timestamp) -> Duration {
    Duration::try_from(until.duration_since(now)).unwrap_or_default()
}

impl Step for Wait {
    const KIND: &'static str = "flow.wait";
    const SUMMARY: &'static str = "waits for a span of time, or until a moment";
    type Input = Input;
    type Output = Output;

    fn validate(input: &Input) -> Result<(), Vec<InputProblem>> {
        let problem = match (&input.duration, &input.until) {
            (None, None) => InputProblem::at("duration", "neither `duration` nor `until` is given"),
            (Some(_), Some(_)) => InputProblem::at("until", "`duration` is given as well"),
            _ => return Ok(()),
        };
        Err(vec![problem.help("give either `duration` or `until`")])
    }

    fn footprint(input: &Input) -> Footprint {
        Footprint::new(Effect::Read, Repeat::Idempotent).lasts(input.duration)
    }

    fn example() -> Output {
        Output { until: Timestamp::UNIX_EPOCH }
    }

    async fn observe(_input: &Input, ctx: &StepContext) -> Result<Observation<Output>, StepError> {
        Ok(match recorded(ctx) {
            Some(until) if until <= ctx.now() => Observation::Done(Output { until }),
            _ => Observation::NotDone,
        })
    }

    async fn run(input: &Input, ctx: &StepContext) -> Result<Output, StepError> {
        let until = recorded(ctx).unwrap_or_else(|| planned(input, ctx.now()));
        if recorded(ctx).is_none() {
            ctx.record(FACT, End { until }).await?;
        }
        let mut rest = left(until, ctx.now());
        let total = rest.as_secs();
        while !rest.is_zero() {
            let done = total.saturating_sub(rest.as_secs());
            let activity = format!("wait until {until}");
            ctx.progress(Progress { activity, done, total: Some(total), bytes: false });
            let nap = rest.min(NAP);
            ctx.sleep(nap).await?;
            // The smaller of both: a clock set back does not prolong the wait, one set forward
            // (or a machine that slept) ends it.
            rest = rest.saturating_sub(nap).min(left(until, ctx.now()));
        }
        Ok(Output { until })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing;

    fn input(duration: Option<&str>, until: Option<&str>) -> Input {
        Input {
            duration: duration.map(|text| text.parse().unwrap()),
            until: until.map(|text| text.parse().unwrap()),
        }
    }

    #[tokio::test]
    async fn the_end_is_recorded_before_the_wait_and_kept_by_the_next_attempt() {
        let host = testing::host();
        let first = testing::context_of(&host, 1);
        first.cancel().cancel();
        let error = Wait::run(&input(Some("1h"), None), &first).await.unwrap_err();
        assert_eq!(error, StepError::cancelled());
        let end = first.fact(FACT).unwrap();
        assert_eq!(end, serde_json::json!({"until": "2026-11-20T03:00:00Z"}));

        let second = testing::context_of(&host, 2);
        second.cancel().cancel();
        Wait::run(&input(Some("2h"), None), &second).await.unwrap_err();
        assert_eq!(second.facts().len(), 1);
    }

    #[tokio::test]
    async fn a_moment_that_has_passed_is_no_wait() {
        let ctx = testing::context();
        let output = Wait::run(&input(None, Some("2026-11-20T01:00:00Z")), &ctx).await.unwrap();
        let until = "2026-11-20T01:00:00Z".parse().unwrap();
        assert_eq!(output, Output { until });
        let seen = Wait::observe(&input(Some("1s"), None), &ctx).await.unwrap();
        assert_eq!(seen, Observation::Done(output));
    }

    #[tokio::test]
    async fn a_short_wait_ends_by_itself() {
        let ctx = testing::context();
        let output = Wait::run(&input(Some("20ms"), None), &ctx).await.unwrap();
        assert_eq!(output.until, "2026-11-20T02:00:00.02Z".parse().unwrap());
        assert_eq!(Wait::observe(&input(Some("1s"), None), &ctx).await, Ok(Observation::NotDone));
    }

    #[test]
    fn one_end_is_needed() {
        assert!(Wait::validate(&input(Some("1s"), None)).is_ok());
        let both = Wait::validate(&input(Some("1s"), Some("2026-11-20T01:00:00Z"))).unwrap_err();
        assert_eq!(both[0].message, "`duration` is given as well");
        let none = Wait::validate(&input(None, None)).unwrap_err();
        assert_eq!(none[0].message, "neither `duration` nor `until` is given");
    }
}
