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
    pub(crate) fn start() -> Self {
        let cluster = Cluster::start(&ClusterOptions::new()).unwrap();
        for sample in Sample::ALL {
            cluster.create_database(sample.source()).unwrap();
            cluster.execute(sample.source(), &sample.sql()).unwrap();
        }
        Self { cluster, copies: AtomicU32::new(0) }
    }

    /// Dumps the sample and restores it into a new database, with its settings.
    pub(crate) async fn restore(&self, sample: Sample, contents: &Contents) {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("dump");
        run(self.cluster.command("pg_dump").arg("-Fc").arg("-f").arg(&file).arg(sample.source()));
        self.cluster.create_database(sample.copy()).unwrap();
        let mut restore = self.cluster.command("pg_restore");
        run(restore.arg("--exit-on-error").arg("-d").arg(sample.copy()).arg(&file));
        let client = self.connect(sample.copy()).await;
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
        let client = self.connect(database).await;
        client.batch_execute("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY").await.unwrap();
        let mut contents = catalogue::capture(&client, scope).await.unwrap();
        catalogue::measure(&client, &mut contents, true).await.unwrap();
        if *scope == Scope::Full {
            catalogue::read_large_objects(&client, &mut contents).await.unwrap();
        }
        client.batch_execute("COMMIT").await.unwrap();
        contents
    }

    async fn connect(&self, database: &str) -> Client {
        let mut config = tokio_postgres::Config::new();
        config.host_path(self.cluster.host_dir()).port(self.cluster.port());
        let (client, pump) = config.user(USER).dbname(database).connect(NoTls).await.unwrap();
        tokio::spawn(pump);
        client.batch_execute(connection::PINS).await.unwrap();
        client
    }
}

/// Replaces what a manifest only records by what the source has.
pub(crate) fn keep_recorded(source: &Contents, objects: &mut Vec<CatalogueObject>) {
    let is_recorded = |object: &&CatalogueObject| object.category.compared_from().is_none();
    objects.retain(|object| !is_recorded(&object));
    objects.extend(source.objects.iter().filter(is_recorded).cloned());
    objects.sort();
}

fn run(command: &mut Command) {
    let output = command.output().unwrap();
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{command:?}: {stderr}");
}
