//! The bundle from which a restore of rows is taken back: written before the commit, so that
//! whatever was committed can be undone.

use engine::context::StepContext;
use model::rows::{Bundle, Column, Kind, Part, Role, Table, VERSION};
use model::step_error::StepError;

use super::super::bundle::Folder;
use super::super::staged::{Staged, State, is_in};
use super::super::target::Opened;
use crate::pg::sql::identifier;

/// The folder with the rows as they were before.
pub(super) struct Begun {
    folder: Folder,
    /// Of each table, in their order.
    before: Vec<Part>,
}

/// Writes the rows that will be overwritten, as they are now.
pub(super) async fn begin(
    path: &str,
    ctx: &StepContext,
    opened: &Opened,
) -> Result<Begun, StepError> {
    Folder::set_aside(path, ctx)?;
    let folder = Folder::create(path, ctx)?;
    let mut before = Vec::new();
    for (number, table) in opened.tables.iter().enumerate() {
        let statement = live_rows(table, State::Overwrite);
        before.push(folder.write(&opened.session, number, Role::Before, &[statement]).await?);
    }
    Ok(Begun { folder, before })
}

impl Begun {
    /// Writes the rows as they are now, after they were written, and ends the bundle.
    pub(super) async fn finish(self, opened: &Opened) -> Result<(), StepError> {
        let Self { folder, before } = self;
        let mut tables = Vec::new();
        for ((number, table), before) in opened.tables.iter().enumerate().zip(before) {
            let mut parts = vec![before];
            for (role, state) in [(Role::Inserted, State::Insert), (Role::After, State::Overwrite)]
            {
                let statement = live_rows(table, state);
                parts.push(folder.write(&opened.session, number, role, &[statement]).await?);
            }
            tables.push(described(table, parts));
        }
        tables.retain(|table| table.parts.iter().any(|part| part.rows > 0));
        let bundle = Bundle {
            version: VERSION,
            kind: Kind::Undo,
            database: opened.database.clone(),
            set: None,
            recovery_point: None,
            chosen: 0,
            created: folder.created(),
            server: opened.server.clone(),
            runbook: env!("CARGO_PKG_VERSION").to_owned(),
            tables,
        };
        folder.finish(&bundle)
    }
}

/// The live rows of those in a state, with every column that holds a value.
fn live_rows(table: &Staged, state: State) -> String {
    let qualified = |name: &String| format!("t.{}", identifier(name));
    let columns: Vec<_> = table.live.stored().map(|column| qualified(&column.name)).collect();
    let key: Vec<_> = table.key.columns.iter().map(qualified).collect();
    format!(
        "COPY (SELECT {} FROM {} t JOIN {} s ON {} WHERE {} ORDER BY {}) TO STDOUT",
        columns.join(", "),
        table.live.from(),
        table.temp,
        table.same_key("s", "t"),
        is_in("s", &[state]),
        key.join(", "),
    )
}

fn described(table: &Staged, parts: Vec<Part>) -> Table {
    let column = |column: &super::super::shape::Column| Column {
        name: column.name.clone(),
        type_name: column.type_name.clone(),
    };
    Table {
        schema: table.live.schema.clone(),
        name: table.live.name.clone(),
        columns: table.live.stored().map(column).collect(),
        key: table.key.columns.clone(),
        why: Vec::new(),
        parts,
    }
}
