//! What a plan needs, looked for before anything is executed: programs and their versions,
//! secrets, servers, stores. All problems are told together.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use model::footprint::Tool;
use model::plan::{Plan, PlanStep, SAMPLE_RUN, SAMPLE_START};
use model::run::event::RunCreated;
use model::step_error::{ErrorClass, StepError};
use model::template::{Condition, Results, condition};
use serde_json::Value;

use crate::context::HostFuture;
use crate::error::{EngineError, Obstacle};
use crate::redact::Redactor;
use crate::rendering::Renderer;
use crate::scope;
use crate::secrets::SecretReader;
use crate::settings::{ConnectionSettings, StoreSettings};
use crate::{environment, process};

/// A store with less room than this takes no backup.
const LEAST_FREE: u64 = 64 << 20;

/// A program tells its version within this time.
const LIMIT: Duration = Duration::from_secs(10);

/// Looks at servers and stores, read-only; made by the crate that knows them.
pub trait Probes: Send + Sync {
    /// Logs in.
    fn connection<'a>(
        &'a self,
        settings: &'a ConnectionSettings,
    ) -> HostFuture<'a, Result<ServerFacts, StepError>>;
    /// Looks whether the store is there and can be written to.
    fn store<'a>(
        &'a self,
        settings: &'a StoreSettings,
    ) -> HostFuture<'a, Result<StoreFacts, StepError>>;
}

/// What a server says of itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ServerFacts {
    /// `server_version_num`: 150004 is 15.4.
    pub version_num: u32,
}

/// What a store says of itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StoreFacts {
    /// Room for more, when the store has a limit that can be read.
    pub free_bytes: Option<u64>,
}

/// Everything that was found.
struct Findings {
    checks: Vec<String>,
    problems: Vec<EngineError>,
}

/// Looks for everything the plan needs; returns what was looked at, in words.
pub async fn preflight(
    created: &Arc<RunCreated>,
    probes: &dyn Probes,
    reader: &SecretReader,
) -> Result<Vec<String>, EngineError> {
    let mut findings = Findings { checks: Vec::new(), problems: Vec::new() };
    let runs = |step: &&PlanStep| may_run(step, &scope::first(created, step));
    let steps: Vec<&PlanStep> = created.plan.steps.iter().filter(runs).collect();
    findings.secrets(created, &steps, reader).await;
    let servers = findings.connections(&steps, created, probes, reader).await;
    findings.stores(&steps, created, probes, reader).await;
    findings.tools(&created.plan, &steps, &servers).await;
    findings.verdict(reader.redactor())
}

/// What renders a connection or a store, and the name that its part has for it.
fn part_of<'a>(
    name: &'a str,
    created: &Arc<RunCreated>,
    reader: &SecretReader,
) -> (Renderer, &'a str) {
    let (part, name) =
        name.rsplit_once('.').map_or((None, name), |(part, name)| (Some(part), name));
    (Renderer::settled(Arc::clone(created), part, reader.clone()), name)
}

/// The run as it was while its runbook was checked.
fn as_checked(created: &RunCreated) -> Result<RunCreated, StepError> {
    let run = SAMPLE_RUN.parse().expect("the sample is the id of a run");
    let started_at = SAMPLE_START.parse().expect("the sample is a moment");
    let mut checked = RunCreated { run, started_at, ..created.clone() };
    checked.vars = scope::vars(&checked.plan, &scope::run_facts(&checked, None))?;
    Ok(checked)
}

/// What the run itself makes, so that no connection to it can be tried.
struct Made<'a> {
    databases: Vec<&'a String>,
    hosts: Vec<&'a String>,
    connections: Vec<&'a String>,
}

