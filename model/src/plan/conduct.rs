//! How a run is conducted: who is called, what may run beside it, what is taken back, when it
//! starts by itself.

use serde::{Deserialize, Serialize};

use crate::ids::StepId;
use crate::units::Span;

/// Runs of one group never overlap.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Concurrency {
    /// The group's name, rendered.
    pub group: String,
    /// What a run does while another one of its group is open.
    #[serde(default)]
    pub on_conflict: OnConflict,
}

/// What a run does while another one of its group is open.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OnConflict {
    /// It is refused.
    #[default]
    Fail,
    /// It waits for its turn.
    Queue,
}

/// Whether `undo` of finished steps runs after a failure.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Rollback {
    /// Only when a person says `runbook undo`.
    #[default]
    Never,
    /// By itself, newest first.
    OnFailure,
    /// After a person has agreed.
    Ask,
}

impl Rollback {
    /// The default.
    pub fn is_never(&self) -> bool {
        *self == Self::Never
    }
}

/// Somebody to call, shown at every wait and failure.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Contact {
    /// What they are called for.
    pub role: String,
    /// Who.
    pub name: String,
    /// A telephone number, as dialled.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub phone: Option<String>,
    /// An address for mail.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub email: Option<String>,
}

/// When the runbook itself is to be looked at again.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Review {
    /// The last day on which the review is not overdue.
    pub by: jiff::civil::Date,
    /// Who approved the runbook as it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub approved_by: Option<String>,
}

/// The instances of one `foreach`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Group {
    /// The instances in the order of the items.
    pub steps: Vec<StepId>,
    /// At most so many of them run at once.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_parallel: Option<usize>,
}

/// When a run starts by itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Schedule {
    /// Five fields: minute, hour, day of the month, month, day of the week.
    pub cron: String,
    /// The IANA name of the time zone that `cron` is read in. Default `UTC`.
    #[serde(default = "utc")]
    pub timezone: String,
    /// A start that was missed is made up for within so long.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub catchup: Option<Span>,
    /// What happens when the run before has not ended.
    #[serde(default)]
    pub overlap: Overlap,
    /// What starts.
    #[serde(default)]
    pub mode: ScheduledMode,
}

fn utc() -> String {
    "UTC".to_owned()
}

/// What happens when the run before has not ended.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Overlap {
    /// This start is left out.
    #[default]
    Skip,
    /// It waits for its turn.
    Queue,
}

/// What a schedule starts.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ScheduledMode {
    /// A run.
    #[default]
    Live,
    /// A drill.
    Drill,
}
