//! Private PostgreSQL clusters: a server of one's own on a socket and a loopback port, gone with
//! the value that holds it.
//!
//! Clusters lie in `runbook-lab-<uid>` in the temporary folder. Those of a process that was killed
//! are stopped and removed by the next process that starts one.

mod archiving;
mod copy;
mod error;
mod home;
mod programs;
mod standby;
mod template;

use std::fs::{self, File};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use url::Url;

use self::error::Attempt;
pub use self::error::ClusterError;
use self::home::{Claimed, Home};
use self::programs::{Programs, output, output_for};
use self::template::Template;

/// The superuser of every cluster.
pub const USER: &str = "postgres";

/// How often another port is drawn when somebody else took the first one.
const PORT_DRAWS: usize = 5;

/// How a cluster is made.
#[derive(Clone, Debug, Default)]
pub struct ClusterOptions {
    own_identity: bool,
    settings: Vec<(String, String)>,
}

impl ClusterOptions {
    /// A cluster copied from the template, with its settings.
    pub fn new() -> Self {
        Self::default()
    }

    /// Gives the cluster a system identifier of its own, at the price of an `initdb` (about 1 s).
    /// Otherwise all clusters on a machine are physical copies of one and share it.
    #[must_use]
    pub fn own_identity(mut self) -> Self {
        self.own_identity = true;
        self
    }

    /// Adds a line to `postgresql.conf`.
    #[must_use]
    pub fn setting(mut self, name: &str, value: &str) -> Self {
        self.settings.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Makes and starts the cluster.
    pub fn start(&self) -> Result<Cluster, ClusterError> {
        Cluster::start(self)
    }
}

/// A private cluster. Dropping it stops the server at once and removes its folder, unless it was
/// detached.
pub struct Cluster {
    folder: PathBuf,
    programs: Programs,
    port: u16,
    password: String,
    owner: Option<File>,
}

impl std::fmt::Debug for Cluster {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Cluster")
            .field("folder", &self.folder)
            .field("port", &self.port)
            .finish_non_exhaustive()
    }
}

impl Cluster {
    /// Makes a cluster and starts its server. Blocks for about 0.3 s; the first one of a server
    /// version takes a second more.
    pub fn start(options: &ClusterOptions) -> Result<Self, ClusterError> {
        static SWEPT: OnceLock<()> = OnceLock::new();
        let programs = Programs::find()?;
        let home = Home::open()?;
        if SWEPT.set(()).is_ok() {
            home.sweep(&programs)?;
        }
        let Claimed { path, owner } = home.claim(programs.account())?;
        let mut cluster =
            Self { folder: path, programs, port: 0, password: String::new(), owner: Some(owner) };
        cluster.initialise(&home, options)?;
        if let Err(error) = cluster.start_on_a_free_port() {
            // The folder stays for its log; the next process sweeps it.
            std::mem::forget(cluster);
            return Err(error);
        }
        Ok(cluster)
    }

    /// Takes up a cluster that was detached, by its folder. Dropping the value leaves it running.
    pub fn attach(folder: &Path) -> Result<Self, ClusterError> {
        let foreign =
            |reason: String| ClusterError::NotACluster { folder: folder.to_path_buf(), reason };
        let recorded = fs::read_to_string(port_file(folder))
            .map_err(|error| foreign(format!("cannot read its port: {error}")))?;
        let port =
            recorded.parse().map_err(|error| foreign(format!("its port is no number: {error}")))?;
        Ok(Self {
            folder: folder.to_path_buf(),
            programs: Programs::find()?,
            port,
            password: template::password_in(folder)?,
            owner: None,
        })
    }

    /// Lets the server outlive this process and gives its folder, for [`Cluster::attach`].
    pub fn detach(mut self) -> Result<PathBuf, ClusterError> {
        if self.owner.take().is_some() {
            home::release(&self.folder)?;
        }
        Ok(self.folder.clone())
    }