impl<'a> Made<'a> {
    fn by(steps: &[&'a PlanStep]) -> Self {
        let footprints = || steps.iter().map(|step| &step.footprint);
        Self {
            databases: footprints().flat_map(|footprint| &footprint.makes_databases).collect(),
            hosts: footprints().flat_map(|footprint| &footprint.makes_servers).collect(),
            connections: footprints()
                .flat_map(|footprint| &footprint.connections)
                .filter_map(|connection| connection.made.then_some(&connection.name))
                .collect(),
        }
    }

    fn is_empty(&self) -> bool {
        self.databases.is_empty() && self.hosts.is_empty()
    }

    fn has(&self, settings: &ConnectionSettings) -> bool {
        let named = |made: &[&String], name: &Option<String>| {
            made.iter().any(|one| Some(*one) == name.as_ref())
        };
        named(&self.databases, &settings.dbname) || named(&self.hosts, &settings.host)
    }
}

/// Logs in, unless the run itself makes what the connection leads to.
async fn look(
    name: &str,
    made: &Made<'_>,
    created: &Arc<RunCreated>,
    probes: &dyn Probes,
    reader: &SecretReader,
) -> Result<Option<ServerFacts>, StepError> {
    if made.connections.iter().any(|made| *made == name) {
        return Ok(None);
    }
    let (renderer, own_name) = part_of(name, created, reader);
    let settings = renderer.connection(own_name).await?;
    if !made.is_empty() {
        // The plan names what it makes as it was checked: for a run of another id and start.
        let (renderer, own_name) = part_of(name, &Arc::new(as_checked(created)?), reader);
        if made.has(&settings) || made.has(&renderer.connection(own_name).await?) {
            return Ok(None);
        }
    }
    probes.connection(&settings).await.map(Some)
}

/// How the steps so far ended, as a condition may ask.
struct Assumed {
    failed: bool,
}

impl Results for Assumed {
    fn succeeded(&self, _step: Option<&str>) -> bool {
        !self.failed
    }

    fn failed(&self, _step: Option<&str>) -> bool {
        self.failed
    }
}

/// Whether the step's `if` can hold, whatever the steps before it do. What only the run knows
/// may hold.
fn may_run(step: &PlanStep, scope: &Value) -> bool {
    if step.left_out.is_some() {
        return false;
    }
    let Some(text) = &step.condition else { return true };
    // Results of single steps cannot all be assumed: what asks for one may run.
    if Condition::parse(text).is_ok_and(|condition| !condition.asked_steps().is_empty()) {
        return true;
    }
    [false, true]
        .iter()
        .any(|failed| condition(text, scope, &Assumed { failed: *failed }).unwrap_or(true))
}

impl Findings {
    async fn secrets(&mut self, created: &RunCreated, steps: &[&PlanStep], reader: &SecretReader) {
        let names: BTreeSet<&String> = steps.iter().flat_map(|step| &step.secrets).collect();
        for name in names {
            match reader.read(created, name).await {
                Ok(_) => self.checks.push(format!("secret `{name}` can be read")),
                // No run exists yet that could be resumed.
                Err(error) => self.refused("", &error.hint("set it, then run again")),
            }
        }
    }

    async fn connections(
        &mut self,
        steps: &[&PlanStep],
        created: &Arc<RunCreated>,
        probes: &dyn Probes,
        reader: &SecretReader,
    ) -> BTreeMap<String, u32> {
        let uses = steps.iter().flat_map(|step| &step.footprint.connections);
        let names: BTreeSet<&String> = uses.map(|connection| &connection.name).collect();
        let mut servers = BTreeMap::new();
        let made = Made::by(steps);
        let copes = |name: &String| {
            let mut uses = steps.iter().flat_map(|step| &step.footprint.connections);
            uses.all(|connection| connection.name != *name || connection.may_be_away)
        };
        for name in names {
            match look(name, &made, created, probes, reader).await {
                Ok(None) => {
                    self.checks
                        .push(format!("connection `{name}`: the run makes what it leads to"));
                }
                Ok(Some(facts)) => {
                    let version = facts.version_num;
                    let shown = format!("{}.{}", version / 10_000, version % 10_000);
                    self.checks.push(format!("connection `{name}` logs in to PostgreSQL {shown}"));
                    servers.insert(name.clone(), version / 10_000);
                }
                Err(error) if error.class == ErrorClass::Transient && copes(name) => {
                    let why = reader.redactor().text(&error.message);
                    self.checks.push(format!("{why}; what uses it copes with that"));
                }
                Err(error) => self.refused("", &error),
            }
        }
        servers
    }

    async fn stores(
        &mut self,
        steps: &[&PlanStep],
        created: &Arc<RunCreated>,
        probes: &dyn Probes,
        reader: &SecretReader,
    ) {
        let names: BTreeSet<&String> =
            steps.iter().flat_map(|step| &step.footprint.stores).collect();
        for name in names {
            let (renderer, own_name) = part_of(name, created, reader);
            let facts = async { probes.store(&renderer.store(own_name).await?).await };
            match facts.await {
                Ok(StoreFacts { free_bytes: Some(free) }) if free < LEAST_FREE => {
                    let message = format!("store `{name}` has room for {free} bytes only");
                    self.problem("RB0434", message, "make room, or prune the store");
                }
                Ok(_) => self.checks.push(format!("store `{name}` opens and has room")),
                Err(error) => self.refused(&format!("store `{name}`: "), &error),
            }
        }
    }

