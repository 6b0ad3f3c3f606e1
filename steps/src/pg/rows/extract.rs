//! `pg.extract_rows`: takes rows, with what belongs to them, out of a database.

use std::collections::{BTreeSet, HashSet};

use engine::context::StepContext;
use engine::step::{Observation, Step};
use jiff::Timestamp;
use model::catalog::InputProblem;
use model::effect::{Effect, Repeat};
use model::footprint::Footprint;
use model::rows::{Bundle, Column, Kind, Role, Table, VERSION};
use model::step_error::StepError;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use tokio_postgres::types::Oid;

use super::asking;
use super::bundle::{self, Folder};
use super::choose::{RowId, Wanted, key_of};
use super::closure::{Closure, Picked};
use super::shape::{self, Shape};
use super::told;
use crate::file::local::path_problem;
use crate::pg::catalogue;
use crate::pg::classify::not_applied;
use crate::pg::connection::{Session, connect_pinned};
use crate::pg::sql::{identifiers, literal};
use crate::pg::target::Target;

/// Rows that are taken unless the plan says otherwise.
const MAX_ROWS: u64 = 10_000;

/// Rows that one COPY reads.
const BATCH: usize = 1000;

/// Takes rows, with what belongs to them, out of a database.
///
/// ## What it does
/// It chooses rows of `table`, by `where` or by `keys`, and follows the foreign keys from them: to
/// the rows that reference them, and the rows that reference these (`children`), then to the rows
/// that all of them need (`parents`). Cycles, tables that reference themselves, composite keys and
/// partitions are followed alike. What was found is written as a *bundle*: a private folder with
/// the rows of each table as COPY text and `rows.json`, which is written last. Everything is read
/// in one `REPEATABLE READ READ ONLY` transaction.
///
/// `where` is one SQL expression, as it would stand after `WHERE`; values belong into `params`. It
/// may look at other tables (`id in (select ...)`). A text that ends the expression and goes on
/// with something else is refused by the server, and the transaction cannot write.
///
/// ## When to use it
/// After an accidental deletion: restore a set into a scratch database, or the database to an
/// earlier moment beside the living one, take the rows out of it, and bring them back with
/// `pg.restore_rows`.
///
/// ## What it changes
/// Nothing in a database. It makes the folder `to`, readable for its owner only: it holds personal
/// data.
///
/// ## How it can fail
/// No row is as asked for: an empty bundle is never written. More than `max_rows` rows belong
/// together; the error has the counts per table. `where` is not one expression. A table has no
/// key. The folder holds another bundle.
///
/// ## Example
/// ```yaml
/// - id: extract
///   uses: pg.extract_rows
///   with:
///     connection: restored
///     table: public.customers
///     where: email = $1
///     params: [ann@example.com]
///     max_rows: 500
///     database: shop
///     to: /var/backups/rows/ann
/// ```
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Input {
    /// The database to read: a restored copy, or one at an earlier moment.
    connection: String,
    /// The table, as SQL writes it: `orders` or `sales.orders`.
    table: String,
    /// One SQL expression that is true for the rows to take. Either this or `keys`.
    #[serde(rename = "where")]
    predicate: Option<String>,
    /// Values for `$1`, `$2` ... in `where`.
    #[serde(default)]
    params: Vec<Value>,
    /// The keys of the rows to take: values, or mappings for keys of several columns
    /// (`{tenant: 3, id: 7}`). Each must be there. Either this or `where`.
    #[serde(default)]
    keys: Vec<Value>,
    /// Take the rows that reference the chosen ones as well, at any depth.
    #[serde(default = "crate::defaults::yes")]
    children: bool,
    /// Take the rows that these need as well, at any depth. They are brought back only where they
    /// are missing.
    #[serde(default = "crate::defaults::yes")]
    parents: bool,
    /// Tables to leave out, and with them what is only reached through them.
    #[serde(default)]
    exclude: Vec<String>,
    /// More rows than these are refused.
    #[serde(default = "max_rows")]
    max_rows: u64,
    /// The folder of the bundle, with its whole path; it is made.
    to: String,
    /// The name of the database that the rows are of. Default: the one that is read.
    database: Option<String>,
    /// The backup set that the rows are of, to be told in the bundle.
    set: Option<String>,
    /// The moment that the rows are of, RFC 3339 with a zone, to be told in the bundle.
    #[schemars(with = "Option<String>", extend("format" = "date-time"))]
    recovery_point: Option<Timestamp>,
}

/// The bundle.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Output {
    /// Its folder.
    path: String,
    /// The database that the rows are of.
    database: String,
    /// The tables.
    tables: Vec<Extracted>,
    /// Their names: `[public.customers, public.orders]`.
    table_names: Vec<String>,
    /// Rows that `where` or `keys` chose, without those that only belong to them.
    chosen: u64,
    /// All rows, those that are only needed included.
    rows: u64,
    /// Their size as text.
    bytes: u64,
    /// The tables in one line: `public.customers: 1, public.orders: 12`.
    summary: String,
    /// The moment that the rows are of, when the input says it.
    recovery_point: Option<String>,
}

