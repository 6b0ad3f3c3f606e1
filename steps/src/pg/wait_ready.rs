//! `pg.wait_ready`: waits until a server takes connections and answers.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use engine::context::{Progress, StepContext};
use engine::step::{Observation, Step};
use model::catalog::InputProblem;
use model::effect::{Effect, Repeat};
use model::footprint::Footprint;
use model::step_error::{ErrorClass, StepError};
use model::units::Span;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::classify;
use super::connection::connect;
use super::target::Target;

/// What tells whether a server is ready. A standby, and a server whose transactions are read-only
/// by default, accept no writes.
const LOOK: &str = "SELECT current_setting('server_version'), pg_is_in_recovery(), \
    NOT pg_is_in_recovery() AND current_setting('default_transaction_read_only') = 'off'";

/// Waits until a server takes connections and answers a query.
///
/// ## What it does
/// It connects and asks the server every `interval` until it answers, and until it is what
/// `writable` and `in_recovery` say. It shows as progress what it is waiting for. A server that
/// starts, stops, has no free connection or does not answer is waited for; a wrong password or a
/// database that does not exist does not mend itself and fails at once.
///
/// ## When to use it
/// After a start, a restart, a promotion or a restore of a whole instance, in front of the first
/// step that needs the server.
///
/// ## What it changes
/// Nothing.
///
/// ## How it can fail
/// When the server is not ready within `timeout`; the error says what was missing last.
///
/// ## Example
/// ```yaml
/// - id: ready
///   uses: pg.wait_ready
///   with: {connection: prod, writable: true, timeout: 5m}
/// ```
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Input {
    /// The name under `connections:`.
    connection: String,
    /// The server accepts writes: it is no standby, and its transactions are not read-only.
    #[serde(default)]
    writable: bool,
    /// The server is a standby or recovers (`true`), or it does not (`false`).
    in_recovery: Option<bool>,
    /// The time between two looks.
    #[serde(default = "one_second")]
    interval: Span,
    /// How long one look may take.
    #[serde(default = "ten_seconds")]
    look_timeout: Span,
    /// How long to wait in all.
    #[serde(default = "five_minutes")]
    timeout: Span,
}

/// The server that answers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Output {
    /// Its version: `15.14 (Debian 15.14-0+deb12u1)`.
    version: String,
    /// It is a standby, or recovers.
    in_recovery: bool,
    /// It accepts writes.
    writable: bool,
    /// How often it was asked.
    looks: u64,
    /// How long it took, in milliseconds.
    waited_ms: u64,
}

/// The step kind.
pub struct WaitReady;

fn one_second() -> Span {
    Span::from(Duration::from_secs(1))
}

fn ten_seconds() -> Span {
    Span::from(Duration::from_secs(10))
}

fn five_minutes() -> Span {
    Span::from(Duration::from_mins(5))
}

impl Input {
    /// What the server is not, in words.
    fn lacks(&self, found: &Output) -> Option<&'static str> {
        match self.in_recovery {
            Some(true) if !found.in_recovery => Some("it is not in recovery"),
            Some(false) if found.in_recovery => Some("it is in recovery"),
            _ if self.writable && found.in_recovery => {
                Some("it accepts no writes: it is in recovery")
            }
            _ if self.writable && !found.writable => {
                Some("it accepts no writes: its transactions are read-only")
            }
            _ => None,
        }
    }
}

async fn look(ctx: &StepContext, target: &Target) -> Result<Output, StepError> {
    let session = connect(ctx, target).await?;
    let failed = |error| classify::statement("ask the server", &error);
    let row = session.query_one(LOOK, &[]).await.map_err(failed)?;
    session.close().await;
    let (looks, waited_ms) = (0, 0);
    Ok(Output {
        version: row.get(0),
        in_recovery: row.get(1),
        writable: row.get(2),
        looks,
        waited_ms,
    })
}

/// One look that does not take longer than it may.
async fn look_in_time(
    input: &Input,
    ctx: &StepContext,
    target: &Target,
) -> Result<Output, StepError> {
    let at_most = input.look_timeout;
    tokio::select! {
        seen = look(ctx, target) => seen,
        slept = ctx.sleep(at_most.duration()) => {
            slept?;
            Err(StepError::transient("RB0570", format!("it gave no answer for {at_most}")))
        }
    }
}

/// Looks until the server is ready. What is missing is kept in `missing`.
async fn wait(
    input: &Input,
    ctx: &StepContext,
    target: &Target,
    missing: &Mutex<String>,
) -> Result<Output, StepError> {
    for looks in 1.. {
        let why = match look_in_time(input, ctx, target).await {
            Ok(found) => match input.lacks(&found) {
                None => return Ok(Output { looks, ..found }),
                Some(why) => why.to_owned(),
            },
            Err(error) if matches!(error.class, ErrorClass::Transient | ErrorClass::Ambiguous) => {
                error.message
            }
            Err(error) => return Err(error),
        };
        ctx.progress(Progress {
            activity: format!("wait for {}: {why}", target.endpoint()),
            done: looks,
            total: None,
            bytes: false,
        });
        let before = {
            let mut missing = missing.lock().unwrap_or_else(PoisonError::into_inner);
            std::mem::replace(&mut *missing, why.clone())
        };
        if before != why {
            ctx.log(format!("{} is not ready: {why}", target.endpoint()));
        }
        ctx.sleep(input.interval.duration()).await?;
    }
    unreachable!("a wait that never ends has no end")
}

