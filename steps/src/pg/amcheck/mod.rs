//! `pg.amcheck`: looks for damage in tables and indexes.

pub mod relations;

use engine::context::{Progress, StepContext};
use engine::step::{Observation, Step};
use model::catalog::InputProblem;
use model::effect::{Effect, Repeat};
use model::footprint::{Footprint, Part};
use model::sql::quote_name;
use model::step_error::StepError;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use self::relations::{Depth, Finding, Relation};
use super::connection::{Session, connect_named};
use super::meter::Meter;

/// Findings that the outputs list, and causes that an error lists.
const LISTED: usize = 100;

/// Looks for damage in tables and indexes.
///
/// ## What it does
/// It runs the functions of PostgreSQL's extension `amcheck` over every B-tree index and, from
/// server version 14 on, every table: rows that cannot be, broken references to large values,
/// indexes out of order. A checksum of pages tells that the disk changed a page; this tells that
/// what is on it cannot be right, whoever wrote it.
///
/// ## When to use it
/// On a schedule, on production or better on a standby; after a crash of a disk, an upgrade of the
/// operating system's collations, or a restore of a physical copy; before an incident is called
/// over.
///
/// ## What it changes
/// Nothing. It reads all of what it checks. `parent_check` keeps writers out of each table while
/// its indexes are checked.
///
/// ## How it can fail
/// When anything is found; the error names the findings, and the log every one. With `report_only`
/// they are outputs and the step succeeds: decide by `outputs.passed`. When the extension is
/// missing: a superuser runs `CREATE EXTENSION amcheck;` in that database once.
///
/// ## Example
/// ```yaml
/// - id: sound
///   uses: pg.amcheck
///   with: {connection: prod, tables: [public.orders, billing.payments], heapallindexed: true}
/// ```
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[expect(clippy::struct_excessive_bools, reason = "each is a switch of its own in the runbook")]
pub struct Input {
    /// The name under `connections:`.
    connection: String,
    /// These tables with their partitions and indexes, as `schema.table` or a name that the search
    /// path of the role finds; without it, all of the database.
    #[serde(default)]
    tables: Vec<String>,
    /// Every row of a table is looked up in its indexes, too. Takes memory and longer.
    #[serde(default)]
    heapallindexed: bool,
    /// Parents and children in each index are compared, too, under a lock that keeps writers out.
    /// Not on a standby.
    #[serde(default)]
    parent_check: bool,
    /// Values that a table stores out of line are read, too.
    #[serde(default)]
    toast: bool,
    /// The step succeeds although something was found.
    #[serde(default)]
    report_only: bool,
}

/// What was found.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Output {
    /// Nothing was found.
    passed: bool,
    /// How many tables were checked.
    tables: u64,
    /// How many indexes were checked.
    indexes: u64,
    /// How many findings there are.
    finding_count: u64,
    /// The findings, at most 100.
    findings: Vec<Finding>,
}

/// The step kind.
pub struct Amcheck;

async fn check(input: &Input, ctx: &StepContext, session: &Session) -> Result<Output, StepError> {
    let Some(schema) = relations::extension(session).await? else {
        let database = &session.target().dbname;
        let message = format!("the extension `amcheck` is not installed in database `{database}`");
        return Err(StepError::permanent("RB0571", message)
            .hint("as a superuser in that database: CREATE EXTENSION amcheck;"));
    };
    let relations = relations::named(session, &input.tables).await?;
    let depth = Depth {
        heapallindexed: input.heapallindexed,
        parent_check: input.parent_check,
        toast: input.toast,
    };
    let (meter, mut findings) = (Meter::new(ctx, None), Vec::new());
    for (done, relation) in relations.iter().enumerate() {
        ctx.progress(Progress {
            activity: format!("amcheck `{}`", relation.name),
            done: done as u64,
            total: Some(relations.len() as u64),
            bytes: false,
        });
        let checked = relations::check(session, &schema, relation, depth);
        let found = meter.while_running(&format!("amcheck `{}`", relation.name), checked).await?;
        for finding in &found {
            ctx.log(finding.to_string());
        }
        findings.extend(found);
    }
    Ok(output(&relations, findings))
}

fn output(relations: &[Relation], mut findings: Vec<Finding>) -> Output {
    let indexes = relations.iter().filter(|relation| relation.is_index).count() as u64;
    let finding_count = findings.len() as u64;
    findings.truncate(LISTED);
    Output {
        passed: finding_count == 0,
        tables: relations.len() as u64 - indexes,
        indexes,
        finding_count,
        findings,
    }
}

fn damaged(database: &str, output: &Output) -> StepError {
    let mut names: Vec<_> =
        output.findings.iter().map(|finding| format!("`{}`", finding.relation)).collect();
    names.dedup();
    let message = format!("database `{database}` is damaged in {}", names.join(", "));
    let mut error = StepError::permanent("RB0572", message);
    error.causes.extend(output.findings.iter().map(ToString::to_string));
    error.hint(
        "stop writing to it and keep a copy of its files; an index alone is mended by `REINDEX`, \
         a table by a restore",
    )
}

impl Step for Amcheck {
    const KIND: &'static str = "pg.amcheck";
    const SUMMARY: &'static str = "looks for damage in tables and indexes";
    type Input = Input;
    type Output = Output;

    fn validate(input: &Input) -> Result<(), Vec<InputProblem>> {
        let problem = |name: &String| {
            let error = quote_name(name).err()?;
            Some(InputProblem::at("tables", error.to_string()))
        };
        let problems: Vec<_> = input.tables.iter().filter_map(problem).collect();
        if problems.is_empty() { Ok(()) } else { Err(problems) }
    }

    fn footprint(input: &Input) -> Footprint {
        let name = &input.connection;
        let what = match input.tables.as_slice() {
            [] => format!("every table and index of database `{name}`"),
            tables => format!("tables `{}` of database `{name}`", tables.join("`, `")),
        };
        let footprint =
            Footprint::new(Effect::Read, Repeat::Idempotent).reads_connection(name).reads(what);
        let footprint = footprint.plays(Part::Verify);
        if input.parent_check {
            footprint.lock("SHARE on each table whose indexes are checked: writers wait")
        } else {
            footprint.lock("ACCESS SHARE on each table that is checked")
        }
    }

    fn example() -> Output {
        let finding = Finding {
            relation: "public.orders_pkey".to_owned(),
            message: "item order invariant violated for index \"orders_pkey\"".to_owned(),
            block: None,
            offset: None,
        };
        Output { passed: false, tables: 12, indexes: 19, finding_count: 1, findings: vec![finding] }
    }

    async fn observe(_input: &Input, _ctx: &StepContext) -> Result<Observation<Output>, StepError> {
        Ok(Observation::NotDone)
    }

    async fn run(input: &Input, ctx: &StepContext) -> Result<Output, StepError> {
        let session = connect_named(ctx, &input.connection).await?;
        let output = check(input, ctx, &session).await?;
        let database = session.target().dbname.clone();
        session.close().await;
        if output.passed || input.report_only {
            return Ok(output);
        }
        Err(damaged(&database, &output))
    }
}
