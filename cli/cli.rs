//! The command line: clap types only. What they mean is resolved in `settings`.

mod archive;
mod discover;
mod lab;

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};
use clap_complete::engine::ArgValueCompleter;
use model::runbook::Variant;

use crate::completing;

pub(crate) use archive::{Archive, ArchiveFetch, ArchivePush};
pub(crate) use discover::{Completions, Explain, Graph, GraphFormat, Init, Man, Steps};
pub(crate) use lab::{Lab, LabDisaster, LabPlace, LabStatus, LabUp};

const EXIT_STATUS: &str = "\
Exit status: 0 done · 1 run failed · 2 invalid usage or runbook (nothing was executed)
· 3 preflight failed (nothing was executed) · 4 refused or locked · 5 needs an operator
· 6 journal or evidence damaged · 7 cancelled · 8 a gate failed · 70 a bug";

/// A recovery engine for PostgreSQL applications.
///
/// Runbooks are YAML files: backups, restores and their proof as typed steps. They are checked,
/// planned, run with a journal, and leave a report of what was proved and how long it took.
#[derive(Debug, Parser)]
#[command(name = "runbook", version, after_help = EXIT_STATUS, propagate_version = true)]
pub(crate) struct Cli {
    #[command(flatten)]
    pub(crate) global: Global,
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// Flags that every command knows.
#[derive(Debug, Args)]
pub(crate) struct Global {
    /// Folder of journals and logs; by default the XDG state folder.
    #[arg(long, global = true, env = "RUNBOOK_STATE", value_name = "FOLDER")]
    pub(crate) state: Option<PathBuf>,
    /// When to use colours; `NO_COLOR` is honoured.
    #[arg(long, global = true, value_enum, default_value_t = Color::Auto, value_name = "WHEN")]
    pub(crate) color: Color,
}

/// When to use colours.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Color {
    /// On a terminal.
    Auto,
    /// Always.
    Always,
    /// Never.
    Never,
}

