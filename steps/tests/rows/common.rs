//! A living database, a copy of an earlier moment of it, and what both hold.

use std::path::PathBuf;
use std::sync::Arc;

use engine::context::StepContext;
use engine::memory_host::MemoryHost;
use engine::settings::ConnectionSettings;
use engine::step::Observation;
use lab::cluster::{Cluster, ClusterOptions};
use model::node::Node;
use model::step_error::StepError;
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio_util::sync::CancellationToken;

/// A shop with keys and references of most shapes.
pub(crate) const SHOP: &str = r#"
create table tenants (id int primary key, name text not null);
create table products (id serial primary key, name text not null);
create table customers (
  id int generated always as identity primary key, tenant int not null references tenants,
  email text unique, referrer int references customers, note jsonb, updated_at timestamptz);
create table orders (
  tenant int, no int, customer int not null references customers on delete cascade,
  total numeric(10,2), doubled numeric generated always as (total * 2) stored,
  primary key (tenant, no));
create table items (
  tenant int, no int, line int, product int references products,
  primary key (tenant, no, line), foreign key (tenant, no) references orders on delete cascade);
create table "Größe x" (
  "select" int primary key, "a""b" text, customer int references customers on delete cascade);
create table visits (
  id int, at date, customer int references customers on delete cascade, primary key (id, at))
  partition by range (at);
create table visits_early partition of visits for values from ('2026-01-01') to ('2026-07-01');
create table visits_late partition of visits for values from ('2026-07-01') to ('2027-01-01');
insert into tenants values (1, 'north'), (2, 'south');
insert into products (name) values ('apple'), ('pear'), ('plum');
insert into customers (tenant, email, referrer, note, updated_at) values
  (1, 'ann@example.com', null, '{"vip": true}', '2026-11-01 10:00Z'),
  (1, 'bob@example.com', 1, null, '2026-11-02 10:00Z'),
  (2, E'c\t\\y\n@example.com', 2, '[]', '2026-11-03 10:00Z'),
  (2, 'dan@example.com', null, null, '2026-11-04 10:00Z');
insert into orders (tenant, no, customer, total) values
  (1, 1, 1, 10.50), (1, 2, 1, 99.99), (1, 3, 2, 0), (2, 1, 4, 7);
insert into items values (1, 1, 1, 1), (1, 1, 2, 2), (1, 2, 1, 2), (2, 1, 1, 3);
insert into "Größe x" values (7, E'it''s "so"', 1), (8, null, 4);
insert into visits values (1, '2026-03-01', 1), (2, '2026-09-01', 1), (3, '2026-09-02', 4);
"#;

/// The accident: customer 1, and by the foreign keys all that is hers.
pub(crate) const ACCIDENT: &str =
    "update customers set referrer = null where referrer = 1; delete from customers where id = 1";

pub(crate) struct Ground {
    pub(crate) cluster: Cluster,
    pub(crate) host: Arc<MemoryHost>,
    folder: TempDir,
}

pub(crate) fn connection(name: &str, url: &str, protected: bool) -> ConnectionSettings {
    ConnectionSettings {
        name: name.to_owned(),
        url: Some(url.into()),
        protected,
        ..ConnectionSettings::default()
    }
}

pub(crate) fn host(connections: Vec<ConnectionSettings>) -> Arc<MemoryHost> {
    let now = "2026-11-20T03:00:00Z".parse().unwrap();
    let host = MemoryHost::new(now, std::env::temp_dir());
    Arc::new(connections.into_iter().fold(host, MemoryHost::with_connection))
}

pub(crate) fn context(host: &Arc<MemoryHost>) -> StepContext {
    host.context("tested", 1, CancellationToken::new())
}

/// The key, with `more` over it.
pub(crate) fn with(mut base: Value, more: Value) -> Value {
    let Value::Object(more) = more else { panic!("keys are a mapping") };
    base.as_object_mut().unwrap().extend(more);
    base
}

pub(crate) async fn run(kind: &str, with: Value, ctx: &StepContext) -> Result<Value, StepError> {
    let step = steps::REGISTRY.step(kind).unwrap();
    let node = Node::from_json(&with);
    step.check(&node).unwrap_or_else(|problems| panic!("{problems:?}"));
    step.run(&node, ctx).await
}

