//! The writing, one number after the other.

use std::io::{self, Write};
use std::time::{Duration, Instant, SystemTime};

use tokio::time::{sleep, timeout};
use tokio_postgres::{Client, NoTls};

use super::account::Gap;
use super::{Book, Shared, TABLE};

/// How long one write may take; then the connection is given up.
const PATIENCE: Duration = Duration::from_secs(1);
/// After a failure.
const PAUSE: Duration = Duration::from_millis(100);

/// Writes until the application ends. A number is used once, whatever became of its write.
pub(super) async fn write(shared: &Shared) {
    let mut client: Option<Client> = None;
    let mut number = 0;
    while !shared.has_ended() {
        if std::mem::take(&mut shared.book().restart) {
            client = None;
            start_anew(shared);
        }
        let open = if let Some(client) = client.take() {
            client
        } else {
            let Ok((client, last)) = connect(shared, number).await else {
                sleep(PAUSE).await;
                continue;
            };
            number = last;
            client
        };
        number += 1;
        match insert(&open, number).await {
            Ok(()) => {
                if let Err(error) = shared.book().acknowledge(number) {
                    eprintln!("the ledger cannot keep what was acknowledged: {error}");
                }
                client = Some(open);
                sleep(shared.options.pace).await;
            }
            // Nobody knows what became of it: the next one goes over a new connection.
            Err(_) => sleep(PAUSE).await,
        }
    }
}

fn start_anew(shared: &Shared) {
    shared.names.forget();
    let set = shared.options.setting.as_ref().and_then(|setting| setting());
    shared.book().host = set.unwrap_or_else(|| shared.options.host.clone());
}

/// A connection, and the highest number that was used.
async fn connect(shared: &Shared, used: i64) -> io::Result<(Client, i64)> {
    let config = shared.client()?;
    let opened = async {
        let (client, connection) = config.connect(NoTls).await?;
        tokio::spawn(connection);
        client.batch_execute(TABLE).await?;
        let last = client.query_one("SELECT coalesce(max(number), 0) FROM ledger", &[]).await?;
        Ok::<_, tokio_postgres::Error>((client, last.get::<_, i64>(0)))
    };
    let opened = timeout(PATIENCE * 2, opened).await.map_err(io::Error::other)?;
    let (client, last) = opened.map_err(io::Error::other)?;
    Ok((client, last.max(used)))
}

async fn insert(client: &Client, number: i64) -> io::Result<()> {
    let sql = "INSERT INTO ledger VALUES ($1, clock_timestamp())";
    let written = timeout(PATIENCE, client.execute(sql, &[&number])).await;
    written.map_err(io::Error::other)?.map_err(io::Error::other).map(drop)
}

impl Book {
    /// Keeps what was acknowledged, in memory and in the file.
    fn acknowledge(&mut self, number: i64) -> io::Result<()> {
        let (now, at) = (SystemTime::now(), Instant::now());
        if let Some((last, before)) = self.last {
            let gap = Gap::between(last, at.duration_since(before));
            if self.longest.as_ref().is_none_or(|longest| longest.seconds < gap.seconds) {
                self.longest = Some(gap);
            }
        }
        self.first.get_or_insert(now);
        self.last = Some((now, at));
        self.numbers.push(number);
        writeln!(self.file, "{number} {}", super::account::told(now))
    }
}
