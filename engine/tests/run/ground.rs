//! A step kind that does as it is told and leaves its effect in a folder, and plans of it.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use engine::context::{HostFuture, StepContext};
use engine::driver::{Approver, CancelWish, RunOutcome};
use engine::error::EngineError;
use engine::modes::{self, Start, Surroundings};
use engine::orphans::Orphans;
use engine::preflight::{Probes, ServerFacts, StoreFacts};
use engine::registry::{DynStep, Registry, Typed};
use engine::secrets::SecretProvider;
use engine::settings::{ConnectionSettings, StoreSettings};
use engine::state_folder::StateFolder;
use engine::step::{Observation, Step};
use model::approval::{Answer, Decision};
use model::effect::{Effect, Repeat};
use model::footprint::Footprint;
use model::ids::{RunId, StepId};
use model::journal::Record;
use model::plan::{ManagedSecret, Occasion, Parameter, Plan, PlanStep, Role};
use model::run::event::Event;
use model::run::stage::Reopening;
use model::run::state::RunStatus;
use model::secret::SecretText;
use model::step_error::StepError;
use model::units::Span;
use schemars::JsonSchema;
use secrecy::SecretString;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use tokio::sync::mpsc;

/// What an attempt is told to do.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Input {
    /// Where effects are left: one line in a file named as the step.
    folder: String,
    /// One word an attempt: the last one counts for all that follow.
    script: Vec<String>,
    /// `observe` cannot tell.
    #[serde(default)]
    blind: bool,
    /// Written to log, fact, output or error.
    #[serde(default)]
    text: Option<SecretText>,
}

/// What an attempt returns.
#[derive(Serialize, Deserialize, JsonSchema)]
pub(crate) struct Output {
    /// The attempt that had the effect.
    attempt: u32,
    /// The text of the input.
    text: String,
}

pub(crate) struct Act;

fn effect(input: &Input, ctx: &StepContext) {
    use std::io::Write;
    let path = Path::new(&input.folder).join(ctx.id().step.as_str());
    let mut file = std::fs::OpenOptions::new().create(true).append(true).open(path).unwrap();
    writeln!(file, "{}", ctx.id().attempt).unwrap();
}

fn millis(word: &str) -> Duration {
    Duration::from_millis(word.parse().unwrap())
}

impl Step for Act {
    const KIND: &'static str = "test.act";
    const SUMMARY: &'static str = "does as it is told";
    type Input = Input;
    type Output = Output;

    fn footprint(_input: &Input) -> Footprint {
        Footprint::new(Effect::Reversible, Repeat::Observable)
    }

    fn example() -> Output {
        Output { attempt: 1, text: String::new() }
    }

    async fn observe(input: &Input, ctx: &StepContext) -> Result<Observation<Output>, StepError> {
        if input.blind {
            return Ok(Observation::Unknown);
        }
        let done = Path::new(&input.folder).join(ctx.id().step.as_str()).exists();
        let output = Output { attempt: ctx.id().attempt, text: "seen".to_owned() };
        Ok(if done { Observation::Done(output) } else { Observation::NotDone })
    }