/// Text for people or JSON for programs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Format {
    /// For people.
    Text,
    /// For programs: one JSON document, or one JSON object a line for a stream.
    Json,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Write a daily backup of a database: asks a few questions, or takes flags.
    #[command(after_help = "Examples:\n  runbook init\n  \
                      runbook init --yes --database-url-env DATABASE_URL --store /var/backups/app\n  \
                      runbook init --yes --host db1 --dbname app --user backup --hour 3 --slack")]
    Init(Init),
    /// Check runbooks; every problem in one pass, nothing is executed.
    #[command(after_help = "Example:\n  runbook validate runbooks/*.yaml")]
    Validate(Validate),
    /// Show what a run would do; touches nothing: no process, no socket, no secret.
    #[command(
        after_help = "Examples:\n  runbook plan runbooks/daily-backup.yaml -p label=test --format markdown\n  \
                      runbook plan failover.yaml --ungraceful --without-region us-east-1"
    )]
    Plan(Plan),
    /// Look whether everything that a run needs is there; nothing is executed.
    #[command(
        after_help = "Example:\n  runbook preflight daily-backup.yaml -p store=file:///backups"
    )]
    Preflight(Preflight),
    /// Run a runbook, journalled step by step.
    #[command(
        after_help = "Examples:\n  runbook run runbooks/daily-backup.yaml -p store=file:///backups\n  \
                      runbook run full-restore.yaml -p source=app -p database=app_restored --incident-at 2026-11-20T02:00:00Z"
    )]
    Run(Run),
    /// Go on with a run that was interrupted, paused or is waiting.
    #[command(
        after_help = "Examples:\n  runbook resume 01JD\n  runbook resume 01JD --retry-failed"
    )]
    Resume(Resume),
    /// Show where a run stands.
    #[command(after_help = "Example:\n  runbook status --exit-code")]
    Status(Status),
    /// List the runs of the state folder, newest first.
    #[command(after_help = "Example:\n  runbook runs --format json")]
    Runs(Runs),
    /// Print the logs of a run's steps.
    #[command(after_help = "Example:\n  runbook logs 01JD dump")]
    Logs(Logs),
    /// Answer a question of a run, or tick an item of a checklist.
    #[command(after_help = "Examples:\n  runbook approve 01JD confirm\n  \
                      runbook approve 01JD confirm --as dana --key ~/.ssh/id_ed25519\n  \
                      runbook approve 01JD fence --item 2 --note \"powered off at 03:10\"")]
    Approve(Approve),
    /// Answer a question of a run with no.
    #[command(after_help = "Example:\n  runbook reject 01JD confirm --reason \"not on a Friday\"")]
    Reject(Reject),
    /// Check `approvers.yaml` and list who is in it.
    #[command(after_help = "Example:\n  runbook approvers --approvers runbooks/approvers.yaml")]
    Approvers(Approvers),
    /// Say what became of a step in doubt.
    #[command(
        after_help = "Example:\n  runbook resolve 01JD notify --applied --reason \"seen in the channel\""
    )]
    Resolve(Resolve),
    /// Cancel a run; its holder stops the steps that run.
    #[command(after_help = "Example:\n  runbook cancel 01JD --reason \"wrong database\"")]
    Cancel(Cancel),
    /// Leave a step out that has not begun, or waits; the steps after it go on.
    #[command(after_help = "Example:\n  runbook skip 01JD notify --reason \"told by phone\"")]
    Skip(Skip),
    /// Undo the finished steps of a run that has ended, newest first.
    #[command(after_help = "Example:\n  runbook undo 01JD")]
    Undo(Undo),
    /// Report a run: what was done, RTO three ways, RPO, phases.
    #[command(after_help = "Example:\n  runbook report 01JD --format json > report.json")]
    Report(Report),
    /// Look at the sets of a store.
    #[command(subcommand)]
    Backups(Backups),
    /// Archive WAL and give it back, called by the server.
    #[command(subcommand)]
    Archive(Archive),
    /// A laboratory on loopback to rehearse disasters in: two regions of a small AWS, with
    /// PostgreSQL and an application.
    #[command(subcommand)]
    Lab(Lab),
    /// List the step kinds, or show one with its inputs, outputs and an example.
    #[command(after_help = "Example:\n  runbook steps pg.dump")]
    Steps(Steps),
    /// Draw a runbook: what runs after what, by phase.
    #[command(after_help = "Examples:\n  runbook graph runbooks/daily-backup.yaml\n  \
                      runbook graph full-restore.yaml -p source=app -p database=again --format svg > plan.svg")]
    Graph(Graph),
    /// Print the JSON Schema of a runbook.
    #[command(after_help = "Example:\n  runbook schema > schemas/runbook.schema.json")]
    Schema,
    /// Explain an error code, or list all of them.
    #[command(after_help = "Example:\n  runbook explain RB0231")]
    Explain(Explain),
    /// Print completions for a shell.
    #[command(after_help = "Examples:\n  source <(runbook completions bash)\n  \
                      runbook completions zsh > ~/.zfunc/_runbook\n  \
                      runbook completions fish > ~/.config/fish/completions/runbook.fish")]
    Completions(Completions),
    /// Print the manual page, or write one for every command into a folder.
    #[command(
        after_help = "Examples:\n  runbook man | man -l -\n  runbook man --out /usr/local/share/man/man1"
    )]
    Man(Man),
}

/// Parameters of the runbook, and which variant of it is meant.
#[derive(Debug, Default, Args)]
pub(crate) struct Given {
    /// Sets a parameter; may be repeated.
    #[arg(short = 'p', long = "param", value_name = "NAME=VALUE", value_parser = name_and_value)]
    pub(crate) params: Vec<(String, String)>,
    /// Read parameters from a YAML or JSON mapping; `-p` goes before it.
    #[arg(long, value_name = "FILE")]
    pub(crate) params_file: Option<PathBuf>,
    /// The drill: with the parameters and the steps that `drill` of the runbook says.
    #[arg(long)]
    pub(crate) drill: bool,
    /// What is acted on is already gone: with what the steps say under `ungraceful`.
    #[arg(long)]
    pub(crate) ungraceful: bool,
}

