//! Reads what a database holds into a manifest's contents.
//!
//! The session must be pinned ([`super::connection::PINS`]); everything here works inside the
//! caller's transaction and sees its snapshot. PostgreSQL 13 to 17.

mod large_objects;
mod queries;
mod sequences;
mod server;
mod tables;

use std::collections::BTreeMap;

use model::set::manifest::{LargeObjects, Scope};
use model::set::{CatalogueObject, Category, Contents};
use model::step_error::StepError;
use serde_json::Value;
use tokio_postgres::types::Oid;
use tokio_postgres::{Client, Row};

pub use self::large_objects::read_large_objects;
use self::queries::{COMMON, GROUPS, Query, Reach};
pub use self::server::server;
pub use self::tables::{SizedTable, copy_out, count, hash_table, list_tables, measure};
use super::classify;

/// What a capture covers, resolved in the database.
pub(super) struct Selection {
    /// The tables in scope with their partitions, indexes and sequences; `None` for everything.
    relations: Option<Vec<Oid>>,
    /// `server_version_num`.
    server_version: u32,
    /// The server is a standby.
    in_recovery: bool,
    /// Rows are asked for, not definitions only.
    rows: bool,
}

/// What the database holds: definitions, sequences' positions, tables without their counts and
/// hashes, which [`measure`] or a dump adds, and large objects without their contents, which
/// [`read_large_objects`] adds. A table of the scope that does not exist is an error.
pub async fn capture(client: &Client, scope: &Scope) -> Result<Contents, StepError> {
    let selection = select(client, scope).await?;
    let (listed, mut exclusions) = tables::list(client, &selection).await?;
    exclusions.extend(tables::left_out(client, &selection).await?);
    let objects = definitions(client, &selection).await?;
    let of_category = |object: &&CatalogueObject| object.category == Category::LargeObject;
    let large_objects = objects.iter().filter(of_category).count() as u64;
    let mut contents = Contents {
        scope: scope.clone(),
        tables: listed.into_iter().map(|sized| sized.table).collect(),
        sequences: sequences::positions(client, &selection).await?,
        large_objects: LargeObjects { count: large_objects, hash: None },
        objects,
        exclusions,
    };
    if *scope == Scope::Definitions {
        contents.keep_definitions();
    }
    contents.sort();
    Ok(contents)
}

/// Resolves the scope; see [`Selection`].
async fn select(client: &Client, scope: &Scope) -> Result<Selection, StepError> {
    let sql = "SELECT current_setting('server_version_num')::int4, pg_is_in_recovery()";
    let row = client.query_one(sql, &[]).await;
    let row = row.map_err(|error| classify::statement("read the server's version", &error))?;
    let server_version: i32 = row.get(0);
    Ok(Selection {
        relations: tables::relations_in(client, scope).await?,
        server_version: server_version.unsigned_abs(),
        in_recovery: row.get(1),
        rows: *scope != Scope::Definitions,
    })
}

/// Attributes and owner of the objects found so far.
type Found = BTreeMap<(Category, String), (Option<String>, BTreeMap<String, String>)>;

/// Every definition in the selection.
async fn definitions(
    client: &Client,
    selection: &Selection,
) -> Result<Vec<CatalogueObject>, StepError> {
    let mut found = Found::new();
    // Gathered first: a closure held over an await would keep the future from being `Send`.
    let queries = GROUPS.iter().copied().flatten().copied();
    let asked: Vec<Query> = queries.filter(|query| asks(query, selection)).collect();
    for query in asked {
        let sql = format!("{COMMON}{}", query.sql);
        let rows = client.query(&sql, &[&selection.relations]).await;
        let what = format!("read the catalogue: {}", query.category);
        for row in rows.map_err(|error| classify::statement(&what, &error))? {
            add(&mut found, query.category, &row)
                .map_err(|error| classify::statement(&what, &error))?;
        }
    }
    let object = |((category, identity), (belongs_to, attributes))| CatalogueObject {
        category,
        identity,
        belongs_to,
        attributes,
    };
    Ok(found.into_iter().map(object).collect())
}

fn asks(query: &Query, selection: &Selection) -> bool {
    let reaches = selection.relations.is_none() || query.reach == Reach::Tables;
    reaches && selection.server_version >= query.from
}

/// Without the schema that every name has which has no other.
fn readable(identity: &str) -> String {
    identity.replace("pg_catalog.", "")
}

fn add(found: &mut Found, category: Category, row: &Row) -> Result<(), tokio_postgres::Error> {
    let key = (category, readable(row.try_get(0)?));
    let belongs_to = row.try_get::<_, Option<&str>>(1)?.map(readable);
    let attributes: Value = row.try_get(2)?;
    let (_, known) = found.entry(key).or_insert_with(|| (belongs_to, BTreeMap::new()));
    let Value::Object(attributes) = attributes else { return Ok(()) };
    for (name, value) in attributes {
        match value {
            Value::Null => {}
            Value::String(text) => drop(known.insert(name, text)),
            other => drop(known.insert(name, other.to_string())),
        }
    }
    Ok(())
}