/// Rows of one table.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Extracted {
    /// `schema.table`.
    table: String,
    /// Rows that were chosen, or hang on those.
    rows: u64,
    /// Rows that are only needed.
    parents: u64,
    /// Their size as text.
    bytes: u64,
    /// Why rows of this table are in the bundle.
    why: Vec<String>,
}

/// The step kind.
pub struct ExtractRows;

fn max_rows() -> u64 {
    MAX_ROWS
}

impl Output {
    fn of(path: &str, bundle: &Bundle) -> Self {
        let tables: Vec<_> = bundle.tables.iter().map(Extracted::of).collect();
        let summary = tables.iter().map(Extracted::told).collect::<Vec<_>>().join(", ");
        Self {
            path: path.to_owned(),
            database: bundle.database.clone(),
            table_names: tables.iter().map(|table| table.table.clone()).collect(),
            chosen: bundle.chosen,
            rows: bundle.rows(Role::Rows) + bundle.rows(Role::Parents),
            bytes: bundle.bytes(),
            tables,
            summary,
            recovery_point: bundle.recovery_point.map(|at| at.to_string()),
        }
    }
}

impl Extracted {
    fn of(table: &Table) -> Self {
        Self {
            table: told(table),
            rows: table.rows(Role::Rows),
            parents: table.rows(Role::Parents),
            bytes: table.bytes(),
            why: table.why.clone(),
        }
    }

    fn told(&self) -> String {
        match (self.rows, self.parents) {
            (0, parents) => format!("{}: {parents} needed", self.table),
            (rows, 0) => format!("{}: {rows}", self.table),
            (rows, parents) => format!("{}: {rows} and {parents} needed", self.table),
        }
    }
}

impl Step for ExtractRows {
    const KIND: &'static str = "pg.extract_rows";
    const SUMMARY: &'static str = "takes rows, with what belongs to them, out of a database";
    type Input = Input;
    type Output = Output;

    fn validate(input: &Input) -> Result<(), Vec<InputProblem>> {
        let mut problems: Vec<_> = path_problem("to", &input.to).into_iter().collect();
        match (&input.predicate, input.keys.is_empty()) {
            (Some(_), false) => {
                problems.push(InputProblem::at("keys", "`where` and `keys` exclude each other"));
            }
            (None, true) => problems.push(
                InputProblem::at("where", "nothing says which rows")
                    .help("give `where` or `keys`; `where: \"true\"` takes all"),
            ),
            (Some(text), true) if text.trim().is_empty() || text.contains('\0') => {
                problems.push(InputProblem::at("where", "the predicate is empty"));
            }
            _ => {}
        }
        if input.predicate.is_none() && !input.params.is_empty() {
            problems.push(InputProblem::at("params", "values are only bound to `where`"));
        }
        if input.max_rows == 0 || input.max_rows > i64::MAX.unsigned_abs() / 2 {
            problems.push(InputProblem::at("max_rows", "the limit is at least 1"));
        }
        let names = std::iter::once(("table", &input.table));
        for (key, name) in names.chain(input.exclude.iter().map(|name| ("exclude", name))) {
            if let Err(error) = model::sql::quote_name(name) {
                problems.push(InputProblem::at(key, error.to_string()));
            }
        }
        if problems.is_empty() { Ok(()) } else { Err(problems) }
    }

    fn footprint(input: &Input) -> Footprint {
        let Input { connection, table, to, max_rows, .. } = input;
        let with = match (input.children, input.parents) {
            (true, true) => ", those that hang on them and those that they need",
            (true, false) => " and those that hang on them",
            (false, true) => " and those that they need",
            (false, false) => "",
        };
        Footprint::new(Effect::Reversible, Repeat::Observable)
            .reads_connection(connection)
            .reads(format!("chosen rows of `{table}` in `{connection}`{with}, at most {max_rows}"))
            .writes(format!("the bundle of rows `{to}`, private, with personal data"))
    }

    fn example() -> Output {
        let table = Extracted {
            table: "public.customers".to_owned(),
            rows: 1,
            parents: 0,
            bytes: 64,
            why: vec!["chosen by `where`".to_owned()],
        };
        Output {
            path: "/var/backups/rows/ann".to_owned(),
            database: "shop".to_owned(),
            summary: table.told(),
            table_names: vec![table.table.clone()],
            tables: vec![table],
            chosen: 1,
            rows: 1,
            bytes: 64,
            recovery_point: Some("2026-11-20T02:00:00Z".to_owned()),
        }
    }

    async fn observe(input: &Input, ctx: &StepContext) -> Result<Observation<Output>, StepError> {
        let bundle = bundle::finished(&input.to, ctx).await?;
        Ok(bundle.map_or(Observation::NotDone, |bundle| {
            Observation::Done(Output::of(&input.to, &bundle))
        }))
    }

    async fn run(input: &Input, ctx: &StepContext) -> Result<Output, StepError> {
        let bundle = tokio::select! {
            biased;
            () = ctx.cancel().cancelled() => Err(StepError::cancelled()),
            bundle = extract(input, ctx) => bundle,
        };
        Ok(Output::of(&input.to, &bundle?))
    }
}

