//! What the outside sees of a failover: a writer that keeps what was acknowledged, and a probe
//! that writes to every server all the time. Each write is a connection of its own.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use jiff::Timestamp;

/// How long one write may take.
const PATIENCE: Duration = Duration::from_secs(3);

/// A write that a server acknowledged: when it was begun, and when the answer was there.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Acknowledged {
    pub(crate) number: i32,
    pub(crate) begun: Timestamp,
    pub(crate) ended: Timestamp,
}

/// Writes numbers, one after the other, until it is stopped.
pub(crate) struct Writer {
    stop: Arc<AtomicBool>,
    thread: JoinHandle<Vec<Acknowledged>>,
}

impl Writer {
    /// Writes to `table` of whatever answers at `url`.
    pub(crate) fn start(url: &str, table: &'static str) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let (stopped, url) = (Arc::clone(&stop), url.to_owned());
        let thread = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            let runtime = runtime.unwrap();
            let mut acknowledged = Vec::new();
            for number in 1.. {
                if stopped.load(Ordering::SeqCst) {
                    break;
                }
                let begun = Timestamp::now();
                let written = runtime.block_on(async {
                    tokio::time::timeout(PATIENCE, write(&url, table, number)).await
                });
                if written.is_ok_and(|written| written.is_ok()) {
                    acknowledged.push(Acknowledged { number, begun, ended: Timestamp::now() });
                }
                std::thread::sleep(Duration::from_millis(10));
            }
            acknowledged
        });
        Self { stop, thread }
    }

    /// What was acknowledged, in order.
    pub(crate) fn stop(self) -> Vec<Acknowledged> {
        self.stop.store(true, Ordering::SeqCst);
        self.thread.join().unwrap()
    }
}

async fn write(url: &str, table: &str, number: i32) -> Result<(), tokio_postgres::Error> {
    let (client, connection) = tokio_postgres::connect(url, tokio_postgres::NoTls).await?;
    let pump = tokio::spawn(connection);
    let insert = format!("INSERT INTO {table} VALUES ({number})");
    let written = client.batch_execute(&insert).await;
    drop(client);
    pump.await.ok();
    written
}