impl Given {
    /// The variant of the runbook that is meant.
    pub(crate) fn variant(&self) -> Variant {
        Variant { drill: self.drill, ungraceful: self.ungraceful }
    }
}

#[derive(Debug, Args)]
pub(crate) struct Validate {
    /// Runbooks to check.
    #[arg(required = true, value_name = "FILE", add = ArgValueCompleter::new(completing::runbooks))]
    pub(crate) files: Vec<PathBuf>,
    /// How problems are printed.
    #[arg(long, value_enum, default_value_t = Format::Text)]
    pub(crate) format: Format,
}

#[derive(Debug, Args)]
pub(crate) struct Preflight {
    /// The runbook.
    #[arg(value_name = "FILE", add = ArgValueCompleter::new(completing::runbooks))]
    pub(crate) file: PathBuf,
    #[command(flatten)]
    pub(crate) params: Given,
}

#[derive(Debug, Args)]
pub(crate) struct Plan {
    /// The runbook.
    #[arg(value_name = "FILE", add = ArgValueCompleter::new(completing::runbooks))]
    pub(crate) file: PathBuf,
    #[command(flatten)]
    pub(crate) params: Given,
    /// How the plan is printed.
    #[arg(long, value_enum, default_value_t = PlanFormat::Text)]
    pub(crate) format: PlanFormat,
    /// List the steps that could not run while this region is gone, and why; exit status 8 when
    /// the runbook needs one of them.
    #[arg(long, value_name = "REGION")]
    pub(crate) without_region: Option<String>,
    /// Write the plan to a file instead of standard output.
    #[arg(long, value_name = "FILE")]
    pub(crate) out: Option<PathBuf>,
}

/// How a plan is printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum PlanFormat {
    /// For a terminal.
    Text,
    /// For a pull request.
    Markdown,
    /// For programs.
    Json,
}

#[derive(Debug, Args)]
pub(crate) struct Run {
    /// The runbook.
    #[arg(value_name = "FILE", add = ArgValueCompleter::new(completing::runbooks))]
    pub(crate) file: PathBuf,
    #[command(flatten)]
    pub(crate) params: Given,
    /// Show the plan and stop, as `runbook plan` does.
    #[arg(long)]
    #[expect(clippy::struct_field_names, reason = "the flag's name is fixed")]
    pub(crate) dry_run: bool,
    /// When the incident began (RFC 3339 with a zone); RTO and RPO are measured from it.
    #[arg(long, value_name = "TIME", value_parser = timestamp)]
    pub(crate) incident_at: Option<jiff::Timestamp>,
    /// Who may approve; by default `approvers.yaml` beside the runbook or in the state folder.
    #[arg(long, env = "RUNBOOK_APPROVERS", value_name = "FILE")]
    pub(crate) approvers: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) attended: Attended,
}

#[derive(Debug, Args)]
pub(crate) struct Resume {
    #[command(flatten)]
    pub(crate) run: RunRef,
    /// Open a run that has ended again, and run what failed, was cancelled, was undone or did not
    /// run; what succeeded is not repeated.
    #[arg(long)]
    pub(crate) retry_failed: bool,
    #[command(flatten)]
    pub(crate) attended: Attended,
}

#[derive(Debug, Args)]
pub(crate) struct Undo {
    /// The run's id or a unique prefix.
    #[arg(value_name = "RUN")]
    pub(crate) run: String,
    #[command(flatten)]
    pub(crate) attended: Attended,
}

#[derive(Debug, Args)]
pub(crate) struct Skip {
    /// The run's id or a unique prefix.
    #[arg(value_name = "RUN")]
    pub(crate) run: String,
    /// The step.
    #[arg(value_name = "STEP")]
    pub(crate) step: String,
    /// Why.
    #[arg(long, value_name = "TEXT")]
    pub(crate) reason: String,
}

