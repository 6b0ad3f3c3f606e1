//! `runbook backups list|show`.

use std::path::Path;
use std::sync::Arc;

use engine::clock::{Clock as _, RealClock};
use engine::settings::StoreSettings;
use jiff::{Timestamp, Unit};
use model::proof::{Level, Proof};
use model::set::Manifest;
use model::set::layout::{MANIFEST, PROOFS};
use model::step_error::StepError;
use serde_json::json;
use steps::store::sets::{self, Found, StoredSet};
use steps::store::{self, Store, StoreError};
use tokio_util::sync::CancellationToken;

use crate::cli::{BackupsList, BackupsShow, Format};
use crate::exit::Exit;
use crate::failure::Failure;
use crate::show::plan::word;
use crate::show::{amount, print, table};

/// No manifest or proof is larger, in bytes.
const LARGEST: u64 = 256 << 20;

pub(crate) async fn list(args: &BackupsList) -> Result<Exit, Failure> {
    let found = find(&args.store, args.database.as_deref()).await?;
    match args.format {
        Format::Text => print_list(&found),
        Format::Json => print::json(&json!({
            "sets": found.sets.iter().map(description).collect::<Vec<_>>(),
            "broken": found.broken.iter().map(|broken| json!({"folder": broken.folder, "why": broken.why.to_string()})).collect::<Vec<_>>(),
        })),
    }
    Ok(Exit::Done)
}

fn print_list(found: &Found) {
    let now = RealClock.now();
    let rows = found.sets.iter().map(|set| row(set, now));
    let header = ["set", "database", "label", "age", "size", "scope", "proved", "proven"];
    print::text(&(table::plain(&header, rows) + "\n"));
    for broken in &found.broken {
        print::message(&format!("warning: `{}` is no backup: {}\n", broken.folder, broken.why));
    }
    if found.sets.is_empty() {
        print::message("no sets\n");
    }
}

fn row(set: &StoredSet, now: Timestamp) -> Vec<String> {
    let proven = if set.facts.proven { "yes" } else { "NO" };
    vec![
        set.facts.set.to_string(),
        set.database.clone(),
        set.facts.label.clone().unwrap_or_default(),
        age(set.facts.taken, now),
        amount::bytes(set.bytes),
        set.scope_in_words(),
        level(set.level),
        proven.to_owned(),
    ]
}

fn age(taken: Timestamp, now: Timestamp) -> String {
    let age = now.since((Unit::Hour, taken)).ok();
    age.map_or_else(
        || "?".to_owned(),
        |age| amount::duration(age.total(Unit::Second).unwrap_or_default()),
    )
}

fn level(level: Option<Level>) -> String {
    level.map_or_else(|| "-".to_owned(), |level| word(&level))
}

fn description(set: &StoredSet) -> serde_json::Value {
    json!({
        "set": set.facts.set,
        "database": set.database,
        "label": set.facts.label,
        "taken": set.facts.taken,
        "bytes": set.bytes,
        "scope": set.scope_in_words(),
        "level": set.level,
        "proven": set.facts.proven,
        "pinned": set.facts.pinned,
    })
}

pub(crate) async fn show(args: &BackupsShow) -> Result<Exit, Failure> {
    let found = find(&args.store, Some(&args.database)).await?;
    let set = match args.set.as_str() {
        "latest" => found.sets.iter().find(|set| set.facts.proven),
        id => found.sets.iter().find(|set| set.facts.set.as_str() == id),
    };
    let set = set.ok_or_else(|| none(args))?;
    let store = open(&args.store)?;
    let manifest = manifest(store.as_ref(), set).await?;
    let proofs = proofs(store.as_ref(), set).await?;
    match args.format {
        Format::Text => print::text(&page(set, &manifest, &proofs)),
        Format::Json => {
            print::json(&json!({"set": description(set), "manifest": manifest, "proofs": proofs}));
        }
    }
    Ok(Exit::Done)
}