    /// Stops the server at once and removes the folder, also of an attached cluster.
    pub fn destroy(mut self) -> Result<(), ClusterError> {
        self.owner = None;
        home::remove(&self.folder, &self.programs)
    }

    /// The server's address by TCP, with the superuser's password.
    pub fn url(&self, database: &str) -> String {
        let mut url = base_url("postgresql://127.0.0.1", database);
        let has_authority = "the address has a host";
        url.set_username(USER).expect(has_authority);
        url.set_password(Some(&self.password)).expect(has_authority);
        url.set_port(Some(self.port)).expect(has_authority);
        url.into()
    }

    /// The server's address by socket, where no password is asked.
    pub fn socket_url(&self, database: &str) -> String {
        let mut url = base_url("postgresql://", database);
        url.query_pairs_mut()
            .append_pair("host", &self.folder.to_string_lossy())
            .append_pair("port", &self.port.to_string())
            .append_pair("user", USER);
        url.into()
    }

    /// The folder of the socket: what `PGHOST` takes.
    pub fn host_dir(&self) -> &Path {
        &self.folder
    }

    /// The port, for socket and TCP alike.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// The superuser's password, asked for by TCP only.
    pub fn password(&self) -> &str {
        &self.password
    }

    /// The data folder.
    pub fn data_dir(&self) -> PathBuf {
        self.folder.join("data")
    }

    /// The server's log.
    pub fn log(&self) -> PathBuf {
        self.folder.join("log")
    }

    /// The path of one of this server version's programs, such as `pg_dump`.
    pub fn program(&self, name: &str) -> PathBuf {
        self.programs.path(name)
    }

    /// One of this server version's programs in a clean environment that leads to this cluster.
    pub fn command(&self, program: &str) -> Command {
        let mut command = self.programs.command(program);
        command
            .env("PGHOST", &self.folder)
            .env("PGPORT", self.port.to_string())
            .env("PGUSER", USER);
        command
    }

    /// Runs SQL statements one by one, each in a transaction of its own, as `psql` does; the first
    /// error ends it.
    pub fn execute(&self, database: &str, sql: &str) -> Result<(), ClusterError> {
        self.psql(database, sql).map(drop)
    }

    /// Runs a query that gives one row and hands back its text, columns divided by `|`.
    pub fn query_one(&self, database: &str, sql: &str) -> Result<String, ClusterError> {
        let mut rows = self.query(database, sql)?;
        if rows.len() == 1 {
            return Ok(rows.remove(0));
        }
        Err(ClusterError::NotOneRow { rows: rows.len(), sql: sql.to_owned() })
    }

    /// Runs a query and hands back the text of its rows, columns divided by `|`.
    pub fn query(&self, database: &str, sql: &str) -> Result<Vec<String>, ClusterError> {
        let text = self.psql(database, sql)?;
        let rows = text.split_terminator('\0');
        Ok(rows.map(str::to_owned).collect())
    }

    /// Makes an empty database from `template0`.
    pub fn create_database(&self, name: &str) -> Result<(), ClusterError> {
        let sql = format!("CREATE DATABASE {} TEMPLATE template0", quoted(name));
        self.execute(USER, &sql)
    }

    /// Drops a database and ends the sessions in it. One that does not exist is an error.
    pub fn drop_database(&self, name: &str) -> Result<(), ClusterError> {
        let sql = format!("DROP DATABASE {} WITH (FORCE)", quoted(name));
        self.execute(USER, &sql)
    }

    /// Stops the server, ending its sessions, and keeps its data.
    pub fn stop(&self) -> Result<(), ClusterError> {
        self.control(&["stop", "--mode=fast"])
    }