    async fn tools(&mut self, plan: &Plan, steps: &[&PlanStep], servers: &BTreeMap<String, u32>) {
        let docker = Tool { name: "docker".to_owned(), not_older_than_server: None, package: None };
        let in_container = |name: &String| {
            plan.connections.get(name).is_some_and(|connection| connection.docker.is_some())
        };
        let tools = steps.iter().flat_map(|step| &step.footprint.tools);
        let tools: Vec<&Tool> = tools
            .map(|tool| match &tool.not_older_than_server {
                Some(connection) if in_container(connection) => &docker,
                _ => tool,
            })
            .collect();
        let names: BTreeSet<&String> = tools.iter().map(|tool| &tool.name).collect();
        for name in names {
            let same = tools.iter().filter(|tool| tool.name == *name);
            let package = same.clone().find_map(|tool| tool.package.as_deref());
            let needed = same.filter_map(|tool| tool.not_older_than_server.as_ref());
            let needed = needed.filter_map(|name| Some((*servers.get(name)?, name))).max();
            self.tool(name, package, needed).await;
        }
    }

    async fn tool(&mut self, name: &str, package: Option<&str>, needed: Option<(u32, &String)>) {
        let Some(path) = environment::find_program(name) else {
            let message = format!("`{name}` is not on `PATH`");
            let hint = package.map_or_else(
                || "install it, or add its folder to `PATH`".to_owned(),
                |package| format!("`apt-get install {package}`, or add its folder to `PATH`"),
            );
            return self.problem("RB0430", message, hint);
        };
        let Some((server, connection)) = needed else {
            return self.checks.push(format!("`{name}` is there"));
        };
        let argv = [path.to_string_lossy().into_owned(), "--version".to_owned()];
        let output = process::output(&argv, LIMIT).await.unwrap_or_default();
        match major(&String::from_utf8_lossy(&output)) {
            Some(client) if client >= server => {
                self.checks.push(format!("`{name}` {client} is not older than `{connection}`"));
            }
            Some(client) => {
                let message = format!(
                    "`{name}` {client} is older than the server {server} of connection `{connection}`"
                );
                self.problem("RB0431", message, format!("install `{name}` {server} or newer"));
            }
            None => {
                let message = format!("`{name} --version` does not tell its version");
                self.problem("RB0431", message, "see what `PATH` finds under that name");
            }
        }
    }

    fn problem(&mut self, code: &'static str, message: String, hint: impl Into<String>) {
        let problem = EngineError::new(code, Obstacle::Preflight, message).hint(hint);
        self.problems.push(problem);
    }

    fn refused(&mut self, what: &str, error: &StepError) {
        let parts = std::iter::once(&error.message).chain(&error.causes);
        let parts: Vec<&str> = parts.map(String::as_str).collect();
        let why = parts.join(": ");
        // A secret that several connections need is missed once.
        if self.problems.iter().any(|problem| problem.message == why) {
            return;
        }
        let message = format!("{what}{why}");
        let problem = EngineError::new(error.code.clone(), Obstacle::Preflight, message);
        self.problems.push(EngineError { hint: error.hint.clone(), ..problem });
    }

    fn verdict(self, redactor: &Redactor) -> Result<Vec<String>, EngineError> {
        if self.problems.is_empty() {
            return Ok(self.checks);
        }
        let problems = self.problems.into_iter().map(|problem| EngineError {
            message: redactor.text(&problem.message),
            hint: problem.hint.map(|hint| redactor.text(&hint)),
            ..problem
        });
        let message = "the preflight failed; nothing was executed";
        let error = EngineError::new("RB0435", Obstacle::Preflight, message);
        Err(EngineError { problems: problems.collect(), ..error })
    }
}

/// The major version in `pg_dump (PostgreSQL) 15.4 (Debian 15.4-1)`.
fn major(version: &str) -> Option<u32> {
    let word =
        version.split_whitespace().find(|word| word.starts_with(|c: char| c.is_ascii_digit()))?;
    let digits = word.split(|c: char| !c.is_ascii_digit()).next()?;
    digits.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_major_version_is_found_in_what_the_programs_print() {
        assert_eq!(major("pg_dump (PostgreSQL) 15.4 (Debian 15.4-1.pgdg)"), Some(15));
        assert_eq!(major("psql (PostgreSQL) 18devel"), Some(18));
        assert_eq!(major("nothing"), None);
    }
}