fn none(args: &BackupsShow) -> Failure {
    let what =
        if args.set == "latest" { "proven set".to_owned() } else { format!("set `{}`", args.set) };
    Failure::new(
        Exit::Invalid,
        "RB0907",
        format!("there is no {what} of database `{}` in `{}`", args.database, args.store),
    )
    .help(format!("`runbook backups list --store {}` shows what there is", args.store))
}

fn page(set: &StoredSet, manifest: &Manifest, proofs: &[Proof]) -> String {
    let contents = &manifest.contents;
    let rows: u64 = contents.tables.iter().filter_map(|table| table.rows).sum();
    let facts = [
        ("set", set.facts.set.to_string()),
        ("database", set.database.clone()),
        ("label", set.facts.label.clone().unwrap_or_default()),
        ("snapshot", manifest.server.snapshot_time.to_string()),
        (
            "server",
            format!("PostgreSQL {} at {}", manifest.server.version, manifest.server.endpoint),
        ),
        ("size", amount::bytes(set.bytes)),
        ("format", manifest.format.to_string()),
        (
            "holds",
            format!(
                "{} tables, {rows} rows, {} definitions",
                contents.tables.len(),
                contents.objects.len()
            ),
        ),
        ("files", manifest.files.len().to_string()),
        ("proven", if set.facts.proven { "yes".to_owned() } else { "NO".to_owned() }),
    ];
    let facts = facts.map(|(name, value)| vec![name.to_owned(), value]);
    let mut page = table::plain(&["", ""], facts).trim_start().to_owned() + "\n";
    let proofs = proofs.iter().map(|proof| {
        let verdict = if proof.passed {
            "passed".to_owned()
        } else {
            format!("FAILED, {} differences", proof.difference_count)
        };
        vec![
            proof.finished.to_string(),
            word(&proof.asked),
            verdict,
            proof.checked.to_string(),
            proof.run.to_string(),
        ]
    });
    page.push('\n');
    page.push_str(&table::plain(&["proved at", "level", "verdict", "checked", "run"], proofs));
    page.push('\n');
    page
}

async fn manifest(store: &dyn Store, set: &StoredSet) -> Result<Manifest, Failure> {
    let bytes = store::read_bytes(store, &format!("{}/{MANIFEST}", set.folder), LARGEST)
        .await
        .map_err(unread)?;
    Manifest::from_json(&bytes).map_err(|error| damaged(&error))
}

async fn proofs(store: &dyn Store, set: &StoredSet) -> Result<Vec<Proof>, Failure> {
    let mut proofs = Vec::new();
    for object in store.list(&format!("{}/{PROOFS}", set.folder)).await.map_err(unread)? {
        let bytes = store::read_bytes(store, &object.path, LARGEST).await.map_err(unread)?;
        proofs.push(Proof::from_json(&bytes).map_err(|error| damaged(&error))?);
    }
    Ok(proofs)
}

fn damaged(error: &dyn std::fmt::Display) -> Failure {
    Failure::new(Exit::Damaged, "RB0908", "the set changed while it was read").why(error)
}

async fn find(url: &str, database: Option<&str>) -> Result<Found, Failure> {
    let store = open(url)?;
    let cancel = CancellationToken::new();
    sets::find(store.as_ref(), database, Level::Identical, &cancel).await.map_err(Failure::from)
}

/// Opens a store to look at it; one that is not there is not made.
fn open(url: &str) -> Result<Arc<dyn Store>, Failure> {
    let path = url.strip_prefix("file://").filter(|path| !path.contains('%'));
    if path.is_some_and(|path| engine::files::facts(Path::new(path)).is_err()) {
        let message = format!("there is no store at `{url}`");
        return Err(Failure::new(Exit::Invalid, "RB0913", message).help("check the URL"));
    }
    store::open(&StoreSettings::at(url)).map_err(unread)
}

fn unread(error: StoreError) -> Failure {
    Failure::from(StepError::from(error))
}
