//! Sample data: SQL for an empty database, the same rows at every run.
//!
//! The texts are scripts for `psql`, which [`Cluster::execute`](crate::cluster::Cluster::execute)
//! runs; several databases of one cluster can hold the same sample.

/// A learning platform of about `rows` rows in all: tenants, users, courses, lessons, enrolments,
/// payments, attachments and a partitioned audit log, in the schemas `lms`, `billing` and `audit`,
/// with most of what an application's schema has. 300,000 rows take about 3 s.
pub fn application(rows: u32) -> String {
    format!("{}\\set rows {rows}\n{}", roles(), include_str!("sample/application.sql"))
}

/// The roles of [`application`]: a server that its sets are restored on needs them.
pub fn roles() -> &'static str {
    include_str!("sample/roles.sql")
}

/// A small schema of what copies trip over: rare names, shapes and features. It sets database and
/// role settings and makes an event trigger, so it wants a database of its own.
pub fn awkward() -> String {
    include_str!("sample/awkward.sql").to_owned()
}

/// About `megabytes` of text in four tables of the schema `bulk`, half of it in
/// `bulk.requests`; gzip makes it between four and five times smaller. 1 GB takes about 40 s.
pub fn bulk(megabytes: u32) -> String {
    format!("\\set megabytes {megabytes}\n{}", include_str!("sample/bulk.sql"))
}
