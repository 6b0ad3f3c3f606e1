//! `command.run`: runs a program, or a short script.

use std::collections::BTreeMap;
use std::path::Path;

use engine::context::StepContext;
use engine::process::Program;
use engine::step::{Observation, Step};
use model::catalog::InputProblem;
use model::effect::Effect;
use model::footprint::{Footprint, Part};
use model::step_error::StepError;
use schemars::JsonSchema;
use serde::Deserialize;

use super::started::{self, Conduct, Output, success, unknown_effect};

/// Runs a program, or a short script.
///
/// ## What it does
/// It starts `argv` without a shell, in an environment cleared to `PATH`, `HOME`, the locale and
/// what `env` adds, in a process group of its own. The output goes to the step's log, secrets
/// blacked out; the first 64 KiB of standard output are an output of the step.
///
/// `script` is for a few lines of shell. It runs as `bash -euo pipefail -c`, so that the failure
/// of any command, also inside a pipe, is a failure of the step. A script is never filled in: it
/// may hold no `{{ }}`, and values reach it through `env`.
///
/// ## When to use it
/// For what no other step kind does: stopping an application, a vendor's command line. Prefer a
/// typed step where there is one, because it knows when it is done.
///
/// ## What it changes
/// Whatever the program changes; nobody but its author knows. Say `effect` when it is less than
/// irreversible.
///
/// ## How it can fail
/// It fails when the exit status is not one of `exit_codes`. When the program was killed or the
/// run was cut off, nobody knows what it had done: the step is in doubt and a person decides. Two
/// keys change that: `idempotent: true` says that a second run does no harm, and failures are
/// then retried; `observe` names a program that looks whether it happened (exit status 0: done,
/// 1: not done, else unknown).
///
/// ## Example
/// ```yaml
/// - id: stop_application
///   uses: command.run
///   with:
///     argv: [systemctl, stop, lms]
///     effect: reversible
///     idempotent: true
/// ```
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Input {
    /// The program and its arguments, each handed over as it is. Either this or `script`.
    argv: Option<Vec<String>>,
    /// Lines of bash without `{{ }}`. Either this or `argv`.
    #[schemars(extend("x-no-templates" = true))]
    script: Option<String>,
    /// Variables added to the environment; secrets are allowed here and nowhere else.
    #[serde(default)]
    #[schemars(extend("x-secrets-allowed" = true))]
    env: BTreeMap<String, String>,
    /// The folder it starts in; without it, the folder that `runbook` was started in.
    folder: Option<String>,
    /// Exit statuses that are a success.
    #[serde(default = "success")]
    exit_codes: Vec<i32>,
    /// How far the command reaches, as its author knows it.
    #[serde(default = "unknown_effect")]
    effect: Effect,
    /// A second run leaves the same state as the first, so the step may be retried.
    #[serde(default)]
    idempotent: bool,
    /// A read-only program that tells whether the command happened: exit status 0 is done, 1 is
    /// not done, anything else is unknown.
    observe: Option<Vec<String>>,
    /// The parts it plays in a recovery, as its author vouches: `fence`, `promote`,
    /// `prove_writable`, `move_traffic`, `verify`. The plan is judged by them: what promotes runs
    /// after what fences, what moves traffic after what proved the new server writable.
    #[serde(default)]
    plays: Vec<Part>,
}

/// The step kind.
pub struct Run;

fn program(argv: &[String]) -> Program {
    let (first, rest) = argv.split_first().expect("validate refuses an empty argv");
    Program::new(first).args(rest)
}

impl Input {
    /// The argument vector that is started.
    fn started(&self) -> Vec<String> {
        match (&self.argv, &self.script) {
            (Some(argv), _) => argv.clone(),
            (None, script) => {
                let script = script.clone().unwrap_or_default();
                ["bash", "-euo", "pipefail", "-c", &script].map(str::to_owned).to_vec()
            }
        }
    }

    fn conduct(&self) -> Conduct<'_> {
        Conduct {
            effect: self.effect,
            idempotent: self.idempotent,
            observe: self.observe.as_deref(),
            exit_codes: &self.exit_codes,
            plays: &self.plays,
        }
    }

    fn in_place(&self, mut program: Program) -> Program {
        for (name, value) in &self.env {
            program = program.env(name, value);
        }
        match &self.folder {
            Some(folder) => program.folder(Path::new(folder)),
            None => program,
        }
    }
}

fn command_problem(input: &Input) -> Option<InputProblem> {
    match (&input.argv, &input.script) {
        (None, None) => Some(InputProblem::at("argv", "neither `argv` nor `script` is given")),
        (Some(_), Some(_)) => Some(InputProblem::at("script", "`argv` is given as well")),
        (None, Some(script)) if script.contains("{{") => Some(
            InputProblem::at("script", "a script is not filled in, and holds `{{`")
                .help("hand the value over in `env`"),
        ),
        _ => None,
    }
}

impl Step for Run {
    const KIND: &'static str = "command.run";
    const SUMMARY: &'static str = "runs a program, or a short script";
    type Input = Input;
    type Output = Output;

