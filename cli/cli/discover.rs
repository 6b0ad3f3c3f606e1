//! Commands that help to find one's way: what there is, what it means, how to begin.

use std::path::PathBuf;

use clap::{Args, ValueEnum};
use clap_complete::engine::ArgValueCompleter;

use crate::cli::{Format, Given, PlanFormat};
use crate::completing;

#[derive(Debug, Args)]
pub(crate) struct Steps {
    /// A step kind.
    #[arg(value_name = "KIND", add = ArgValueCompleter::new(completing::kinds))]
    pub(crate) kind: Option<String>,
    /// How it is printed.
    #[arg(long, value_enum, default_value_t = PlanFormat::Text)]
    pub(crate) format: PlanFormat,
}

#[derive(Debug, Args)]
pub(crate) struct Explain {
    /// The code, as an error prints it; without it, all codes are listed.
    #[arg(value_name = "CODE", add = ArgValueCompleter::new(completing::codes))]
    pub(crate) code: Option<String>,
    /// How it is printed.
    #[arg(long, value_enum, default_value_t = Format::Text)]
    pub(crate) format: Format,
}

#[derive(Debug, Args)]
pub(crate) struct Graph {
    /// The runbook.
    #[arg(value_name = "FILE", add = ArgValueCompleter::new(completing::runbooks))]
    pub(crate) file: PathBuf,
    #[command(flatten)]
    pub(crate) params: Given,
    /// The language of the picture.
    #[arg(long, value_enum, default_value_t = GraphFormat::Mermaid)]
    pub(crate) format: GraphFormat,
}

/// The language of a picture.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum GraphFormat {
    /// For Markdown on GitHub and GitLab.
    Mermaid,
    /// For Graphviz.
    Dot,
    /// For a browser.
    Svg,
}

#[derive(Debug, Args)]
pub(crate) struct Completions {
    /// The shell.
    #[arg(value_enum)]
    pub(crate) shell: clap_complete::Shell,
}

#[derive(Debug, Args)]
pub(crate) struct Man {
    /// Write a page for every command into this folder.
    #[arg(long, value_name = "FOLDER")]
    pub(crate) out: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub(crate) struct Init {
    /// Environment variable that holds the URL of the database.
    #[arg(long, value_name = "NAME", conflicts_with_all = ["host", "port", "dbname", "user"])]
    pub(crate) database_url_env: Option<String>,
    /// Host of the database, or the folder of its unix socket.
    #[arg(long, value_name = "HOST")]
    pub(crate) host: Option<String>,
    /// Port of the database.
    #[arg(long, value_name = "PORT")]
    pub(crate) port: Option<u16>,
    /// Name of the database.
    #[arg(long, value_name = "NAME")]
    pub(crate) dbname: Option<String>,
    /// Role to log in as; the password comes from `PGPASSWORD` or the password file.
    #[arg(long, value_name = "ROLE")]
    pub(crate) user: Option<String>,
    /// Environment variable that holds the URL of another server, where the backup is proved; by
    /// default that is the server of the database.
    #[arg(long, value_name = "NAME")]
    pub(crate) scratch_url_env: Option<String>,
    /// Folder or URL of the store; a folder is made when only itself is missing.
    #[arg(long, value_name = "FOLDER")]
    pub(crate) store: Option<String>,
    /// Hour of the daily run, UTC.
    #[arg(long, value_name = "HOUR", value_parser = clap::value_parser!(u8).range(0..24))]
    pub(crate) hour: Option<u8>,
    /// Tell the Slack channel of `SLACK_WEBHOOK_URL`.
    #[arg(long)]
    pub(crate) slack: bool,
    /// The file to write.
    #[arg(long, value_name = "FILE", default_value = "daily-backup.yaml")]
    pub(crate) output: PathBuf,
    /// Overwrite the file.
    #[arg(long)]
    pub(crate) force: bool,
    /// Ask nothing: what no flag says takes its default.
    #[arg(long)]
    pub(crate) yes: bool,
}
