//! Programs of the author's own: how they are started, watched and judged. What they do is known
//! to their author alone.

use std::collections::BTreeMap;
use std::os::unix::process::ExitStatusExt;

use engine::context::StepContext;
use engine::process::{Child, ChildRecord, Exit, Program};
use engine::step::Observation;
use model::catalog::InputProblem;
use model::effect::{Effect, Repeat};
use model::footprint::{Footprint, Part};
use model::step_error::{ErrorClass, StepError};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tokio::io::{AsyncRead, AsyncReadExt};

/// Standard output beyond this many bytes goes to the step's log only.
const CAPTURED: usize = 64 * 1024;

/// In the log of every attempt but the first of an idempotent step.
pub(crate) const AGAIN: &str = "an earlier attempt was started and may have run in part or to its \
                                end; the step is idempotent and is repeated";

/// How the program ended.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Output {
    /// Its exit status; absent when `observe` found that it had happened.
    pub(crate) exit_code: Option<i32>,
    /// The first 64 KiB of its standard output, without the last line end.
    pub(crate) stdout: String,
    /// There was more standard output; the step's log has it.
    pub(crate) truncated: bool,
}

/// What the author said about the command.
#[derive(Clone, Copy)]
pub(crate) struct Conduct<'a> {
    pub(crate) effect: Effect,
    pub(crate) idempotent: bool,
    pub(crate) observe: Option<&'a [String]>,
    pub(crate) exit_codes: &'a [i32],
    pub(crate) plays: &'a [Part],
}

pub(crate) fn success() -> Vec<i32> {
    vec![0]
}

pub(crate) fn unknown_effect() -> Effect {
    Effect::Irreversible
}

pub(crate) fn example() -> Output {
    Output { exit_code: Some(0), stdout: "done".to_owned(), truncated: false }
}

impl Conduct<'_> {
    pub(crate) fn repeat(&self) -> Repeat {
        if self.idempotent || self.effect == Effect::Read {
            Repeat::Idempotent
        } else if self.observe.is_some() {
            Repeat::Observable
        } else {
            Repeat::Opaque
        }
    }

    /// The class of a failure after the start. What does no harm twice may simply be tried again;
    /// for the rest `when_known` says what a clean exit with a wrong status means.
    pub(crate) fn class(&self, when_known: Option<ErrorClass>) -> ErrorClass {
        match (self.repeat(), when_known) {
            (Repeat::Idempotent, _) => ErrorClass::Transient,
            (Repeat::Observable, _) | (_, None) => ErrorClass::Ambiguous,
            (_, Some(class)) => class,
        }
    }

    /// The footprint of a command that is `shown` so, and of the look at what it did.
    pub(crate) fn footprint(&self, shown: &str) -> Footprint {
        let mut footprint = Footprint::new(self.effect, self.repeat());
        if let Some(observe) = self.observe {
            footprint = footprint.reads(format!("what `{}` reads", observe.join(" ")));
        }
        footprint.parts = self.plays.to_vec();
        match self.effect {
            Effect::Read => footprint.reads(format!("what {shown} reads")),
            _ => footprint.writes(format!("what {shown} changes")),
        }
    }

    /// Runs the program to its end. `name` is what errors call it.
    pub(crate) async fn run(
        &self,
        program: Program,
        name: &str,
        ctx: &StepContext,
    ) -> Result<Ended, StepError> {
        if ctx.id().attempt > 1 && self.repeat() == Repeat::Idempotent {
            ctx.log(AGAIN);
        }
        let child = program.with_stdout().start(ctx).await?;
        end(child, ctx).await.map_err(|error| {
            if error.class == ErrorClass::Cancelled && self.repeat() != Repeat::Idempotent {
                let message = format!("`{name}` was stopped before its end");
                return StepError::ambiguous("RB0722", message);
            }
            error
        })
    }

    /// What the program gave, when its exit status is a success.
    pub(crate) fn judge(&self, ended: Ended, name: &str) -> Result<Output, StepError> {
        match ended.exit.status.code() {
            Some(code) if self.exit_codes.contains(&code) => {
                let Ended { stdout, truncated, .. } = ended;
                Ok(Output { exit_code: Some(code), stdout, truncated })
            }
            _ => Err(self.failure(&ended.exit, name)),
        }
    }

    fn failure(&self, exit: &Exit, name: &str) -> StepError {
        match exit.status.code() {
            Some(code) => {
                let message = format!("`{name}` ended with exit status {code}");
                let class = self.class(Some(ErrorClass::Permanent));
                with_output(StepError::new(class, "RB0720", message), exit)
            }
            None => self.killed(exit, name, exit.status.signal().unwrap_or_default()),
        }
    }

    /// The error of a program that a signal ended: nobody knows how far it came.
    pub(crate) fn killed(&self, exit: &Exit, name: &str, signal: i32) -> StepError {
        let message = format!("`{name}` was ended by signal {signal}");
        with_output(StepError::new(self.class(None), "RB0721", message), exit)
    }

    /// Looks what became of an earlier attempt; `observe` makes the program that looks.
    pub(crate) async fn look(
        &self,
        ctx: &StepContext,
        observe: impl AsyncFnOnce(&[String]) -> Result<Exit, StepError>,
    ) -> Result<Observation<Output>, StepError> {
        if still_runs(ctx) {
            return Ok(Observation::InProgress);
        }
        let Some(argv) = self.observe else {
            // Not known to be undone: it does no harm twice, so that it may be repeated.
            let harmless = self.repeat() == Repeat::Idempotent;
            return Ok(if harmless { Observation::NotDone } else { Observation::Unknown });
        };
        Ok(match observe(argv).await?.status.code() {
            Some(0) => Observation::Done(Output {
                exit_code: None,
                stdout: String::new(),
                truncated: false,
            }),
            Some(1) => Observation::NotDone,
            _ => Observation::Unknown,
        })
    }
}

