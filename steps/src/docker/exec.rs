//! `docker.exec`: runs a program in a container.

use std::collections::BTreeMap;

use engine::container;
use engine::context::StepContext;
use engine::process::{Exit, Program};
use engine::step::{Observation, Step};
use model::catalog::InputProblem;
use model::effect::Effect;
use model::footprint::{Footprint, Part};
use model::step_error::StepError;
use schemars::JsonSchema;
use serde::Deserialize;

use crate::command::started::{
    self, Conduct, Output, success, unknown_effect, variable_problem, with_output,
};

/// How `docker` begins when it did not start the program.
/// <https://docs.docker.com/reference/cli/docker/container/exec/>
const NOT_STARTED: [&str; 6] = [
    "Error response from daemon: No such container",
    "Error response from daemon: container ",
    "Error response from daemon: Container ",
    "Error: No such container",
    "OCI runtime exec failed",
    "Cannot connect to the Docker daemon",
];

/// How `docker` begins when something happened to it on the way.
const LOST: [&str; 4] = [
    "Error response from daemon",
    "error during connect",
    "error waiting for exec",
    "unexpected EOF",
];

/// Runs a program in a container that runs.
///
/// ## What it does
/// It starts `argv` in the container by `docker exec`, without a shell and without a terminal; a
/// pipe or a redirection needs a shell of the container's: `[sh, -c, ...]`. The container is asked
/// first whether it runs. The values of `env` travel in the environment of `docker`, never in its
/// arguments. The output goes to the step's log, secrets blacked out; the first 64 KiB of standard
/// output are an output of the step.
///
/// The engine is the one that `docker` itself would use: `DOCKER_HOST`, `DOCKER_CONTEXT` and
/// `DOCKER_CONFIG` are handed on.
///
/// ## When to use it
/// For a program that only the container has: a framework's maintenance mode, a cache to be
/// emptied. To stop and start a container use `command.run` with `docker stop`; a database in a
/// container is a connection with `docker:`.
///
/// ## What it changes
/// Whatever the program changes; nobody but its author knows. Say `effect` when it is less than
/// irreversible.
///
/// ## How it can fail
/// It fails when the exit status is not one of `exit_codes`. A container that is missing or does
/// not run is found before anything starts. When `docker` loses the engine, or the program is
/// killed, nobody knows what it had done, and a program that was cut off may still run in the
/// container: the step is in doubt and a person decides. `idempotent: true` says that a second run
/// does no harm; `observe` names a program of the same container that looks whether it happened
/// (exit status 0: done, 1: not done, else unknown).
///
/// ## Example
/// ```yaml
/// - id: maintenance_on
///   uses: docker.exec
///   with:
///     container: lms-app
///     user: www-data
///     argv: [php, artisan, down, --retry=60]
///     effect: reversible
///     idempotent: true
/// ```
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Input {
    /// The container's name or id.
    container: String,
    /// The program and its arguments, each handed over as it is.
    argv: Vec<String>,
    /// Who runs it: a name or number, with a group after a colon; without it the image's user.
    user: Option<String>,
    /// The folder in the container that it starts in; without it the image's.
    workdir: Option<String>,
    /// Variables added to the program's environment; secrets are allowed here and nowhere else.
    #[serde(default)]
    #[schemars(extend("x-secrets-allowed" = true))]
    env: BTreeMap<String, String>,
    /// Exit statuses that are a success.
    #[serde(default = "success")]
    exit_codes: Vec<i32>,
    /// How far the command reaches, as its author knows it.
    #[serde(default = "unknown_effect")]
    effect: Effect,
    /// A second run leaves the same state as the first, so the step may be retried.
    #[serde(default)]
    idempotent: bool,
    /// A read-only program of the container that tells whether the command happened: exit status
    /// 0 is done, 1 is not done, anything else is unknown.
    observe: Option<Vec<String>>,
    /// The parts it plays in a recovery, as its author vouches: `fence`, `promote`,
    /// `prove_writable`, `move_traffic`, `verify`. The plan is judged by them: what promotes runs
    /// after what fences, what moves traffic after what proved the new server writable.
    #[serde(default)]
    plays: Vec<Part>,
}

/// The step kind.
pub struct Exec;