    /// Starts a stopped server again, on the same port.
    pub fn start_again(&self) -> Result<(), ClusterError> {
        let log = self.log();
        let started = output(
            self.programs
                .server_command("pg_ctl")
                .args(["start", "--wait", "--silent", "--timeout=120", "--log"])
                .arg(&log)
                .arg("--pgdata")
                .arg(self.data_dir()),
        );
        match started {
            Err(ClusterError::Program { stderr, .. }) => {
                Err(ClusterError::Start { message: stderr, tail: last_lines(&log), log })
            }
            other => other.map(drop),
        }
    }

    fn control(&self, order: &[&str]) -> Result<(), ClusterError> {
        let mut command = self.programs.server_command("pg_ctl");
        command.args(order).args(["--wait", "--silent", "--pgdata"]);
        output(command.arg(self.data_dir())).map(drop)
    }

    fn psql(&self, database: &str, sql: &str) -> Result<String, ClusterError> {
        let mut command = self.command("psql");
        command
            .env("PGDATABASE", database)
            .args(["--no-psqlrc", "--quiet", "--tuples-only", "--no-align"])
            .args(["--record-separator-zero", "--set=ON_ERROR_STOP=1"])
            .arg("--file=-");
        output_for(&mut command, sql)
    }

    fn initialise(&mut self, home: &Home, options: &ClusterOptions) -> Result<(), ClusterError> {
        if options.own_identity {
            template::initialise(&self.folder, &self.programs)?;
        } else {
            Template::ready(home, &self.programs)?.copy_to(&self.folder)?;
        }
        self.password = template::password_in(&self.folder)?;
        let folder = self.folder.to_string_lossy();
        let mut lines = vec![
            format!("unix_socket_directories = {}", literal(&folder)),
            "include = 'port.conf'".to_owned(),
        ];
        let settings = options.settings.iter();
        lines.extend(settings.map(|(name, value)| format!("{name} = {}", literal(value))));
        let text = lines.join("\n") + "\n";
        template::append(&self.data_dir().join("postgresql.conf"), &text)
    }

    fn start_on_a_free_port(&mut self) -> Result<(), ClusterError> {
        for draw in 1.. {
            self.port = free_port()?;
            self.write_port()?;
            match self.start_again() {
                Err(ClusterError::Start { tail, .. })
                    if draw < PORT_DRAWS && tail.contains("Address already in use") => {}
                settled => return settled,
            }
        }
        unreachable!("the last draw settles it")
    }

    fn write_port(&self) -> Result<(), ClusterError> {
        let record = port_file(&self.folder);
        fs::write(&record, self.port.to_string()).attempt("write", &record)?;
        let setting = self.data_dir().join("port.conf");
        fs::write(&setting, format!("port = {}\n", self.port)).attempt("write", &setting)?;
        home::give(&setting, self.programs.account())
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        if self.owner.is_some()
            && let Err(error) = home::remove(&self.folder, &self.programs)
        {
            eprintln!("the laboratory left `{}` behind: {error}", self.folder.display());
        }
    }
}

/// Stops and removes the clusters whose process is gone.
pub fn sweep() -> Result<(), ClusterError> {
    Home::open()?.sweep(&Programs::find()?)
}

fn base_url(start: &str, database: &str) -> Url {
    let mut url = Url::parse(start).expect("the address is well formed");
    url.path_segments_mut().expect("the address has a path").push(database);
    url
}

fn port_file(folder: &Path) -> PathBuf {
    folder.join("port")
}

fn free_port() -> Result<u16, ClusterError> {
    TcpListener::bind("127.0.0.1:0")
        .and_then(|listener| listener.local_addr())
        .map(|address| address.port())
        .attempt("find a free port on", Path::new("127.0.0.1"))
}

/// Quotes an identifier for SQL.
pub fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

fn literal(text: &str) -> String {
    format!("'{}'", text.replace('\'', "''"))
}

fn last_lines(log: &Path) -> String {
    let text = fs::read_to_string(log).unwrap_or_else(|error| format!("cannot read it: {error}"));
    let lines: Vec<&str> = text.lines().collect();
    lines[lines.len().saturating_sub(15)..].join("\n")
}
