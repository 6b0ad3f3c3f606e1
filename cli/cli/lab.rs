//! The laboratory on the command line.

use std::path::PathBuf;

use clap::builder::PossibleValuesParser;
use clap::{Args, Subcommand};
use model::units::Span;

use super::Format;

#[derive(Debug, Subcommand)]
pub(crate) enum Lab {
    /// Start a laboratory and print the environment that leads to it.
    ///
    /// It goes on in the background until `runbook lab down`.
    #[command(
        after_help = "Example:\n  runbook lab up --dir /tmp/lab\n  set -a; . /tmp/lab/env; set +a\n  \
                      aws s3 ls"
    )]
    Up(LabUp),
    /// Print the environment that leads to the laboratory.
    #[command(after_help = "Example:\n  set -a; eval \"$(runbook lab env)\"; set +a")]
    Env(LabPlace),
    /// Show servers, records, disasters and what the application does.
    #[command(after_help = "Example:\n  runbook lab status --format json")]
    Status(LabStatus),
    /// Let something go wrong, or end it; without a name, list what can.
    #[command(after_help = "Examples:\n  runbook lab disaster region\n  \
                            runbook lab disaster throttle --service rds --for 30s\n  \
                            runbook lab disaster region --end")]
    Disaster(LabDisaster),
    /// List what took effect in the laboratory's AWS, in order.
    #[command(after_help = "Example:\n  runbook lab effects --format json")]
    Effects(LabStatus),
    /// List the messages that Slack and PagerDuty got.
    #[command(after_help = "Example:\n  runbook lab messages")]
    Messages(LabStatus),
    /// Tell what became of the writes of the application: acknowledged, lost, the longest gap.
    #[command(after_help = "Example:\n  runbook lab account")]
    Account(LabStatus),
    /// End the laboratory and remove everything it made.
    #[command(after_help = "Example:\n  runbook lab down --dir /tmp/lab")]
    Down(LabPlace),
    /// Hold a laboratory in this process.
    #[command(hide = true)]
    Hold(LabUp),
}

/// Which laboratory.
#[derive(Debug, Args)]
pub(crate) struct LabPlace {
    /// The laboratory's folder.
    #[arg(long, env = "RUNBOOK_LAB", value_name = "FOLDER", default_value = ".runbook-lab")]
    pub(crate) dir: PathBuf,
}

#[derive(Debug, Args)]
pub(crate) struct LabUp {
    #[command(flatten)]
    pub(crate) place: LabPlace,
    /// About how many rows of sample data the primary has.
    #[arg(long, value_name = "N", default_value_t = 20_000)]
    pub(crate) rows: u32,
}

#[derive(Debug, Args)]
pub(crate) struct LabStatus {
    #[command(flatten)]
    pub(crate) place: LabPlace,
    /// How it is printed.
    #[arg(long, value_enum, default_value_t = Format::Text)]
    pub(crate) format: Format,
}

#[derive(Debug, Args)]
pub(crate) struct LabDisaster {
    #[command(flatten)]
    pub(crate) place: LabPlace,
    /// What goes wrong.
    #[arg(value_name = "DISASTER", value_parser = names())]
    pub(crate) disaster: Option<String>,
    /// In which region; by default where it hurts.
    #[arg(long, value_name = "REGION")]
    pub(crate) region: Option<String>,
    /// Only requests of this service of AWS, such as `rds`.
    #[arg(long, value_name = "SERVICE")]
    pub(crate) service: Option<String>,
    /// Only requests of this action, such as `PromoteReadReplica`.
    #[arg(long, value_name = "ACTION")]
    pub(crate) action: Option<String>,
    /// Only so many requests.
    #[arg(long, value_name = "N")]
    pub(crate) times: Option<u32>,
    /// By how much: of `lag` and `slow-promote`.
    #[arg(long, value_name = "SPAN")]
    pub(crate) by: Option<Span>,
    /// It ends by itself after this time.
    #[arg(long = "for", value_name = "SPAN")]
    pub(crate) lasts: Option<Span>,
    /// End it now.
    #[arg(long, requires = "disaster")]
    pub(crate) end: bool,
}

fn names() -> PossibleValuesParser {
    PossibleValuesParser::new(lab::site::DISASTERS.iter().map(|(name, _)| *name))
}