impl Input {
    fn conduct(&self) -> Conduct<'_> {
        Conduct {
            effect: self.effect,
            idempotent: self.idempotent,
            observe: self.observe.as_deref(),
            exit_codes: &self.exit_codes,
            plays: &self.plays,
        }
    }

    fn program(&self, argv: &[String]) -> Program {
        let mut program = Program::new("docker").arg("exec");
        for (name, value) in &self.env {
            program = program.arg(format!("--env={name}")).env(name, value);
        }
        if let Some(user) = &self.user {
            program = program.arg(format!("--user={user}"));
        }
        if let Some(folder) = &self.workdir {
            program = program.arg(format!("--workdir={folder}"));
        }
        program.arg(&self.container).args(argv)
    }

    /// What errors call the program.
    fn name(&self) -> String {
        format!("{} in {}", self.argv[0], self.container)
    }

    /// The error of a `docker` that failed itself, or whose program was killed.
    fn of_docker(&self, exit: &Exit) -> Option<StepError> {
        let code = exit.status.code().filter(|code| !self.exit_codes.contains(code))?;
        match said(&exit.stderr) {
            Some(Said::NotStarted) => {
                let message = format!("`{}` was not started", self.name());
                Some(with_output(StepError::needs_operator("RB0761", message), exit))
            }
            Some(Said::Lost) => {
                let message = format!("the end of `{}` is unknown", self.name());
                let class = self.conduct().class(None);
                Some(with_output(StepError::new(class, "RB0762", message), exit))
            }
            // As a shell tells of a signal: 128 and its number.
            None if (129..=192).contains(&code) => {
                Some(self.conduct().killed(exit, &self.name(), code - 128))
            }
            None => None,
        }
    }
}

/// What `docker` says of itself.
#[derive(Debug, PartialEq, Eq)]
enum Said {
    NotStarted,
    Lost,
}

fn said(stderr: &str) -> Option<Said> {
    let begins = |with: &[&str]| {
        stderr.lines().any(|line| with.iter().any(|beginning| line.starts_with(beginning)))
    };
    match () {
        () if begins(&NOT_STARTED) => Some(Said::NotStarted),
        () if begins(&LOST) => Some(Said::Lost),
        () => None,
    }
}

fn is_container(name: &str) -> bool {
    let allowed = |c: char| c.is_ascii_alphanumeric() || "_.-".contains(c);
    name.starts_with(|c: char| c.is_ascii_alphanumeric()) && name.chars().all(allowed)
}

fn own_problems(input: &Input) -> Vec<InputProblem> {
    let mut problems = Vec::new();
    if !is_container(&input.container) {
        let message = format!("`{}` is not the name of a container", input.container);
        problems.push(InputProblem::at("container", message).help("`docker ps` lists them"));
    }
    if input.workdir.as_ref().is_some_and(|folder| !folder.starts_with('/')) {
        problems.push(InputProblem::at("workdir", "it is not an absolute path"));
    }
    let of_docker =
        |name: &&String| ["PATH", "HOME"].contains(&name.as_str()) || name.starts_with("DOCKER_");
    problems.extend(input.env.keys().filter(of_docker).map(|name| {
        let help = format!("begin `argv` with it: [env, {name}=..., program]");
        variable_problem(name, format!("`{name}` is read by `docker` itself"), help)
    }));
    problems
}

impl Step for Exec {
    const KIND: &'static str = "docker.exec";
    const SUMMARY: &'static str = "runs a program in a container";
    type Input = Input;
    type Output = Output;

    fn validate(input: &Input) -> Result<(), Vec<InputProblem>> {
        let mut problems = own_problems(input);
        problems.extend(started::problems(Some(&input.argv), input.conduct(), &input.env));
        if problems.is_empty() { Ok(()) } else { Err(problems) }
    }

    fn footprint(input: &Input) -> Footprint {
        let shown = format!("`{}` in container `{}`", input.argv.join(" "), input.container);
        input.conduct().footprint(&shown).tool("docker")
    }

    fn example() -> Output {
        started::example()
    }

    async fn observe(input: &Input, ctx: &StepContext) -> Result<Observation<Output>, StepError> {
        let look = async |argv: &[String]| {
            container::check_runs(&input.container).await?;
            let exit = input.program(argv).start(ctx).await?.wait().await?;
            if said(&exit.stderr).is_some() && !exit.status.success() {
                // Its exit status is that of `docker`, which says nothing about the command.
                let message = format!("`{}` did not look in `{}`", argv[0], input.container);
                return Err(with_output(StepError::transient("RB0762", message), &exit));
            }
            Ok(exit)
        };
        input.conduct().look(ctx, look).await
    }

    async fn run(input: &Input, ctx: &StepContext) -> Result<Output, StepError> {
        container::check_runs(&input.container).await?;
        let (conduct, name) = (input.conduct(), input.name());
        let ended = conduct.run(input.program(&input.argv), &name, ctx).await?;
        match input.of_docker(&ended.exit) {
            Some(error) => Err(error),
            None => conduct.judge(ended, &name),
        }
    }
}
