//! A database of our own, under a name that says whose it is and until when.
//!
//! Its comment is a lease: `{"runbook": ..., "expires": ...}`. Whoever makes another one drops
//! those whose lease has ended, so that a killed run leaves nothing for long.

use std::time::Duration;

use engine::context::StepContext;
use jiff::Timestamp;
use model::set::Manifest;
use model::set::manifest::Server;
use model::step_error::StepError;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::pg::connection::Session;
use crate::pg::target::Target;
use crate::pg::{classify, sql};
use crate::store::hex;

/// How the names start.
const PREFIX: &str = "rb_";

/// How long a database may live without its run. Longer than any restore that still progresses:
/// one that takes longer renews nothing, but is in use, and databases in use are not dropped.
const LEASE: Duration = Duration::from_hours(24);

/// What the database is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::pg) enum Use {
    /// It becomes the restored database.
    Restore,
    /// It is looked at, then dropped.
    Verify,
}

/// The comment on the database.
#[derive(Debug, Serialize, Deserialize)]
struct Lease {
    runbook: String,
    step: String,
    set: String,
    expires: Timestamp,
}

/// A database of our own.
pub(in crate::pg) struct Scratch {
    name: String,
    oid: u32,
    target: Target,
    admin: Target,
}

impl Scratch {
    /// Drops what dead runs left, then makes the database, empty, with the encoding and the
    /// locale of the manifest.
    pub(in crate::pg) async fn create(
        ctx: &StepContext,
        admin: &Session,
        target: &Target,
        manifest: &Manifest,
        used: Use,
    ) -> Result<Self, StepError> {
        let name = name(ctx, used);
        drop_left(ctx, admin, &name).await?;
        let version = admin.server_version().await?;
        let quoted = sql::identifier(&name);
        let create = format!("CREATE DATABASE {quoted} {}", like(&manifest.server, version));
        let what = format!("create database `{name}`");
        admin.execute_all(&what, &create).await?;
        let lease = Lease {
            runbook: ctx.id().run.to_string(),
            step: ctx.id().step.to_string(),
            set: manifest.set.to_string(),
            expires: ctx.now() + LEASE,
        };
        let lease = serde_json::to_string(&lease).expect("a lease is plain data");
        let comment = format!("COMMENT ON DATABASE {quoted} IS {}", sql::literal(&lease));
        admin.execute_all(&what, &comment).await?;
        let oid = admin
            .query_one("SELECT oid FROM pg_database WHERE datname = $1", &[&name])
            .await
            .map_err(|error| classify::statement(&what, &error))?
            .get(0);
        let scratch = target.database(&name);
        Ok(Self { name, oid, target: scratch, admin: target.clone() })
    }

    /// Its object id.
    pub(in crate::pg) fn oid(&self) -> u32 {
        self.oid
    }

    /// How to connect to it.
    pub(in crate::pg) fn target(&self) -> &Target {
        &self.target
    }

    /// Gives it its final name. The lease goes in the same transaction.
    pub(in crate::pg) async fn rename(&self, admin: &Session, to: &str) -> Result<(), StepError> {
        let (from, to) = (sql::identifier(&self.name), sql::identifier(to));
        let rename = format!(
            "BEGIN; COMMENT ON DATABASE {from} IS NULL; ALTER DATABASE {from} RENAME TO {to}; COMMIT"
        );
        admin.execute_all(&format!("rename the restored database to {to}"), &rename).await
    }

    /// Drops it, also after a cancellation. When that fails, the lease ends some day.
    pub(in crate::pg) async fn drop_database(self, ctx: &StepContext) {
        if let Err(error) = self.try_drop(ctx).await {
            ctx.log(format!("scratch database `{}` could not be dropped: {error}", self.name));
        }
    }

    async fn try_drop(&self, ctx: &StepContext) -> Result<(), StepError> {
        let admin = super::super::connection::connect_even_cancelled(ctx, &self.admin).await?;
        drop_forced(&admin, &self.name).await?;
        admin.close().await;
        Ok(())
    }
}

/// The same for every attempt of a step of a run: a new attempt meets what the last one left.
fn name(ctx: &StepContext, used: Use) -> String {
    let id = ctx.id();
    let used = if used == Use::Restore { "restore" } else { "verify" };
    let step = hex(Sha256::digest(id.step.as_str()));
    format!("{PREFIX}{used}_{}_{}", id.run.to_string().to_lowercase(), &step[..8])
}

async fn drop_forced(admin: &Session, name: &str) -> Result<(), StepError> {
    let drop = format!("DROP DATABASE IF EXISTS {} WITH (FORCE)", sql::identifier(name));
    admin.execute_all(&format!("drop database `{name}`"), &drop).await
}

/// Drops what an earlier attempt left, and what other runs left whose lease has ended and whom
/// nobody is connected to.
async fn drop_left(ctx: &StepContext, admin: &Session, name: &str) -> Result<(), StepError> {
    drop_forced(admin, name).await?;
    let rows = admin
        .query(
            "SELECT d.datname::text, shobj_description(d.oid, 'pg_database') FROM pg_database d
             WHERE d.datname ~ '^rb_(restore|verify)_'
               AND NOT EXISTS (SELECT FROM pg_stat_activity a WHERE a.datid = d.oid)",
            &[],
        )
        .await
        .map_err(|error| classify::statement("look for left databases", &error))?;
    for row in rows {
        let (name, comment): (String, Option<String>) = (row.get(0), row.get(1));
        let lease = comment.and_then(|comment| serde_json::from_str::<Lease>(&comment).ok());
        if let Some(lease) = lease.filter(|lease| lease.expires < ctx.now()) {
            ctx.log(format!(
                "dropping `{name}`, left by run {} step {}",
                lease.runbook, lease.step
            ));
            if let Err(error) = drop_forced(admin, &name).await {
                ctx.log(format!("`{name}` could not be dropped: {error}"));
            }
        }
    }
    Ok(())
}

/// The options of CREATE DATABASE for an empty copy.
/// <https://www.postgresql.org/docs/current/sql-createdatabase.html>
fn like(server: &Server, target_version: u32) -> String {
    let locale = server.locale.as_deref().map(sql::literal);
    let provider = match (server.locale_provider.as_str(), locale) {
        ("icu", Some(locale)) => format!(" LOCALE_PROVIDER icu ICU_LOCALE {locale}"),
        ("builtin", Some(locale)) => format!(" LOCALE_PROVIDER builtin BUILTIN_LOCALE {locale}"),
        _ if target_version >= 15_00_00 => " LOCALE_PROVIDER libc".to_owned(),
        _ => String::new(),
    };
    format!(
        "TEMPLATE template0 ENCODING {} LC_COLLATE {} LC_CTYPE {}{provider}",
        sql::literal(&server.encoding),
        sql::literal(&server.collate),
        sql::literal(&server.ctype)
    )
}