/// Who watches a run, and who answers.
#[derive(Debug, Args)]
pub(crate) struct Attended {
    /// Answer yes to questions on the terminal that the starter may answer.
    #[arg(long)]
    pub(crate) yes: bool,
    /// Do not wait for people: stop with exit status 5 when an approval is needed.
    #[arg(long)]
    pub(crate) no_wait: bool,
    /// How progress is printed.
    #[arg(long, value_enum, default_value_t = Format::Text)]
    pub(crate) format: Format,
}

impl Attended {
    /// Nobody watches, nobody answers.
    pub(crate) const NOBODY: Self = Self { yes: false, no_wait: true, format: Format::Text };
}

/// A run, by a unique prefix of its id.
#[derive(Debug, Args)]
pub(crate) struct RunRef {
    /// The run's id or a unique prefix; without it, the only open run.
    #[arg(value_name = "RUN", add = ArgValueCompleter::new(completing::runs))]
    pub(crate) run: Option<String>,
}

#[derive(Debug, Args)]
pub(crate) struct Status {
    #[command(flatten)]
    pub(crate) run: RunRef,
    /// Exit with the status the run itself would have.
    #[arg(long)]
    pub(crate) exit_code: bool,
    /// How the status is printed.
    #[arg(long, value_enum, default_value_t = Format::Text)]
    pub(crate) format: Format,
}

#[derive(Debug, Args)]
pub(crate) struct Runs {
    /// How the list is printed.
    #[arg(long, value_enum, default_value_t = Format::Text)]
    pub(crate) format: Format,
}

#[derive(Debug, Args)]
pub(crate) struct Logs {
    /// The run's id or a unique prefix.
    #[arg(value_name = "RUN", add = ArgValueCompleter::new(completing::runs))]
    pub(crate) run: String,
    /// Only this step.
    #[arg(value_name = "STEP")]
    pub(crate) step: Option<String>,
}

#[derive(Debug, Args)]
#[command(group = clap::ArgGroup::new("resolution").required(true).args(["applied", "not_applied"]))]
pub(crate) struct Resolve {
    /// The run's id or a unique prefix.
    #[arg(value_name = "RUN", add = ArgValueCompleter::new(completing::runs))]
    pub(crate) run: String,
    /// The step in doubt.
    #[arg(value_name = "STEP")]
    pub(crate) step: String,
    /// It happened.
    #[arg(long)]
    pub(crate) applied: bool,
    /// It did not happen.
    #[arg(long)]
    pub(crate) not_applied: bool,
    /// How you know.
    #[arg(long, value_name = "TEXT")]
    pub(crate) reason: String,
    /// The step's outputs as JSON, when later steps need them.
    #[arg(long, value_name = "JSON", requires = "applied")]
    pub(crate) output: Option<String>,
    /// Do not ask for the step id to be typed.
    #[arg(long)]
    pub(crate) yes: bool,
}

/// A person's answer.
#[derive(Debug, Args)]
pub(crate) struct Answer {
    /// The run's id or a unique prefix.
    #[arg(value_name = "RUN")]
    pub(crate) run: String,
    /// The step that asks.
    #[arg(value_name = "STEP")]
    pub(crate) step: String,
    /// Who you are; recorded as claimed where no key proves it.
    #[arg(long = "as", value_name = "NAME")]
    pub(crate) name: Option<String>,
    /// Why, or what you saw.
    #[arg(long, visible_alias = "note", value_name = "TEXT")]
    pub(crate) reason: Option<String>,
    /// Sign with this SSH key; by default one of the ssh-agent or `~/.ssh/id_ed25519`.
    #[arg(long, value_name = "FILE")]
    pub(crate) key: Option<PathBuf>,
    /// Use a signature that `ssh-keygen -Y sign` made of what `--print-message` printed.
    #[arg(long, value_name = "FILE", conflicts_with = "key")]
    pub(crate) signature: Option<PathBuf>,
    /// Print the exact bytes to sign elsewhere, and answer nothing.
    #[arg(long, conflicts_with_all = ["key", "signature"])]
    pub(crate) print_message: bool,
}

