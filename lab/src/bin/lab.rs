//! The laboratory for shell scripts: `lab up`, `lab sink`, `lab down`.
#![expect(clippy::disallowed_methods, reason = "the laboratory is made of effects: servers, files")]

use std::error::Error;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::Parser;
use lab::cluster::{Cluster, ClusterOptions, USER};
use lab::sample;
use lab::sink::Sink;

/// The sample application's database.
const DATABASE: &str = "lms";

/// Real servers on loopback, for demonstrations and scripts.
#[derive(Parser)]
enum Lab {
    /// Starts a private PostgreSQL and prints the environment that leads to it.
    Up {
        /// The folder that remembers the cluster.
        #[arg(long)]
        dir: PathBuf,
        /// Fill the database `lms` with a sample application of about so many rows.
        #[arg(long, value_name = "ROWS")]
        sample: Option<u32>,
    },
    /// Receives messages until it is killed, and appends them to `sink.jsonl`.
    Sink {
        /// The folder of `sink.jsonl`.
        #[arg(long)]
        dir: PathBuf,
        /// The file that the port is written to.
        #[arg(long)]
        port_file: PathBuf,
    },
    /// Stops the private PostgreSQL and removes it.
    Down {
        /// The folder given to `lab up`.
        #[arg(long)]
        dir: PathBuf,
    },
}

fn main() -> ExitCode {
    let done = match Lab::parse() {
        Lab::Up { dir, sample } => up(&dir, sample),
        Lab::Sink { dir, port_file } => sink(&dir, &port_file),
        Lab::Down { dir } => down(&dir),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

fn up(dir: &Path, rows: Option<u32>) -> Result<(), Box<dyn Error>> {
    let record = record(dir);
    if record.exists() {
        return Err(format!("`{}` is up: `lab down` ends it first", dir.display()).into());
    }
    fs::create_dir_all(dir)?;
    let cluster = ClusterOptions::new().start()?;
    cluster.create_database(DATABASE)?;
    if let Some(rows) = rows {
        cluster.execute(DATABASE, &sample::application(rows))?;
    }
    println!("PGHOST=127.0.0.1");
    println!("PGPORT={}", cluster.port());
    println!("PGUSER={USER}");
    println!("PGPASSWORD={}", cluster.password());
    println!("PGDATABASE={DATABASE}");
    println!("DATABASE_URL={}", cluster.url(DATABASE));
    println!("SCRATCH_DATABASE_URL={}", cluster.url(USER));
    fs::write(record, cluster.host_dir().as_os_str().as_encoded_bytes())?;
    cluster.detach()?;
    Ok(())
}

fn sink(dir: &Path, port_file: &Path) -> Result<(), Box<dyn Error>> {
    fs::create_dir_all(dir)?;
    let sink = Sink::start_with_log(&dir.join("sink.jsonl"))?;
    // Whoever waits for the file finds the whole port in it.
    let draft = port_file.with_extension("draft");
    fs::write(&draft, sink.port().to_string())?;
    fs::rename(&draft, port_file)?;
    sink.run_forever();
    Ok(())
}

fn down(dir: &Path) -> Result<(), Box<dyn Error>> {
    let record = record(dir);
    let folder = fs::read_to_string(&record)
        .map_err(|error| format!("nothing is up in `{}`: {error}", dir.display()))?;
    Cluster::attach(Path::new(&folder))?.destroy()?;
    fs::remove_file(&record)?;
    Ok(())
}

fn record(dir: &Path) -> PathBuf {
    dir.join("cluster")
}
