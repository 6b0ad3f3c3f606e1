//! A small application: it writes a numbered ledger into its database all the time, finds the
//! database by name as any client does, and keeps for itself what was acknowledged.
//!
//! `GET /health` answers 200 while writes are acknowledged, `POST /restart` makes it read where its
//! database is again, `GET /account` tells what became of its writes.

mod account;
mod resolve;
mod writer;

use std::fs::File;
use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant, SystemTime};

pub use self::account::{Account, Gap};
use self::resolve::Names;
use crate::http::Server;

/// The table, made when it is not there.
const TABLE: &str = "CREATE TABLE IF NOT EXISTS ledger \
                     (number bigint PRIMARY KEY, written_at timestamptz NOT NULL)";
/// Without an acknowledged write for so long, the application is not healthy.
const HEALTHY: Duration = Duration::from_secs(2);

/// Tells where the database is instead of the name of [`LedgerOptions`]; it is asked at a restart.
pub type Setting = Arc<dyn Fn() -> Option<String> + Send + Sync>;

/// How the application is set up.
#[derive(Clone)]
pub struct LedgerOptions {
    /// The name server it asks.
    pub dns: SocketAddr,
    /// The name of its database's server.
    pub host: String,
    /// The port.
    pub port: u16,
    /// The role.
    pub user: String,
    /// Its password.
    pub password: String,
    /// The database.
    pub database: String,
    /// The file that acknowledged writes are appended to.
    pub file: PathBuf,
    /// Time between two writes.
    pub pace: Duration,
    /// Where the host is read at a restart.
    pub setting: Option<Setting>,
}

/// What was acknowledged, and when nothing was.
struct Book {
    file: File,
    numbers: Vec<i64>,
    first: Option<SystemTime>,
    last: Option<(SystemTime, Instant)>,
    longest: Option<Gap>,
    host: String,
    restart: bool,
}

/// What the writer and the server share.
struct Shared {
    options: LedgerOptions,
    book: Mutex<Book>,
    names: Names,
    ended: AtomicBool,
}

impl Shared {
    fn book(&self) -> MutexGuard<'_, Book> {
        self.book.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn has_ended(&self) -> bool {
        self.ended.load(Ordering::Relaxed)
    }

    /// Whether a write was acknowledged a short time ago.
    fn is_healthy(&self) -> bool {
        self.book().last.is_some_and(|(_, at)| at.elapsed() <= HEALTHY)
    }

    /// How a client connects now: by the address that the name has.
    fn client(&self) -> io::Result<tokio_postgres::Config> {
        let host = self.book().host.clone();
        let address = self.names.address(&host)?;
        let LedgerOptions { port, user, password, database, .. } = &self.options;
        let mut config = tokio_postgres::Config::new();
        config
            .host(&host)
            .hostaddr(address.into())
            .port(*port)
            .user(user)
            .password(password)
            .dbname(database)
            .application_name("ledger")
            .connect_timeout(Duration::from_secs(1));
        Ok(config)
    }
}

/// The running application. Dropping it ends it.
pub struct Ledger {
    shared: Arc<Shared>,
    server: Server,
    writer: Option<JoinHandle<()>>,
}

impl Ledger {
    /// Starts to write.
    pub fn start(options: LedgerOptions) -> io::Result<Self> {
        let file = File::options().create(true).append(true).open(&options.file)?;
        let book = Book {
            file,
            numbers: Vec::new(),
            first: None,
            last: None,
            longest: None,
            host: options.host.clone(),
            restart: false,
        };
        let names = Names::of(options.dns);
        let (book, ended) = (Mutex::new(book), AtomicBool::new(false));
        let shared = Arc::new(Shared { options, book, names, ended });
        let server = Server::start("ledger", account::app(Arc::clone(&shared)))?;
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let own = Arc::clone(&shared);
        let writer =
            std::thread::Builder::new().name("ledger-writer".to_owned()).spawn(move || {
                runtime.block_on(writer::write(&own));
                runtime.shutdown_background();
            })?;
        Ok(Self { shared, server, writer: Some(writer) })
    }

    /// Where it answers.
    pub fn url(&self) -> String {
        format!("http://{}", self.server.address)
    }

    /// Whether a write was acknowledged a short time ago.
    pub fn is_healthy(&self) -> bool {
        self.shared.is_healthy()
    }

    /// Lets it read again where its database is, and connect anew.
    pub fn restart(&self) {
        self.shared.book().restart = true;
    }
}

impl Drop for Ledger {
    fn drop(&mut self) {
        self.shared.ended.store(true, Ordering::Relaxed);
        if let Some(writer) = self.writer.take() {
            // Its panic has been reported.
            drop(writer.join());
        }
    }
}
