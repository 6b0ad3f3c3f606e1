//! What became of the writes, and the paths of the application.

use std::collections::BTreeSet;
use std::io;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use serde::{Deserialize, Serialize};
use tokio::time::timeout;
use tokio_postgres::NoTls;

use super::Shared;

/// How long the database may take to tell what it has.
const PATIENCE: Duration = Duration::from_secs(5);

/// The account of the application.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Account {
    /// How many writes were acknowledged.
    pub acknowledged: usize,
    /// How many of these the database it writes to now does not have; unknown while it does not
    /// answer.
    pub lost: Option<usize>,
    /// The first of the lost ones.
    pub first_lost: Option<i64>,
    /// The longest time without an acknowledged write.
    pub longest_gap: Option<Gap>,
    /// When the first write was acknowledged.
    pub first: Option<String>,
    /// When the last write was acknowledged.
    pub last: Option<String>,
    /// The server it writes to.
    pub database: Option<String>,
}

/// A time without an acknowledged write.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Gap {
    /// How long it was.
    pub seconds: f64,
    /// The last write before it.
    pub from: String,
    /// The first write after it; nothing while it goes on.
    pub until: Option<String>,
}

impl Gap {
    pub(super) fn between(from: SystemTime, length: Duration) -> Self {
        let until = Some(told(from + length));
        Self { seconds: rounded(length), from: told(from), until }
    }
}

fn rounded(length: Duration) -> f64 {
    (length.as_secs_f64() * 1000.0).round() / 1000.0
}

/// A time as it is told.
pub(super) fn told(time: SystemTime) -> String {
    jiff::Timestamp::try_from(time).map_or_else(|_| String::new(), |time| format!("{time:.3}"))
}

pub(super) fn app(shared: Arc<Shared>) -> Router {
    Router::new()
        .route("/health", get(health))
        .route("/restart", post(restart))
        .route("/account", get(account))
        .with_state(shared)
}

async fn health(State(shared): State<Arc<Shared>>) -> Response {
    if shared.is_healthy() {
        return "writes are acknowledged\n".into_response();
    }
    (StatusCode::SERVICE_UNAVAILABLE, "no write was acknowledged in the last 2 s\n").into_response()
}

async fn restart(State(shared): State<Arc<Shared>>) -> StatusCode {
    shared.book().restart = true;
    StatusCode::ACCEPTED
}

async fn account(State(shared): State<Arc<Shared>>) -> Json<Account> {
    // First what was acknowledged, then what is there: a write in between is not counted as lost.
    let mut account = acknowledged(&shared);
    let numbers: BTreeSet<i64> = shared.book().numbers.iter().copied().collect();
    account.acknowledged = numbers.len();
    if let Ok(Ok((database, kept))) = timeout(PATIENCE, kept(&shared)).await {
        let mut lost = numbers.iter().filter(|number| !kept.contains(number));
        account.first_lost = lost.clone().next().copied();
        account.lost = Some(lost.by_ref().count());
        account.database = Some(database);
    }
    Json(account)
}

fn acknowledged(shared: &Shared) -> Account {
    let book = shared.book();
    let mut longest = book.longest.clone();
    if let Some((last, at)) = book.last {
        let now = rounded(at.elapsed());
        if longest.as_ref().is_none_or(|longest| longest.seconds < now) {
            longest = Some(Gap { seconds: now, from: told(last), until: None });
        }
    }
    Account {
        acknowledged: book.numbers.len(),
        lost: None,
        first_lost: None,
        longest_gap: longest,
        first: book.first.map(told),
        last: book.last.map(|(last, _)| told(last)),
        database: None,
    }
}

/// The numbers that the database has, and where it is.
async fn kept(shared: &Shared) -> io::Result<(String, BTreeSet<i64>)> {
    let config = shared.client()?;
    let (client, connection) = config.connect(NoTls).await.map_err(io::Error::other)?;
    let driven = tokio::spawn(connection);
    let rows = client.query("SELECT number FROM ledger", &[]).await.map_err(io::Error::other)?;
    driven.abort();
    let address = config.get_hostaddrs().first().map(ToString::to_string).unwrap_or_default();
    let port = shared.options.port;
    Ok((format!("{address}:{port}"), rows.iter().map(|row| row.get(0)).collect()))
}