    fn validate(input: &Input) -> Result<(), Vec<InputProblem>> {
        let mut problems: Vec<_> = command_problem(input).into_iter().collect();
        problems.extend(started::problems(input.argv.as_ref(), input.conduct(), &input.env));
        if problems.is_empty() { Ok(()) } else { Err(problems) }
    }

    fn footprint(input: &Input) -> Footprint {
        let started = input.started();
        let shown = match &input.script {
            Some(_) => "the script".to_owned(),
            None => format!("`{}`", started.join(" ")),
        };
        let footprint = input.conduct().footprint(&shown).tool(&started[0]);
        match &input.observe {
            Some(observe) => footprint.tool(&observe[0]),
            None => footprint,
        }
    }

    fn example() -> Output {
        started::example()
    }

    async fn observe(input: &Input, ctx: &StepContext) -> Result<Observation<Output>, StepError> {
        let look =
            async |argv: &[String]| input.in_place(program(argv)).start(ctx).await?.wait().await;
        input.conduct().look(ctx, look).await
    }

    async fn run(input: &Input, ctx: &StepContext) -> Result<Output, StepError> {
        let (started, conduct) = (input.started(), input.conduct());
        let program = input.in_place(program(&started));
        let ended = conduct.run(program, &started[0], ctx).await?;
        conduct.judge(ended, &started[0])
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use model::effect::Repeat;
    use model::step_error::ErrorClass;
    use serde_json::{Value, json};

    use super::*;
    use crate::command::started::AGAIN;
    use crate::testing;

    fn input(json: Value) -> Input {
        serde_json::from_value(json).unwrap()
    }

    async fn run(json: Value) -> Result<Output, StepError> {
        Run::run(&input(json), &testing::context()).await
    }

    #[tokio::test]
    async fn the_output_is_kept_and_logged() {
        let host = testing::host();
        let ctx = testing::context_of(&host, 1);
        let argv = json!({"argv": ["printf", "a b\\n"]});
        let output = Run::run(&input(argv), &ctx).await.unwrap();
        let expected = Output { exit_code: Some(0), stdout: "a b".to_owned(), truncated: false };
        assert_eq!(output, expected);
        assert_eq!(host.logged(), "a b\n");
        assert_eq!(ctx.facts().len(), 1);
    }

    #[tokio::test]
    async fn the_log_of_a_repeated_attempt_says_that_the_one_before_may_have_run() {
        let idempotent = json!({"argv": ["true"], "idempotent": true});
        for (json, attempt, logged) in [
            (idempotent.clone(), 1, String::new()),
            (idempotent, 2, format!("{AGAIN}\n")),
            (json!({"argv": ["true"]}), 2, String::new()),
        ] {
            let host = testing::host();
            Run::run(&input(json), &testing::context_of(&host, attempt)).await.unwrap();
            assert_eq!(host.logged(), logged);
        }
    }

    #[tokio::test]
    async fn output_beyond_the_limit_is_cut_and_said_to_be() {
        let output = run(json!({"script": "yes | head -c 200000"})).await;
        // `yes` ends with SIGPIPE, which pipefail reports.
        assert_eq!(output.unwrap_err().code, "RB0720");
        let output = run(json!({"argv": ["head", "-c", "70000", "/dev/zero"]})).await.unwrap();
        assert_eq!((output.stdout.len(), output.truncated), (64 * 1024, true));
    }

    #[tokio::test]
    async fn arguments_are_not_a_shell_line() {
        let output = run(json!({"argv": ["echo", "$HOME; ls *"]})).await.unwrap();
        assert_eq!(output.stdout, "$HOME; ls *");
    }

    #[tokio::test]
    async fn a_script_gets_its_values_from_the_environment_alone() {
        let script = json!({"script": "echo \"$GREETING\"; env | grep -c CARGO || true",
                            "env": {"GREETING": "hello"}});
        assert_eq!(run(script).await.unwrap().stdout, "hello\n0");
    }

    #[tokio::test]
    async fn a_failure_inside_a_pipe_or_before_the_end_fails_the_script() {
        for script in ["false | cat", "false; true", "echo $undefined_name"] {
            let error = run(json!({"script": script})).await.unwrap_err();
            assert_eq!((error.code.as_str(), error.class), ("RB0720", ErrorClass::Permanent));
        }
    }

    #[tokio::test]
    async fn other_exit_statuses_may_be_a_success() {
        let output = run(json!({"argv": ["sh", "-c", "exit 3"], "exit_codes": [0, 3]})).await;
        assert_eq!(output.unwrap().exit_code, Some(3));
    }

    #[tokio::test]
    async fn the_class_of_a_failure_follows_from_what_a_second_run_would_do() {
        let classes = [
            (json!({}), "exit 2", ErrorClass::Permanent),
            (json!({"idempotent": true}), "exit 2", ErrorClass::Transient),
            (json!({"effect": "read"}), "exit 2", ErrorClass::Transient),
            (json!({"observe": ["true"]}), "exit 2", ErrorClass::Ambiguous),
            (json!({}), "kill -9 $$", ErrorClass::Ambiguous),
            (json!({"idempotent": true}), "kill -9 $$", ErrorClass::Transient),
            (json!({"observe": ["true"]}), "kill -9 $$", ErrorClass::Ambiguous),
        ];
        for (mut keys, script, class) in classes {
            keys["argv"] = json!(["sh", "-c", script]);
            let error = run(keys.clone()).await.unwrap_err();
            assert_eq!(error.class, class, "{keys}");
        }
    }

    #[tokio::test]
    async fn the_last_line_of_standard_error_is_the_cause() {
        let script = "echo first >&2; echo second >&2; exit 4";
        let error = run(json!({"argv": ["sh", "-c", script]})).await.unwrap_err();
        assert_eq!(error.message, "`sh` ended with exit status 4");
        assert_eq!(error.causes, ["second"]);
    }

    #[tokio::test]
    async fn a_program_that_is_not_there_was_certainly_not_run() {
        let error = run(json!({"argv": ["runbook-no-such-program"]})).await.unwrap_err();
        assert_eq!((error.code.as_str(), error.class), ("RB0410", ErrorClass::Permanent));
    }

    #[tokio::test]
    async fn an_opaque_command_that_is_cut_off_is_in_doubt() {
        for (keys, class) in [
            (json!({}), ErrorClass::Ambiguous),
            (json!({"observe": ["true"]}), ErrorClass::Ambiguous),
            (json!({"idempotent": true}), ErrorClass::Cancelled),
        ] {
            let mut keys = keys;
            keys["argv"] = json!(["sleep", "60"]);
            let (ctx, input) = (testing::context(), input(keys));
            let stop = ctx.cancel().clone();
            let cut = async {
                tokio::time::timeout(Duration::from_millis(200), std::future::pending::<()>())
                    .await
                    .unwrap_err();
                stop.cancel();
            };
            let (result, ()) = tokio::join!(Run::run(&input, &ctx), cut);
            assert_eq!(result.unwrap_err().class, class);
        }
    }

    #[tokio::test]
    async fn the_observing_program_tells_by_its_exit_status() {
        let seen = async |script: &str| {
            let observed = json!({"argv": ["true"], "observe": ["sh", "-c", script]});
            Run::observe(&input(observed), &testing::context()).await.unwrap()
        };
        assert!(matches!(seen("exit 0").await, Observation::Done(_)));
        assert_eq!(seen("exit 1").await, Observation::NotDone);
        assert_eq!(seen("exit 2").await, Observation::Unknown);
        assert_eq!(seen("kill -9 $$").await, Observation::Unknown);
    }

    #[tokio::test]
    async fn without_an_observing_program_only_the_harmless_is_known() {
        let seen = async |json: Value| Run::observe(&input(json), &testing::context()).await;
        let opaque = json!({"argv": ["true"]});
        assert_eq!(seen(opaque).await, Ok(Observation::Unknown));
        let harmless = json!({"argv": ["true"], "idempotent": true});
        assert_eq!(seen(harmless).await, Ok(Observation::NotDone));
    }

    #[tokio::test]
    async fn a_child_that_still_runs_is_seen() {
        let ctx = testing::context();
        let child = Program::new("sleep").arg("60").start(&ctx).await.unwrap();
        let opaque = input(json!({"argv": ["true"], "idempotent": true}));
        assert_eq!(Run::observe(&opaque, &ctx).await, Ok(Observation::InProgress));
        ctx.cancel().cancel();
        child.wait().await.unwrap_err();
        assert_eq!(Run::observe(&opaque, &ctx).await, Ok(Observation::NotDone));
    }

    #[test]
    fn what_cannot_be_run_is_refused_with_its_key() {
        let refused = |json: Value| {
            let problems = Run::validate(&input(json)).unwrap_err();
            problems.into_iter().map(|problem| problem.path.join(".")).collect::<Vec<_>>()
        };
        assert_eq!(refused(json!({})), ["argv"]);
        assert_eq!(refused(json!({"argv": []})), ["argv"]);
        assert_eq!(refused(json!({"argv": ["a"], "script": "b"})), ["script"]);
        assert_eq!(refused(json!({"script": "echo {{ params.x }}"})), ["script"]);
        assert_eq!(refused(json!({"argv": ["a"], "observe": [""]})), ["observe"]);
        assert_eq!(refused(json!({"argv": ["a"], "env": {"A=B": "c"}})), ["env.A=B"]);
        assert_eq!(refused(json!({"argv": ["a"], "exit_codes": []})), ["exit_codes"]);
    }

    #[test]
    fn the_footprint_shows_what_is_started() {
        let footprint = Run::footprint(&input(json!({"argv": ["systemctl", "stop", "lms"]})));
        assert_eq!(footprint.writes, ["what `systemctl stop lms` changes"]);
        assert_eq!(footprint.tools[0].name, "systemctl");
        assert_eq!((footprint.effect, footprint.repeat), (Effect::Irreversible, Repeat::Opaque));
    }
}
