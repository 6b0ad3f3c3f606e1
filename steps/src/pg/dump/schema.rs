//! What PostgreSQL's own programs write: definitions, large objects, roles.
//! <https://www.postgresql.org/docs/current/app-pgdump.html>

use model::set::Category;
use model::set::layout::{BLOBS, GLOBALS, SCHEMA};
use model::set::manifest::{Exclusion, File, FileKind, Program, Scope};
use model::step_error::{ErrorClass, StepError};

use super::snapshot::Snapshot;
use crate::pg::classify;
use crate::pg::copy::{Packing, Place, pack_stream};
use crate::pg::programs::{self, ClientProgram};
use crate::pg::target::Target;

/// Writes one object by a program and describes both.
pub(super) struct Writer<'a> {
    /// The database.
    pub(super) target: &'a Target,
    /// Where everything goes.
    pub(super) place: &'a Place,
}

/// An object and the program that wrote it.
pub(super) type Made = (File, Program);

impl Writer<'_> {
    async fn make(
        &self,
        program: &ClientProgram,
        args: Vec<String>,
        path: &str,
        kind: FileKind,
    ) -> Result<Made, StepError> {
        let ctx = &self.place.ctx;
        let made = pack_stream(self.place, (path, kind), Packing::None, async |printed| {
            programs::send_output(ctx, self.target, program.name, &args, &printed).await
        });
        let file = made.await.map_err(classify::not_applied)?;
        let (name, version) = (program.name.to_owned(), program.version.clone());
        Ok((file, Program { name, version, arguments: args }))
    }

    /// The definitions, without rows.
    pub(super) async fn schema(
        &self,
        program: &ClientProgram,
        snapshot: &Snapshot,
        scope: &Scope,
    ) -> Result<Made, StepError> {
        let mut args = archive(snapshot);
        if *scope == Scope::Definitions {
            args.push("--schema-only".to_owned());
        } else {
            args.extend(["--section=pre-data", "--section=post-data"].map(str::to_owned));
        }
        // A set of some tables holds every definition, so that it restores by itself: the tables
        // need their types and functions, and `--table` would leave those out.
        if matches!(scope, Scope::Tables(_)) {
            args.push("--no-blobs".to_owned());
        }
        match self.make(program, args, SCHEMA, FileKind::Schema).await {
            Err(error) => Err(snapshot.explain(error).await),
            made => made,
        }
    }

    /// The large objects, without any table.
    pub(super) async fn blobs(
        &self,
        program: &ClientProgram,
        snapshot: &Snapshot,
    ) -> Result<Made, StepError> {
        let mut args = archive(snapshot);
        args.extend(["--section=data", "--blobs", "--exclude-table=*.*"].map(str::to_owned));
        self.make(program, args, BLOBS, FileKind::Blobs).await
    }

    /// Roles and tablespaces. Where the role may not read them that is recorded, not hidden.
    pub(super) async fn globals(
        &self,
        program: &ClientProgram,
    ) -> Result<Result<Made, Exclusion>, StepError> {
        let args = ["--globals-only", "--no-role-passwords", "--no-password"].map(str::to_owned);
        let made = self.make(program, args.to_vec(), GLOBALS, FileKind::Globals).await;
        match made {
            Err(error) if error.class == ErrorClass::NeedsOperator && error.code == "RB0509" => {
                self.place.store.remove(&self.place.full(GLOBALS)).await?;
                let reason = "the role may not read them".to_owned();
                let object = "roles and tablespaces".to_owned();
                Ok(Err(Exclusion { category: Category::Owner, object, reason }))
            }
            made => Ok(Ok(made?)),
        }
    }
}

fn archive(snapshot: &Snapshot) -> Vec<String> {
    let mut args = connecting(snapshot);
    args.push("--format=custom".to_owned());
    args
}

/// Arguments that make `pg_dump` see the snapshot, and wait for no lock for long.
pub(super) fn connecting(snapshot: &Snapshot) -> Vec<String> {
    vec![
        "--no-password".to_owned(),
        format!("--snapshot={}", snapshot.id),
        format!("--lock-wait-timeout={}", snapshot.lock_wait()),
    ]
}