async fn extract(input: &Input, ctx: &StepContext) -> Result<Bundle, StepError> {
    let settings = ctx.connection(&input.connection).await?;
    let session = connect_pinned(ctx, &Target::resolve(&settings)?).await?;
    let begin = "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY";
    asking::run(&session, "begin", begin).await?;
    let (chosen, found) = find(input, &session).await?;
    for picked in &found {
        key_of(&picked.table)?;
    }
    let folder = Folder::create(&input.to, ctx)?;
    let mut tables = Vec::new();
    for (number, picked) in found.iter().enumerate() {
        let table = write(&session, &folder, number, picked).await?;
        let told = Extracted::of(&table);
        ctx.log(format!("{} ({} bytes): {}", told.told(), told.bytes, told.why.join(", ")));
        tables.push(table);
    }
    let database = "SELECT current_database()::text";
    let database = session.text("read the name of the database", database).await;
    let server = catalogue::server(&session, &session.target().endpoint()).await;
    let bundle = Bundle {
        version: VERSION,
        kind: Kind::Rows,
        database: input.database.clone().map_or(database.map_err(not_applied), Ok)?,
        set: input.set.clone(),
        recovery_point: input.recovery_point,
        chosen,
        created: folder.created(),
        server: server.map_err(not_applied)?,
        runbook: env!("CARGO_PKG_VERSION").to_owned(),
        tables,
    };
    session.close().await;
    folder.finish(&bundle)?;
    Ok(bundle)
}

/// How many rows were chosen, and all that belong together.
async fn find(input: &Input, session: &Session) -> Result<(u64, Vec<Picked>), StepError> {
    asking::as_role(session).await?;
    let asked = table_named(session, &input.table).await?;
    let mut exclude = HashSet::new();
    for name in &input.exclude {
        let table = table_named(session, name).await?;
        exclude.insert(shape::root(session, table).await?);
    }
    asking::as_pinned(session).await?;
    let table = shape::read(session, asked).await?.ok_or_else(|| no_table(&input.table))?;
    let wanted = match &input.predicate {
        Some(predicate) => Wanted::Where { predicate, params: &input.params },
        None => Wanted::Keys(&input.keys),
    };
    asking::as_role(session).await?;
    let rows = wanted.find(session, &table, &table.from(), input.max_rows).await?;
    asking::as_pinned(session).await?;
    let chosen = rows.iter().collect::<BTreeSet<_>>().len() as u64;
    let mut closure = Closure::new(session, exclude, input.max_rows).await?;
    closure.choose(shape::root(session, asked).await?, rows, wanted.told()).await?;
    if input.children {
        closure.add_children().await?;
    }
    if input.parents {
        closure.add_parents().await?;
    }
    Ok((chosen, closure.into_found()))
}

fn no_table(name: &str) -> StepError {
    StepError::permanent("RB0521", format!("there is no table `{name}` in the database"))
        .hint("write `schema.table` as PostgreSQL stores the names")
}

async fn table_named(session: &Session, name: &str) -> Result<Oid, StepError> {
    let quoted = model::sql::quote_name(name).map_err(|_| no_table(name))?;
    shape::named(session, &quoted).await?.ok_or_else(|| no_table(name))
}

async fn write(
    session: &Session,
    folder: &Folder,
    number: usize,
    picked: &Picked,
) -> Result<Table, StepError> {
    let table = &picked.table;
    let mut parts = Vec::new();
    for (role, rows) in [(Role::Rows, &picked.rows), (Role::Parents, &picked.parents)] {
        if !rows.is_empty() {
            let statements = copies(table, rows);
            parts.push(folder.write(session, number, role, &statements).await?);
        }
    }
    let columns = table
        .stored()
        .map(|column| Column { name: column.name.clone(), type_name: column.type_name.clone() });
    Ok(Table {
        schema: table.schema.clone(),
        name: table.name.clone(),
        columns: columns.collect(),
        key: key_of(table)?.columns.clone(),
        why: picked.why.iter().cloned().collect(),
        parts,
    })
}

/// The statements that read these rows. COPY takes no parameters.
fn copies(table: &Shape, rows: &BTreeSet<RowId>) -> Vec<String> {
    let columns = identifiers(table.stored().map(|column| column.name.as_str()));
    let rows: Vec<_> = rows.iter().collect();
    let one_relation = rows.chunk_by(|(a, _), (b, _)| a == b);
    let batches = one_relation.flat_map(|rows| rows.chunks(BATCH));
    let statement = |rows: &[&RowId]| {
        let places: Vec<_> = rows.iter().map(|(_, place)| format!("\"{place}\"")).collect();
        let places = literal(&format!("{{{}}}", places.join(",")));
        format!(
            "COPY (SELECT {columns} FROM {} WHERE tableoid = {} AND ctid = ANY ({places}::tid[])) TO STDOUT",
            table.from(),
            rows[0].0,
        )
    };
    batches.map(statement).collect()
}
