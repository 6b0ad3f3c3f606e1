//! One base backup, from the server to the manifest.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use engine::clock::{Clock, RealClock};
use engine::context::{Progress, StepContext};
use engine::files;
use engine::process::Program;
use jiff::Timestamp;
use model::base::{
    BACKUP_MANIFEST, BaseFile, BaseKind, BaseManifest, DATA, MANIFEST, RESTORE, VERSION, chain,
};
use model::set::manifest::{Created, FileKind, Program as ProgramRecord};
use model::step_error::{ErrorClass, StepError};
use model::wal::Lsn;
use serde::Deserialize;
use tokio::sync::mpsc;

use super::server::{CopiedServer, clock};
use super::{Announced, Input, Output, find, instructions, output, parts};
use crate::file::local;
use crate::pg::connection::Session;
use crate::pg::copy::{Packing, Place, pack_stream};
use crate::pg::pgpass::Pgpass;
use crate::pg::target::Target;
use crate::pg::{programs, server_programs};
use crate::store::{Store, put_bytes};

/// Between two looks at how much was copied.
const LOOK: Duration = Duration::from_secs(2);

/// What `pg_basebackup` leaves beside the files.
const THEIR_MANIFEST: &str = "backup_manifest";

/// Everything it takes.
pub(super) struct Work<'a> {
    pub(super) input: &'a Input,
    pub(super) ctx: &'a StepContext,
    pub(super) target: &'a Target,
    pub(super) store: &'a Arc<dyn Store>,
    pub(super) server: &'a CopiedServer,
}

/// The part of `backup_manifest` that says which WAL belongs to the backup.
/// <https://www.postgresql.org/docs/current/backup-manifest-format.html>
#[derive(Deserialize)]
struct TheirManifest {
    #[serde(rename = "WAL-Ranges")]
    ranges: Vec<Range>,
}

#[derive(Deserialize)]
struct Range {
    #[serde(rename = "Timeline")]
    timeline: u32,
    #[serde(rename = "Start-LSN")]
    start: Lsn,
    #[serde(rename = "End-LSN")]
    end: Lsn,
}

/// What the copy is.
struct Copied {
    data: PathBuf,
    data_bytes: u64,
    range: Range,
    finished: Timestamp,
    programs: Vec<ProgramRecord>,
}

