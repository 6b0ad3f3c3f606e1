//! The database that rows are brought into: whether it is the right one, whether its tables are
//! still those the rows come from, and its locks.

use std::time::Duration;

use engine::context::StepContext;
use model::rows::{Bundle, Table};
use model::set::manifest::Server;
use model::step_error::StepError;

use super::asking;
use super::shape::{self, ForeignKey, Key, Shape};
use super::staged::{Staged, State, shortened, stage};
use super::told;
use crate::pg::catalogue;
use crate::pg::classify::not_applied;
use crate::pg::connection::{Session, connect_pinned};
use crate::pg::sql::qualified;
use crate::pg::target::Target;

/// Which database is meant.
pub(super) struct Meant<'a> {
    pub(super) database: &'a str,
    pub(super) system_identifier: Option<&'a str>,
}

/// A transaction on the target in which the rows of a bundle are staged.
pub(super) struct Opened {
    pub(super) session: Session,
    pub(super) server: Server,
    pub(super) database: String,
    pub(super) tables: Vec<Staged>,
    /// Foreign keys between the tables, whose columns are all staged.
    pub(super) between: Vec<ForeignKey>,
    /// Every foreign key of the database.
    pub(super) foreign_keys: Vec<ForeignKey>,
}

/// Begins the transaction, stages the rows and locks their tables against other writers.
pub(super) async fn open(
    ctx: &StepContext,
    connection: &str,
    (folder, bundle): (&str, &Bundle),
    meant: Meant<'_>,
    (lock_timeout, state): (Duration, State),
) -> Result<Opened, StepError> {
    let settings = ctx.connection(connection).await?;
    let session = connect_pinned(ctx, &Target::resolve(&settings)?).await?;
    let server = catalogue::server(&session, &session.target().endpoint()).await;
    let server = server.map_err(not_applied)?;
    let database = "SELECT current_database()::text";
    let database = session.text("read the name of the database", database).await;
    let database = database.map_err(not_applied)?;
    meant.check(&database, &server)?;
    let begin = format!(
        "BEGIN ISOLATION LEVEL READ COMMITTED READ WRITE; SET LOCAL lock_timeout = {}",
        lock_timeout.as_millis()
    );
    asking::run(&session, "begin", &begin).await?;
    let shapes = shapes(&session, &bundle.tables).await?;
    let mut tables = Vec::new();
    for ((number, table), shape) in bundle.tables.iter().enumerate().zip(shapes) {
        tables.push(stage(&session, folder, (number, table), shape, state).await?);
    }
    lock(&session, &tables).await?;
    let foreign_keys = shape::foreign_keys(&session).await?;
    let between = foreign_keys.iter().filter(|key| is_between(key, &tables)).cloned().collect();
    Ok(Opened { session, server, database, tables, between, foreign_keys })
}

/// Others may read meanwhile. What is found is then what is written to, until the end.
async fn lock(session: &Session, tables: &[Staged]) -> Result<(), StepError> {
    if tables.is_empty() {
        return Ok(());
    }
    let mut names: Vec<_> = tables.iter().map(|table| table.live.quoted()).collect();
    names.sort_unstable();
    let sql = format!("LOCK TABLE {} IN SHARE ROW EXCLUSIVE MODE", names.join(", "));
    asking::run(session, "lock the tables against other writers", &sql).await
}

fn is_between(key: &ForeignKey, tables: &[Staged]) -> bool {
    let staged = |oid, columns: &[String]| {
        tables.iter().any(|table| {
            table.live.oid == oid && columns.iter().all(|name| table.columns.contains(name))
        })
    };
    staged(key.child, &key.child_columns) && staged(key.parent, &key.parent_columns)
}

impl Meant<'_> {
    fn check(&self, database: &str, server: &Server) -> Result<(), StepError> {
        let refused =
            |message: String, hint: &str| Err(StepError::permanent("RB0523", message).hint(hint));
        if database != self.database {
            let message =
                format!("the database is `{database}`, the rows are of `{}`", self.database);
            return refused(message, "check the connection; when it is meant, say `database`");
        }
        let found = server.system_identifier.as_deref().unwrap_or("unknown");
        match self.system_identifier {
            Some(wanted) if wanted != found => refused(
                format!("the system identifier is `{found}`, expected `{wanted}`"),
                "check the connection's host before anything else",
            ),
            _ => Ok(()),
        }
    }
}

/// The live tables of a bundle's; refused, all at once, where they are not those any more.
async fn shapes(session: &Session, tables: &[Table]) -> Result<Vec<(Shape, Key)>, StepError> {
    let (mut shapes, mut drift) = (Vec::new(), Vec::new());
    for table in tables {
        let name = qualified(&table.schema, &table.name);
        let oid = shape::named(session, &name).await?;
        let shape = match oid {
            Some(oid) => shape::read(session, oid).await?,
            None => None,
        };
        match shape {
            Some(shape) => {
                drift.extend(drifted(table, &shape));
                shapes.extend(shape.key.clone().map(|key| (shape, key)));
            }
            None => drift.push(format!("there is no table `{}`", told(table))),
        }
    }
    if drift.is_empty() {
        return Ok(shapes);
    }
    let message = "the target's tables are not those the rows come from";
    let mut error = StepError::permanent("RB0545", message);
    error.causes = shortened(drift);
    Err(error.hint(
        "bring the rows into a copy of the older schema, migrate the copy, and extract them again",
    ))
}

fn drifted(table: &Table, live: &Shape) -> Vec<String> {
    let name = told(table);
    let mut drift = Vec::new();
    for column in &table.columns {
        match live.columns.iter().find(|it| it.name == column.name) {
            None => drift.push(format!("`{name}` has no column `{}`", column.name)),
            Some(found) if found.generated => {
                drift.push(format!("column `{}` of `{name}` is generated", column.name));
            }
            Some(_) => {}
        }
    }
    let known = |name: &String| table.columns.iter().any(|column| column.name == *name);
    for column in live.stored().filter(|column| column.needs_value && !known(&column.name)) {
        drift.push(format!("column `{}` of `{name}` was added and needs a value", column.name));
    }
    let key = live.key.as_ref().map(|key| key.columns.clone()).unwrap_or_default();
    if key != table.key {
        let (was, is) = (table.key.join(", "), key.join(", "));
        drift.push(format!("the key of `{name}` was ({was}) and is ({is})"));
    }
    drift
}
