//! Which set a step works on: `backup:` of its input.

use std::borrow::Cow;
use std::fmt;

use engine::context::StepContext;
use jiff::Timestamp;
use model::proof::Level;
use model::set::SetId;
use model::set::manifest::{Scope, TableName};
use model::step_error::StepError;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::value::MapAccessDeserializer;
use serde::de::{self, Deserialize, Deserializer, MapAccess, Visitor};

use super::sets::{self, StoredSet};
use super::{LoadedSet, Store, load};

/// The set that is wanted.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Backup {
    /// The newest.
    #[default]
    Latest,
    /// The newest whose snapshot is older than this.
    Before(Timestamp),
    /// That one.
    Id(SetId),
}

/// The form `{before: <time>}`.
#[derive(serde::Deserialize)]
#[serde(deny_unknown_fields)]
struct BeforeForm {
    before: Timestamp,
}

struct BackupVisitor;

impl<'de> Visitor<'de> for BackupVisitor {
    type Value = Backup;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a set id, `latest`, or `{before: <time>}`")
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<Backup, E> {
        if text == "latest" {
            return Ok(Backup::Latest);
        }
        text.parse().map(Backup::Id).map_err(E::custom)
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Backup, A::Error> {
        let form = BeforeForm::deserialize(MapAccessDeserializer::new(map))?;
        Ok(Backup::Before(form.before))
    }
}

impl<'de> Deserialize<'de> for Backup {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(BackupVisitor)
    }
}

impl JsonSchema for Backup {
    fn schema_name() -> Cow<'static, str> {
        "Backup".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({"oneOf": [
            {"type": "string", "description": "a set id, or `latest`"},
            {
                "type": "object",
                "properties": {"before": {
                    "type": "string",
                    "format": "date-time",
                    "description": "the newest set whose snapshot is older, RFC 3339 with a zone"
                }},
                "required": ["before"],
                "additionalProperties": false
            }
        ]})
    }
}

impl fmt::Display for Backup {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Latest => f.write_str("latest"),
            Self::Before(time) => write!(f, "before {time}"),
            Self::Id(set) => set.fmt(f),
        }
    }
}

/// What to choose from.
#[derive(Debug, Clone, Copy)]
pub struct Choice<'a> {
    /// The database the set was made of; without it, the store holds sets of one database only.
    pub database: Option<&'a str>,
    /// The set that is wanted.
    pub backup: &'a Backup,
    /// A set that is not named by its id counts only when it is proven at this level.
    pub proven_at: Option<Level>,
}

impl Choice<'_> {
    /// Finds the set. What it passed over is written to the step's log.
    pub async fn make(&self, store: &dyn Store, ctx: &StepContext) -> Result<LoadedSet, StepError> {
        self.make_for(&[], store, ctx).await
    }

    /// The same for who wants these tables only: a set of some tables that holds them counts, too.
    pub async fn make_for(
        &self,
        tables: &[TableName],
        store: &dyn Store,
        ctx: &StepContext,
    ) -> Result<LoadedSet, StepError> {
        if let (Some(database), Backup::Id(set)) = (self.database, self.backup) {
            return load(store, database, set).await.map_err(|error| match error {
                super::StoreError::Missing { .. } => self.none(store, &[]),
                other => other.into(),
            });
        }
        let min = self.proven_at.unwrap_or(Level::Identical);
        let found = sets::find(store, self.database, min, ctx.cancel()).await?;
        for broken in &found.broken {
            ctx.log(format!("`{}` is passed over: {}", broken.folder, broken.why));
        }
        self.check_one_database(&found.sets)?;
        let fits = |set: &&StoredSet| self.fits(set, tables);
        let chosen = found.sets.iter().find(fits).ok_or_else(|| self.none(store, &found.sets))?;
        for newer in found.sets.iter().take_while(|set| set.facts.set != chosen.facts.set) {
            ctx.log(format!(
                "set `{}` is newer and not taken: {}",
                newer.facts.set,
                why_not(newer)
            ));
        }
        ctx.log(format!("set `{}` was taken at {}", chosen.facts.set, chosen.facts.taken));
        Ok(load(store, &chosen.database, &chosen.facts.set).await?)
    }

    fn fits(&self, set: &StoredSet, tables: &[TableName]) -> bool {
        let in_time = match self.backup {
            Backup::Id(id) => return set.facts.set == *id,
            Backup::Latest => true,
            Backup::Before(time) => set.facts.taken < *time,
        };
        let proven = self.proven_at.is_none() || set.facts.proven;
        in_time && proven && covers(&set.facts.scope, tables)
    }

    fn check_one_database(&self, sets: &[StoredSet]) -> Result<(), StepError> {
        let mut names: Vec<_> = sets.iter().map(|set| set.database.as_str()).collect();
        names.sort_unstable();
        names.dedup();
        if names.len() < 2 || matches!(self.backup, Backup::Id(_)) {
            return Ok(());
        }
        let message =
            format!("the store holds sets of several databases: `{}`", names.join("`, `"));
        Err(StepError::permanent("RB0610", message).hint("name the one that is meant"))
    }

    fn none(&self, store: &dyn Store, sets: &[StoredSet]) -> StepError {
        let of = self.database.map(|name| format!(" of database `{name}`")).unwrap_or_default();
        let place = store.describe();
        if self.proven_at.is_some() && !sets.is_empty() {
            let message = format!("no set{of} in `{place}` is proven and fits `{}`", self.backup);
            return StepError::needs_operator("RB0611", message)
                .hint("prove one with `pg.verify_backup`, or name an unproven set by its id");
        }
        StepError::permanent("RB0610", format!("no set{of} in `{place}` fits `{}`", self.backup))
            .hint("`runbook backups list` shows the sets of a store")
    }
}

/// Whether a set of that scope holds the tables; every one of the database, when none is named.
fn covers(scope: &Scope, tables: &[TableName]) -> bool {
    match scope {
        Scope::Full => true,
        Scope::Tables(held) => !tables.is_empty() && tables.iter().all(|it| held.contains(it)),
        Scope::Definitions => false,
    }
}

fn why_not(set: &StoredSet) -> &'static str {
    match (&set.facts.scope, set.facts.proven) {
        (Scope::Tables(_), _) => "it holds some tables only",
        (Scope::Definitions, _) => "it holds definitions only",
        (Scope::Full, false) => "it is not proven",
        (Scope::Full, true) => "it is not what was asked for",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_backup_is_an_id_latest_or_a_time() {
        let read = |text: &str| serde_json::from_str::<Backup>(text);
        assert_eq!(read("\"latest\"").unwrap(), Backup::Latest);
        let id = "20261120T020000Z-7k3m9q2x5w8r1t4v";
        assert_eq!(read(&format!("\"{id}\"")).unwrap(), Backup::Id(id.parse().unwrap()));
        let before = read(r#"{"before": "2026-11-20T03:00:00+01:00"}"#).unwrap();
        assert_eq!(before, Backup::Before("2026-11-20T02:00:00Z".parse().unwrap()));
        for text in ["\"newest\"", "{}", r#"{"before": "2026-11-20"}"#, r#"{"after": "x"}"#, "1"] {
            assert!(read(text).is_err(), "{text}");
        }
    }
}