impl Step for WaitReady {
    const KIND: &'static str = "pg.wait_ready";
    const SUMMARY: &'static str = "waits until a server takes connections and answers";
    type Input = Input;
    type Output = Output;

    fn validate(input: &Input) -> Result<(), Vec<InputProblem>> {
        let mut problems = Vec::new();
        for (key, span) in [
            ("interval", input.interval),
            ("look_timeout", input.look_timeout),
            ("timeout", input.timeout),
        ] {
            if span.duration().is_zero() {
                problems.push(InputProblem::at(key, format!("`{key}` is no time at all")));
            }
        }
        if input.writable && input.in_recovery == Some(true) {
            let problem = InputProblem::at("in_recovery", "a server in recovery accepts no writes");
            problems.push(problem.help("leave `writable` out, or `in_recovery`"));
        }
        if problems.is_empty() { Ok(()) } else { Err(problems) }
    }

    fn footprint(input: &Input) -> Footprint {
        Footprint::new(Effect::Read, Repeat::Idempotent)
            .gives_up_after(Some(input.timeout))
            .reads_connection(&input.connection)
            .that_may_be_away()
            .reads(format!("whether the server of `{}` is ready", input.connection))
    }

    fn example() -> Output {
        Output {
            version: "15.14".to_owned(),
            in_recovery: false,
            writable: true,
            looks: 3,
            waited_ms: 2100,
        }
    }

    async fn observe(_input: &Input, _ctx: &StepContext) -> Result<Observation<Output>, StepError> {
        Ok(Observation::NotDone)
    }

    async fn run(input: &Input, ctx: &StepContext) -> Result<Output, StepError> {
        let target = Target::resolve(&ctx.connection(&input.connection).await?)?;
        let (started, missing) = (ctx.now(), Mutex::default());
        let mut ready = tokio::select! {
            ready = wait(input, ctx, &target, &missing) => ready?,
            slept = ctx.sleep(input.timeout.duration()) => {
                slept?;
                let why = missing.into_inner().unwrap_or_else(PoisonError::into_inner);
                return Err(late(input, &target, &why));
            }
        };
        let waited = ctx.now().duration_since(started).as_millis();
        ready.waited_ms = u64::try_from(waited).unwrap_or_default();
        Ok(ready)
    }
}

fn late(input: &Input, target: &Target, why: &str) -> StepError {
    let why = if why.is_empty() { "it gave no answer" } else { why };
    let place = format!("`{}` ({})", input.connection, target.endpoint());
    let message = format!("the server of {place} was not ready within {}: {why}", input.timeout);
    StepError::transient("RB0570", message).hint("see the server's log, or give it more `timeout`")
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn input(keys: &Value) -> Input {
        let mut input = json!({"connection": "prod"});
        input.as_object_mut().unwrap().extend(keys.as_object().unwrap().clone());
        serde_json::from_value(input).unwrap()
    }

    #[test]
    fn each_condition_is_named_when_it_is_missing() {
        let server =
            |in_recovery, writable| Output { in_recovery, writable, ..WaitReady::example() };
        let (primary, standby, read_only) =
            (server(false, true), server(true, false), server(false, false));
        for (keys, found, lacks) in [
            (json!({}), &standby, None),
            (json!({"writable": true}), &primary, None),
            (json!({"writable": true}), &standby, Some("it accepts no writes: it is in recovery")),
            (
                json!({"writable": true}),
                &read_only,
                Some("it accepts no writes: its transactions are read-only"),
            ),
            (json!({"in_recovery": true}), &standby, None),
            (json!({"in_recovery": true}), &primary, Some("it is not in recovery")),
            (json!({"in_recovery": false}), &standby, Some("it is in recovery")),
        ] {
            assert_eq!(input(&keys).lacks(found), lacks, "{keys}");
        }
    }

    #[test]
    fn a_wait_that_cannot_end_is_refused() {
        let refused = |keys: &Value| {
            let problems = WaitReady::validate(&input(keys)).err().unwrap_or_default();
            problems.into_iter().map(|problem| problem.path.join(".")).collect::<Vec<_>>()
        };
        assert_eq!(refused(&json!({"interval": "0s", "timeout": "0s"})), ["interval", "timeout"]);
        assert_eq!(refused(&json!({"writable": true, "in_recovery": true})), ["in_recovery"]);
    }
}