impl Work<'_> {
    /// Copies, checks and stores; the manifest comes last.
    pub(super) async fn write(
        &self,
        session: &Session,
        announced: &Announced,
    ) -> Result<Output, StepError> {
        let started = RealClock.mono_ms();
        let staging = Path::new(&announced.staging);
        self.check_room(staging)?;
        files::create_folder(staging).map_err(|error| self.no_staging(staging, &error))?;
        let parent = self.parent(staging).await?;
        let copied = self.copy(session, staging, parent.as_ref()).await?;
        let files = self.store_files(announced, &copied).await?;
        let mut manifest = self.manifest(announced, parent, copied, files);
        let text = instructions::instructions(&manifest);
        let path = format!("{}/{RESTORE}", manifest.folder());
        let written = put_bytes(self.store.as_ref(), &path, text).await?;
        let (bytes, sha256) = (written.bytes, written.sha256);
        manifest.files.push(BaseFile { path: RESTORE.to_owned(), bytes, sha256 });
        let path = format!("{}/{MANIFEST}", manifest.folder());
        let written = put_bytes(self.store.as_ref(), &path, manifest.to_json()).await?;
        Ok(output(&manifest, &written, RealClock.mono_ms() - started))
    }

    /// The copy lies on this machine until it is stored.
    fn check_room(&self, staging: &Path) -> Result<(), StepError> {
        let folder = staging.parent().unwrap_or(staging);
        let free = files::free_space(folder).map_err(|error| self.no_staging(folder, &error))?;
        if self.input.parent.is_some() || free >= self.server.bytes {
            return Ok(());
        }
        let message = format!(
            "the cluster has {} bytes, and `{}` has room for {free}",
            self.server.bytes,
            folder.display()
        );
        Err(StepError::needs_operator("RB0628", message)
            .hint("free space there, or name another folder as `staging`; nothing was done"))
    }

    fn no_staging(&self, folder: &Path, error: &std::io::Error) -> StepError {
        let message = format!("the folder `{}` cannot be used for the copy", folder.display());
        let hint = match self.input.staging {
            Some(_) => "make it, or name another folder as `staging`",
            None => "name a folder with room for the cluster as `staging`",
        };
        StepError::needs_operator("RB0628", message).caused_by(error).hint(hint)
    }

    /// What an incremental backup builds on; its `backup_manifest` is brought to the staging folder.
    async fn parent(&self, staging: &Path) -> Result<Option<BaseManifest>, StepError> {
        let Some(wanted) = &self.input.parent else { return Ok(None) };
        let bases = find(self.store.as_ref(), Some(&self.server.system_identifier)).await?.whole;
        let parent = match wanted.as_str() {
            "latest" => bases.first(),
            id => bases.iter().find(|base| base.base.as_str() == id),
        };
        let parent =
            parent.ok_or_else(|| no_parent(&format!("there is no base backup `{wanted}`")))?;
        chain(&bases, &parent.base).map_err(|broken| no_parent(&broken.to_string()))?;
        let to = staging.join("parent_manifest");
        let (sink, mut chunks) = mpsc::channel::<Bytes>(4);
        let reading = parts(self.store.as_ref(), parent, BACKUP_MANIFEST, sink);
        let gathering = async {
            let mut gathered = Vec::new();
            while let Some(chunk) = chunks.recv().await {
                gathered.extend_from_slice(&chunk);
            }
            gathered
        };
        let (read, gathered) = tokio::join!(reading, gathering);
        read?;
        let text =
            zstd::decode_all(&gathered[..]).and_then(|text| files::write_durably(&to, &text));
        text.map_err(|error| self.no_staging(staging, &error))?;
        Ok(Some(parent.clone()))
    }

    async fn copy(
        &self,
        session: &Session,
        staging: &Path,
        parent: Option<&BaseManifest>,
    ) -> Result<Copied, StepError> {
        let data = staging.join("data");
        let (bin, major) = (self.input.bin.as_deref(), self.server.major());
        let pg_basebackup = server_programs::find(self.ctx, bin, "pg_basebackup", major).await?;
        let verify = server_programs::find(self.ctx, bin, "pg_verifybackup", major).await?;
        let mut args: Vec<String> = vec![
            "--format=plain".to_owned(),
            "--wal-method=stream".to_owned(),
            format!(
                "--checkpoint={}",
                if self.input.spread_checkpoint { "spread" } else { "fast" }
            ),
            "--manifest-checksums=SHA256".to_owned(),
            "--no-password".to_owned(),
            "--no-sync".to_owned(),
            format!("--label=runbook {}", self.ctx.id().run),
        ];
        let mut started = args.clone();
        started.push(format!("--pgdata={}", data.display()));
        if let Some(parent) = parent {
            started.push(format!("--incremental={}", staging.join("parent_manifest").display()));
            args.push(format!("--incremental=<{BACKUP_MANIFEST} of {}>", parent.base));
        }
        let pgpass = Pgpass::write(self.ctx, self.target)?;
        let program = pgpass.apply(Program::new(&pg_basebackup.0).args(started));
        self.watched("copy the cluster", &data, programs::run_program(self.ctx, program)).await?;
        let finished = clock(session).await?;
        let checked = self.verify(&verify.0, &data).await?;
        let (data_bytes, _) = files::size_below(&data);
        let range = range(&data)?;
        let record = |name: &str, version: &str, arguments| ProgramRecord {
            name: name.to_owned(),
            version: version.to_owned(),
            arguments,
        };
        let programs = vec![
            record("pg_basebackup", &pg_basebackup.1, args),
            record("pg_verifybackup", &verify.1, checked),
        ];
        Ok(Copied { data, data_bytes, range, finished, programs })
    }

    /// Compares every file, and the WAL where `pg_waldump` lies beside, with the server's manifest.
    async fn verify(&self, program: &str, data: &Path) -> Result<Vec<String>, StepError> {
        let waldump = Path::new(program).with_file_name("pg_waldump");
        let mut args = vec!["--exit-on-error".to_owned()];
        if files::facts(&waldump).is_err() {
            args.push("--no-parse-wal".to_owned());
        }
        let checking = Program::new(program).args(args.clone()).arg(data).env("LC_ALL", "C");
        let checking = programs::run_program(self.ctx, checking);
        self.watched("check the copy", data, checking).await.map_err(|error| {
            if error.class == ErrorClass::Cancelled {
                return error;
            }
            let message = "`pg_verifybackup` found that the copy is not what the server sent";
            let mut found = StepError::transient("RB0623", message)
                .hint("look at the disk of the staging folder; nothing was stored");
            found.causes = error.causes;
            found
        })?;
        Ok(args)
    }

    /// Shows how much is there while something works on it.
    async fn watched<T>(
        &self,
        activity: &str,
        data: &Path,
        work: impl Future<Output = Result<T, StepError>>,
    ) -> Result<T, StepError> {
        futures_util::pin_mut!(work);
        loop {
            let (done, _) = files::size_below(data);
            let total = Some(self.server.bytes.max(done));
            let activity = activity.to_owned();
            self.ctx.progress(Progress { activity, done, total, bytes: true });
            tokio::select! {
                done = &mut work => return done,
                slept = self.ctx.sleep(LOOK) => slept?,
            }
        }
    }

    async fn store_files(
        &self,
        announced: &Announced,
        copied: &Copied,
    ) -> Result<Vec<BaseFile>, StepError> {
        let place = Place {
            ctx: self.ctx.clone(),
            store: Arc::clone(self.store),
            folder: announced.folder(),
            seal: None,
        };
        let tar = Program::new("tar")
            .args(["--create", "--file=-", "--numeric-owner", "--owner=0", "--group=0"])
            .arg("--directory")
            .arg(&copied.data)
            .arg(".");
        let packing = Packing::Zstd(self.input.compression);
        let data = pack_stream(&place, (DATA, FileKind::Dump), packing, async |sink| {
            let (counted, mut chunks) = mpsc::channel::<Bytes>(4);
            let counting = async {
                let mut done = 0;
                while let Some(chunk) = chunks.recv().await {
                    done += chunk.len() as u64;
                    let activity = "store the copy".to_owned();
                    let total = Some(copied.data_bytes.max(done));
                    self.ctx.progress(Progress { activity, done, total, bytes: true });
                    if sink.send(chunk).await.is_err() {
                        return;
                    }
                }
            };
            let sending = async move {
                let sent = programs::send_printed(self.ctx, tar, "tar", &counted).await;
                drop(counted);
                sent
            };
            tokio::join!(sending, counting).0
        });
        let data = data.await?;
        let theirs = copied.data.join(THEIR_MANIFEST).display().to_string();
        let path = (BACKUP_MANIFEST, FileKind::Dump);
        let manifest = pack_stream(&place, path, packing, async |sink| {
            let mut reader = local::open(&theirs)?;
            while let Some(chunk) = reader.read().await? {
                if sink.send(chunk).await.is_err() {
                    break;
                }
            }
            Ok(())
        });
        let stored = [data, manifest.await?];
        let file = |file: model::set::manifest::File| BaseFile {
            path: file.path,
            bytes: file.bytes,
            sha256: file.sha256,
        };
        Ok(stored.map(file).into())
    }

    fn manifest(
        &self,
        announced: &Announced,
        parent: Option<BaseManifest>,
        copied: Copied,
        files: Vec<BaseFile>,
    ) -> BaseManifest {
        let id = self.ctx.id();
        BaseManifest {
            version: VERSION,
            base: announced.id.clone(),
            kind: if parent.is_some() { BaseKind::Incremental } else { BaseKind::Full },
            parent: parent.map(|parent| parent.base),
            label: self.input.label.clone(),
            created: Created { run: id.run, step: id.step.clone(), attempt: id.attempt },
            server: self.server.described(self.target.endpoint()),
            started: self.server.now,
            finished: copied.finished,
            timeline: copied.range.timeline,
            start_lsn: copied.range.start,
            stop_lsn: copied.range.end,
            data_bytes: copied.data_bytes,
            runbook: env!("CARGO_PKG_VERSION").to_owned(),
            programs: copied.programs,
            files,
        }
    }
}