pub(crate) async fn observe(kind: &str, with: &Value, ctx: &StepContext) -> Observation<Value> {
    let step = steps::REGISTRY.step(kind).unwrap();
    step.observe(&Node::from_json(with), ctx).await.unwrap()
}

impl Ground {
    /// The database `shop` with `sql`; `prod` leads to it, `copy` to a copy of it.
    pub(crate) fn with(sql: &str) -> Self {
        let cluster = Cluster::start(&ClusterOptions::new()).unwrap();
        cluster.create_database("shop").unwrap();
        cluster.execute("shop", sql).unwrap();
        let host = host(vec![
            connection("prod", &cluster.url("shop"), true),
            connection("copy", &cluster.url("copy"), false),
        ]);
        let ground = Self { cluster, host, folder: tempfile::tempdir().unwrap() };
        ground.copy();
        ground
    }

    pub(crate) fn shop() -> Self {
        Self::with(SHOP)
    }

    /// A shop whose customer 1 was deleted after the copy was made.
    pub(crate) fn after_the_accident() -> Self {
        let ground = Self::shop();
        ground.sql(ACCIDENT);
        ground
    }

    /// Copies the database as it is now.
    pub(crate) fn copy(&self) {
        let again = "drop database if exists copy with (force)";
        self.cluster.execute("postgres", again).unwrap();
        self.cluster.execute("postgres", "create database copy template shop").unwrap();
    }

    pub(crate) fn sql(&self, sql: &str) {
        self.cluster.execute("shop", sql).unwrap();
    }

    pub(crate) fn one(&self, sql: &str) -> String {
        self.cluster.query_one("shop", sql).unwrap()
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Every row of a database, by `pg_dump`.
    pub(crate) fn rows(&self, database: &str) -> Vec<String> {
        let mut dump = self.cluster.command("pg_dump");
        dump.args(["--data-only", "--inserts", database]);
        let output = dump.output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let text = String::from_utf8(output.stdout).unwrap();
        let mut rows: Vec<String> = text
            .split("\nINSERT INTO ")
            .skip(1)
            .map(|row| row.split(");\n").next().unwrap().trim_end_matches(");").to_owned())
            .collect();
        rows.sort_unstable();
        rows
    }

    /// Every definition of a database, by `pg_dump`.
    pub(crate) fn definitions(&self, database: &str) -> String {
        let output =
            self.cluster.command("pg_dump").args(["--schema-only", database]).output().unwrap();
        let text = String::from_utf8(output.stdout).unwrap();
        let lines = text.lines().filter(|line| !line.contains("restrict "));
        lines.collect::<Vec<_>>().join("\n")
    }

    /// Takes rows out of the copy, into the folder `rows` unless `keys` say otherwise.
    pub(crate) async fn extract(&self, keys: Value) -> Result<Value, StepError> {
        let base = json!({"connection": "copy", "database": "shop", "to": self.path("rows")});
        run("pg.extract_rows", with(base, keys), &context(&self.host)).await
    }

    /// Brings the folder `rows` back, with its undo in `undo`, unless `keys` say otherwise.
    pub(crate) async fn restore(&self, keys: Value) -> Result<Value, StepError> {
        run("pg.restore_rows", self.restoring(keys), &context(&self.host)).await
    }

    /// What [`Ground::restore`] asks for.
    pub(crate) fn restoring(&self, keys: Value) -> Value {
        let base = json!({"connection": "prod", "from": self.path("rows"),
                          "undo_bundle": self.path("undo")});
        with(base, keys)
    }

    pub(crate) async fn preview(&self, keys: Value) -> Result<Value, StepError> {
        let keys = with(json!({"preview": true}), keys);
        self.restore(keys).await
    }

    /// Takes back what [`Ground::restore`] did.
    pub(crate) async fn undo(&self, keys: Value) -> Result<Value, StepError> {
        let base = json!({"connection": "prod", "undo": self.path("undo")});
        run("pg.restore_rows", with(base, keys), &context(&self.host)).await
    }

    /// Takes customer 1 out of the copy, with all that is hers.
    pub(crate) async fn extract_ann(&self) -> Value {
        let keys = json!({"table": "customers", "where": "id = $1", "params": [1]});
        self.extract(keys).await.unwrap()
    }
}