/// Adds the last line of the program's standard error, and where the rest of it is.
pub(crate) fn with_output(mut error: StepError, exit: &Exit) -> StepError {
    error.causes.extend(exit.stderr.lines().last().map(str::to_owned));
    error.hint("the step's log has its output: `runbook logs`")
}

/// A program that came to its end.
pub(crate) struct Ended {
    pub(crate) exit: Exit,
    stdout: String,
    truncated: bool,
}

/// Copies output to the log and keeps its beginning.
async fn capture(mut output: impl AsyncRead + Unpin, ctx: &StepContext) -> (Vec<u8>, bool) {
    let (mut kept, mut truncated, mut buffer) = (Vec::new(), false, vec![0; 16 * 1024]);
    while let Ok(read @ 1..) = output.read(&mut buffer).await {
        ctx.log_bytes(&buffer[..read]);
        let room = (CAPTURED - kept.len()).min(read);
        kept.extend_from_slice(&buffer[..room]);
        truncated |= room < read;
    }
    (kept, truncated)
}

/// Runs a started child to its end.
async fn end(mut child: Child, ctx: &StepContext) -> Result<Ended, StepError> {
    let stdout = child.stdout().expect("standard output was asked for");
    let (exit, (stdout, truncated)) = tokio::join!(child.wait(), capture(stdout, ctx));
    let stdout = String::from_utf8_lossy(&stdout);
    let stdout = stdout.strip_suffix('\n').unwrap_or(&stdout).to_owned();
    Ok(Ended { exit: exit?, stdout, truncated })
}

/// Whether a child of an earlier attempt is still running.
fn still_runs(ctx: &StepContext) -> bool {
    let children = ctx.facts().into_iter().filter(|fact| fact.name == "child");
    children
        .filter_map(|fact| serde_json::from_value::<ChildRecord>(fact.data).ok())
        .any(|child| child.is_alive())
}

fn is_variable(name: &str) -> bool {
    let mut chars = name.chars();
    chars.next().is_some_and(|first| first.is_ascii_alphabetic() || first == '_')
        && chars.all(|c| c.is_ascii_alphanumeric() || c == '_')
}

/// The problem of a variable.
pub(crate) fn variable_problem(
    name: &str,
    message: String,
    help: impl Into<String>,
) -> InputProblem {
    let path = vec!["env".to_owned(), name.to_owned()];
    InputProblem { path, message, help: Some(help.into()) }
}

/// The problems of what every command has.
pub(crate) fn problems(
    argv: Option<&Vec<String>>,
    conduct: Conduct<'_>,
    env: &BTreeMap<String, String>,
) -> Vec<InputProblem> {
    let unnamed = |key: &str, argv: Option<&[String]>| {
        let empty = argv?.first().is_none_or(String::is_empty);
        empty.then(|| InputProblem::at(key, format!("`{key}` names no program")))
    };
    let mut problems: Vec<_> = unnamed("argv", argv.map(Vec::as_slice)).into_iter().collect();
    problems.extend(unnamed("observe", conduct.observe));
    if conduct.exit_codes.is_empty() {
        problems.push(InputProblem::at("exit_codes", "no exit status is a success"));
    }
    let wrong = env.keys().filter(|name| !is_variable(name));
    problems.extend(wrong.map(|name| {
        let message = format!("`{name}` is not the name of a variable");
        variable_problem(name, message, "use letters, digits and `_`")
    }));
    problems
}