#[derive(Debug, Args)]
pub(crate) struct Approve {
    #[command(flatten)]
    pub(crate) answer: Answer,
    /// Tick this item of a checklist, from 1; may be repeated.
    #[arg(long, value_name = "N")]
    pub(crate) item: Vec<u32>,
    /// Approve although nobody who is asked is there; needs a reason, and is reported as that.
    #[arg(long)]
    pub(crate) break_glass: bool,
}

#[derive(Debug, Args)]
pub(crate) struct Reject {
    #[command(flatten)]
    pub(crate) answer: Answer,
}

#[derive(Debug, Args)]
pub(crate) struct Approvers {
    /// Look beside this runbook, as `runbook run` would.
    #[arg(value_name = "RUNBOOK")]
    pub(crate) file: Option<PathBuf>,
    /// The file of approvers.
    #[arg(long, env = "RUNBOOK_APPROVERS", value_name = "FILE")]
    #[expect(clippy::struct_field_names, reason = "the flag's name is fixed")]
    pub(crate) approvers: Option<PathBuf>,
    /// How the list is printed.
    #[arg(long, value_enum, default_value_t = Format::Text)]
    pub(crate) format: Format,
}

#[derive(Debug, Args)]
pub(crate) struct Cancel {
    #[command(flatten)]
    pub(crate) run: RunRef,
    /// Why.
    #[arg(long, value_name = "TEXT", default_value = "cancelled by an operator")]
    pub(crate) reason: String,
}

#[derive(Debug, Args)]
pub(crate) struct Report {
    /// The run's id or a unique prefix; without it, the newest run.
    #[arg(value_name = "RUN", add = ArgValueCompleter::new(completing::runs))]
    pub(crate) run: Option<String>,
    /// How the report is printed.
    #[arg(long, value_enum, default_value_t = ReportFormat::Markdown)]
    pub(crate) format: ReportFormat,
}

/// How a report is printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum ReportFormat {
    /// For people.
    Markdown,
    /// For programs.
    Json,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Backups {
    /// List the sets of a store with age, size, and how far each is proven.
    #[command(
        after_help = "Examples:\n  runbook backups list --store file:///var/backups/runbook\n  \
                      AWS_REGION=us-west-2 runbook backups list --store s3://acme-backups/lms"
    )]
    List(BackupsList),
    /// Show one set: its manifest in short and its proofs.
    #[command(
        after_help = "Example:\n  runbook backups show --store file:///backups --database app latest"
    )]
    Show(BackupsShow),
}

#[derive(Debug, Args)]
pub(crate) struct BackupsList {
    /// URL of the store.
    #[arg(long, env = "RUNBOOK_STORE", value_name = "URL")]
    pub(crate) store: String,
    /// Only sets of this database.
    #[arg(long, value_name = "NAME")]
    pub(crate) database: Option<String>,
    /// How the list is printed.
    #[arg(long, value_enum, default_value_t = Format::Text)]
    pub(crate) format: Format,
}

#[derive(Debug, Args)]
pub(crate) struct BackupsShow {
    /// URL of the store.
    #[arg(long, env = "RUNBOOK_STORE", value_name = "URL")]
    pub(crate) store: String,
    /// The database the set was made of.
    #[arg(long, value_name = "NAME")]
    pub(crate) database: String,
    /// The set's id, or `latest`.
    #[arg(value_name = "SET", default_value = "latest")]
    pub(crate) set: String,
    /// How the set is printed.
    #[arg(long, value_enum, default_value_t = Format::Text)]
    pub(crate) format: Format,
}

fn name_and_value(text: &str) -> Result<(String, String), String> {
    let (name, value) = text.split_once('=').ok_or("write it as `name=value`")?;
    Ok((name.to_owned(), value.to_owned()))
}

fn timestamp(text: &str) -> Result<jiff::Timestamp, String> {
    text.parse()
        .map_err(|_| "write it as RFC 3339 with a zone, such as `2026-11-20T02:00:00Z`".to_owned())
}

#[cfg(test)]
mod tests;
