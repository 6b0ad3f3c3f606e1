//! A cluster with the sample databases and copies of them made by `pg_dump` and `pg_restore`.

use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};

use lab::cluster::{Cluster, ClusterOptions, USER, quoted};
use lab::sample;
use model::set::manifest::Scope;
use model::set::{CatalogueObject, Contents};
use steps::pg::{catalogue, connection, settings};
use tokio_postgres::{Client, NoTls};

/// Rows in the application's database.
const ROWS: u32 = 3000;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Sample {
    Application,
    Awkward,
}

impl Sample {
    pub(crate) const ALL: [Self; 2] = [Self::Application, Self::Awkward];

    pub(crate) fn source(self) -> &'static str {
        match self {
            Self::Application => "application",
            Self::Awkward => "awkward",
        }
    }

    pub(crate) fn copy(self) -> &'static str {
        match self {
            Self::Application => "application_copy",
            Self::Awkward => "awkward_copy",
        }
    }

    fn sql(self) -> String {
        match self {
            Self::Application => sample::application(ROWS),
            Self::Awkward => sample::awkward(),
        }
    }
}

pub(crate) struct Fixture {
    pub(crate) cluster: Cluster,
    copies: AtomicU32,
}

impl Fixture {
    /// A server with both samples.
    pub(crate) fn start() -> Self {
        let fixture = Self::of(Sample::Application, &Sample::Application.sql());
        fixture.add(Sample::Awkward, &Sample::Awkward.sql());
        fixture
    }

    /// A server with one database, made by `sql`, in the place of a sample.
    pub(crate) fn of(sample: Sample, sql: &str) -> Self {
        let cluster = Cluster::start(&ClusterOptions::new()).unwrap();
        let fixture = Self { cluster, copies: AtomicU32::new(0) };
        fixture.add(sample, sql);
        fixture
    }

    fn add(&self, sample: Sample, sql: &str) {
        self.cluster.create_database(sample.source()).unwrap();
        self.cluster.execute(sample.source(), sql).unwrap();
    }

    /// Roles and tablespaces.
    pub(crate) fn dump_globals(&self) -> String {
        run(self.cluster.command("pg_dumpall").arg("--globals-only"))
    }

    /// Dumps the sample and restores it into a new database, with its settings.
    pub(crate) async fn restore(&self, sample: Sample, contents: &Contents) {
        self.restore_on(&self.cluster, sample, contents).await;
    }

    /// The same on another server.
    pub(crate) async fn restore_on(&self, to: &Cluster, sample: Sample, contents: &Contents) {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("dump");
        run(self.cluster.command("pg_dump").arg("-Fc").arg("-f").arg(&file).arg(sample.source()));
        to.create_database(sample.copy()).unwrap();
        let mut restore = to.command("pg_restore");
        run(restore.arg("--exit-on-error").arg("-d").arg(sample.copy()).arg(&file));
        let client = connect(to, sample.copy(), USER).await;
        for statement in settings::statements(&contents.objects, sample.copy()) {
            client.batch_execute(&statement).await.unwrap();
        }
    }

    /// A copy of the sample's copy, damaged; gives its name.
    pub(crate) fn damaged(&self, sample: Sample, damage: &str) -> String {
        let number = self.copies.fetch_add(1, Ordering::Relaxed);
        let name = format!("damaged_{number}");
        let (copy, template) = (quoted(&name), quoted(sample.copy()));
        // Settings of the database are not copied with it.
        let sql = format!(
            "CREATE DATABASE {copy} TEMPLATE {template};
             INSERT INTO pg_db_role_setting SELECT n.oid, s.setrole, s.setconfig
             FROM pg_db_role_setting s JOIN pg_database d ON d.oid = s.setdatabase, pg_database n
             WHERE d.datname = '{}' AND n.datname = '{name}'",
            sample.copy()
        );
        self.cluster.execute(USER, &sql).unwrap();
        self.cluster.execute(&name, damage).unwrap();
        name
    }

    /// What the database holds, with counts, hashes and large objects.
    pub(crate) async fn contents(&self, database: &str, scope: &Scope) -> Contents {
        contents_on(&self.cluster, database, scope).await
    }
}

/// What a database of that server holds, with counts, hashes and large objects.
pub(crate) async fn contents_on(cluster: &Cluster, database: &str, scope: &Scope) -> Contents {
    let client = connect(cluster, database, USER).await;
    client.batch_execute("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY").await.unwrap();
    let mut contents = catalogue::capture(&client, scope).await.unwrap();
    catalogue::measure(&client, &mut contents, true).await.unwrap();
    if *scope == Scope::Full {
        catalogue::read_large_objects(&client, &mut contents).await.unwrap();
    }
    client.batch_execute("COMMIT").await.unwrap();
    contents
}

pub(crate) async fn connect(cluster: &Cluster, database: &str, role: &str) -> Client {
    let mut config = tokio_postgres::Config::new();
    config.host_path(cluster.host_dir()).port(cluster.port());
    let (client, pump) = config.user(role).dbname(database).connect(NoTls).await.unwrap();
    tokio::spawn(pump);
    client.batch_execute(connection::PINS).await.unwrap();
    client
}

/// Replaces what a manifest only records by what the source has.
pub(crate) fn keep_recorded(source: &Contents, objects: &mut Vec<CatalogueObject>) {
    let is_recorded = |object: &&CatalogueObject| object.category.compared_from().is_none();
    objects.retain(|object| !is_recorded(&object));
    objects.extend(source.objects.iter().filter(is_recorded).cloned());
    objects.sort();
}

fn run(command: &mut Command) -> String {
    let output = command.output().unwrap();
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{command:?}: {stderr}");
    String::from_utf8(output.stdout).unwrap()
}