    async fn run(input: &Input, ctx: &StepContext) -> Result<Output, StepError> {
        let attempt = ctx.id().attempt;
        let text = input.text.as_ref().map(|text| text.expose().to_owned()).unwrap_or_default();
        ctx.log(format!("attempt {attempt} {text}"));
        ctx.record("attempt", json!({"attempt": attempt, "text": text})).await?;
        let index = (attempt as usize - 1).min(input.script.len() - 1);
        let (word, rest) =
            input.script[index].split_once(' ').unwrap_or((&input.script[index], ""));
        match word {
            "ok" => effect(input, ctx),
            "sleep" => {
                ctx.sleep(millis(rest)).await?;
                effect(input, ctx);
            }
            "stubborn" => {
                for _ in 0..millis(rest).as_millis() / 10 {
                    ctx.progress(engine::context::Progress::default());
                    let never = tokio_util::sync::CancellationToken::new();
                    tokio::time::timeout(Duration::from_millis(10), never.cancelled()).await.ok();
                }
                effect(input, ctx);
            }
            "apply_then_hang" => {
                effect(input, ctx);
                ctx.sleep(Duration::from_mins(10)).await?;
            }
            "transient" => return Err(StepError::transient("RB0590", format!("no answer {text}"))),
            "permanent" => return Err(StepError::permanent("RB0591", format!("refused {text}"))),
            "operator" => return Err(StepError::needs_operator("RB0592", "no key")),
            "ambiguous" => return Err(StepError::ambiguous("RB0593", "connection lost")),
            "applied_ambiguous" => {
                effect(input, ctx);
                return Err(StepError::ambiguous("RB0593", "connection lost"));
            }
            "panic" => panic!("a bug near {text}"),
            other => panic!("no such word: {other}"),
        }
        Ok(Output { attempt, text })
    }
}

static KINDS: &[&dyn DynStep] = &[&Typed::<Act>::new()];

pub(crate) const REGISTRY: Registry = Registry(KINDS);

/// Whoever keeps secrets elsewhere: each is its own name, and where it was asked for.
pub(crate) struct Kept;

impl SecretProvider for Kept {
    fn parameter<'a>(
        &'a self,
        asked: &'a Parameter,
    ) -> HostFuture<'a, Result<SecretString, StepError>> {
        let kept = match asked.name.as_str() {
            "/absent" => Err(StepError::permanent("RB0665", "ParameterNotFound")),
            "/empty" => Ok(SecretString::default()),
            name => {
                Ok(format!("{name}@{}", asked.place.region.as_deref().unwrap_or("nowhere")).into())
            }
        };
        Box::pin(std::future::ready(kept))
    }

    fn managed<'a>(
        &'a self,
        asked: &'a ManagedSecret,
    ) -> HostFuture<'a, Result<SecretString, StepError>> {
        let throttled = StepError::transient("RB0667", format!("Throttling: {}", asked.id));
        Box::pin(std::future::ready(Err(throttled)))
    }
}

/// Servers and stores that are always there.
pub(crate) struct AllThere;

impl Probes for AllThere {
    fn connection<'a>(
        &'a self,
        _settings: &'a ConnectionSettings,
    ) -> HostFuture<'a, Result<ServerFacts, StepError>> {
        Box::pin(std::future::ready(Ok(ServerFacts { version_num: 150_004 })))
    }

    fn store<'a>(
        &'a self,
        _settings: &'a StoreSettings,
    ) -> HostFuture<'a, Result<StoreFacts, StepError>> {
        Box::pin(std::future::ready(Ok(StoreFacts { free_bytes: Some(1 << 40) })))
    }
}

/// A place for runs and effects, gone with the test.
pub(crate) struct Ground {
    pub(crate) root: tempfile::TempDir,
    pub(crate) state: StateFolder,
}

pub(crate) fn id(text: &str) -> StepId {
    text.parse().unwrap()
}

pub(crate) fn span(text: &str) -> Span {
    text.parse().unwrap()
}

impl Ground {
    pub(crate) fn new() -> Self {
        let root = tempfile::tempdir().unwrap();
        std::fs::create_dir(root.path().join("effects")).unwrap();
        let state = StateFolder::at(root.path().join("state"));
        Self { root, state }
    }

    pub(crate) fn effects(&self) -> PathBuf {
        self.root.path().join("effects")
    }

    /// How often the step had its effect.
    pub(crate) fn count(&self, step: &str) -> usize {
        let text = std::fs::read_to_string(self.effects().join(step)).unwrap_or_default();
        text.lines().count()
    }

    /// A reversible step that does `script`, needs `needs`, and is not retried.
    pub(crate) fn step(&self, name: &str, needs: &[&str], script: &[&str]) -> PlanStep {
        let with = json!({"folder": self.effects(), "script": script});
        PlanStep {
            with,
            needs: needs.iter().map(|need| id(need)).collect(),
            ..PlanStep::new(
                id(name),
                "test.act",
                Footprint::new(Effect::Reversible, Repeat::Observable),
            )
        }
    }

