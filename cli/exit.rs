//! Exit statuses, as documented in `runbook --help`.

use std::process::ExitCode;

use model::run::state::RunStatus;

/// How the process ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Exit {
    /// Done.
    Done = 0,
    /// The run failed.
    RunFailed = 1,
    /// Invalid usage or runbook; nothing was executed.
    Invalid = 2,
    /// The preflight stage failed; nothing was executed.
    Preflight = 3,
    /// Refused, or locked by another process.
    Refused = 4,
    /// An operator is needed: a step in doubt, an approval, a missing secret.
    NeedsOperator = 5,
    /// A journal is damaged.
    Damaged = 6,
    /// The run was cancelled.
    Cancelled = 7,
    /// A gate failed: what was asked for does not hold.
    Gate = 8,
    /// A bug of ours.
    Bug = 70,
    /// `archive fetch` failed: a server stops on what is above 125, and would take anything below
    /// for the end of the archive.
    StopsRecovery = 126,
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit as u8)
    }
}

impl From<RunStatus> for Exit {
    fn from(status: RunStatus) -> Self {
        match status {
            RunStatus::Succeeded | RunStatus::SucceededWithWarnings => Self::Done,
            RunStatus::Failed => Self::RunFailed,
            RunStatus::Cancelled => Self::Cancelled,
            RunStatus::Running
            | RunStatus::WaitingForApproval
            | RunStatus::Paused
            | RunStatus::InDoubt => Self::NeedsOperator,
        }
    }
}