/// The WAL that belongs to the copy.
fn range(data: &Path) -> Result<Range, StepError> {
    let unread = |why: String| {
        let message = "`backup_manifest` of `pg_basebackup` does not say which WAL it needs";
        let mut error = StepError::permanent("RB0623", message);
        error.causes.push(why);
        error
    };
    let text =
        files::read(&data.join(THEIR_MANIFEST)).map_err(|error| unread(error.to_string()))?;
    let theirs: TheirManifest =
        serde_json::from_slice(&text).map_err(|error| unread(error.to_string()))?;
    let start = theirs.ranges.iter().map(|range| range.start).min();
    let last = theirs.ranges.into_iter().max_by_key(|range| range.end);
    let (start, last) = start.zip(last).ok_or_else(|| unread("it names none".to_owned()))?;
    Ok(Range { start, ..last })
}

fn no_parent(why: &str) -> StepError {
    StepError::permanent("RB0624", format!("the base backup to build on is not whole: {why}"))
        .hint("leave `parent` out for a full backup")
}

#[cfg(test)]
mod tests {
    use model::base::BrokenChain;

    use super::*;

    #[test]
    fn what_an_incremental_backup_builds_on_must_be_whole() {
        let id = |text: &str| text.parse().expect("the id is well-formed");
        let broken = BrokenChain::ParentMissing {
            child: id("20261120T140000Z-knktpsst"),
            parent: id("20261120T020000Z-7k3m9q2x"),
        };
        shown::case("RB0624", no_parent(&broken.to_string()).told());
    }

    #[test]
    fn the_wal_of_a_copy_is_read_from_the_servers_manifest() {
        let text = r#"{"PostgreSQL-Backup-Manifest-Version": 1, "Files": [],
            "WAL-Ranges": [{"Timeline": 2, "Start-LSN": "0/7000000", "End-LSN": "0/7000100"},
                           {"Timeline": 1, "Start-LSN": "0/6000028", "End-LSN": "0/7000000"}],
            "Manifest-Checksum": "0"}"#;
        let theirs: TheirManifest = serde_json::from_str(text).unwrap();
        let last = theirs.ranges.iter().max_by_key(|range| range.end).unwrap();
        assert_eq!((last.timeline, last.end.to_string().as_str()), (2, "0/7000100"));
    }
}