    pub(crate) fn surroundings(&self) -> Surroundings<'_> {
        Surroundings {
            registry: REGISTRY,
            state: &self.state,
            probes: Arc::new(AllThere),
            provider: Arc::new(Kept),
            approver: None,
            observers: Vec::new(),
            cancels: None,
            orphans: Orphans::Wait,
        }
    }

    /// A step of that role.
    pub(crate) fn role(&self, role: Role, name: &str, script: &[&str]) -> PlanStep {
        PlanStep { role, ..self.step(name, &[], script) }
    }

    pub(crate) fn undo(&self, of: &str, script: &[&str]) -> PlanStep {
        self.role(Role::Undo(id(of)), &format!("{of}.undo"), script)
    }

    pub(crate) fn handler(&self, on: Occasion, name: &str, script: &[&str]) -> PlanStep {
        self.role(Role::Handler(on), name, script)
    }

    pub(crate) async fn reopen(
        &self,
        run: RunId,
        what: Reopening,
    ) -> Result<RunOutcome, EngineError> {
        modes::reopen(run, "bob".to_owned(), what, self.surroundings()).await
    }

    pub(crate) async fn run(&self, plan: Plan) -> Result<RunOutcome, EngineError> {
        modes::run(plan, start(), self.surroundings()).await
    }

    pub(crate) async fn run_with(
        &self,
        plan: Plan,
        approver: Option<Arc<dyn Approver>>,
        cancels: Option<mpsc::UnboundedReceiver<CancelWish>>,
    ) -> Result<RunOutcome, EngineError> {
        let with = Surroundings { approver, cancels, ..self.surroundings() };
        modes::run(plan, start(), with).await
    }

    pub(crate) async fn resume(&self, run: RunId) -> Result<RunOutcome, EngineError> {
        modes::resume(run, "bob".to_owned(), self.surroundings()).await
    }

    pub(crate) fn events(&self, run: RunId) -> Vec<Event> {
        self.records(run).into_iter().map(|record| record.event).collect()
    }

    pub(crate) fn records(&self, run: RunId) -> Vec<Record> {
        self.state.events(run).unwrap()
    }

    /// The journal's event names, in order.
    pub(crate) fn names(&self, run: RunId) -> Vec<String> {
        self.events(run).iter().map(name).collect()
    }
}

/// An event as `type step`.
pub(crate) fn name(event: &Event) -> String {
    let value = serde_json::to_value(event).unwrap();
    let kind = value["type"].as_str().unwrap().to_owned();
    event.step().map_or(kind.clone(), |step| format!("{kind} {step}"))
}

pub(crate) fn start() -> Start {
    let (starter, tool) = ("ann".to_owned(), "0.1.0".to_owned());
    Start { starter, incident_at: None, unattended: false, drill: false, approvers: None, tool }
}

pub(crate) fn plan(steps: Vec<PlanStep>) -> Plan {
    Plan::new("test", steps)
}

pub(crate) fn with(step: PlanStep, key: &str, value: Value) -> PlanStep {
    let mut step = step;
    step.with[key] = value;
    step
}

/// All that is said of an error, as the command line says it.
pub(crate) fn said(error: &EngineError) -> String {
    let hint = error.hint.iter().map(|hint| format!("help: {hint}\n"));
    let hint: String = hint.collect();
    format!("error[{}]: {}\n{hint}", error.code, error.message)
}

pub(crate) fn assert_status(outcome: &Result<RunOutcome, EngineError>, status: RunStatus) -> RunId {
    let outcome = outcome.as_ref().unwrap();
    assert_eq!(outcome.status, status);
    outcome.run
}

/// A person's word, proved by no key.
pub(crate) fn answer(by: &str, decision: Decision) -> Answer {
    Answer::claimed(decision, by)
}
