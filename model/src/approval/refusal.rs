//! Why an answer does not count.

use crate::codes::approval as code;

/// Why an answer does not count. Each has a code of its own.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// The step has no open question.
    #[error("the step `{0}` asks nobody now")]
    NotAsked(String),
    /// The question was open until then.
    #[error("the question closed at {0:.0}")]
    Expired(jiff::Timestamp),
    /// They have answered.
    #[error("`{0}` has answered this question already")]
    Repeated(String),
    /// They are not asked.
    #[error("`{by}` is not one of {approvers}")]
    NotListed {
        /// Who answered.
        by: String,
        /// Who is asked.
        approvers: String,
    },
    /// They started the run.
    #[error("`{0}` started the run, and `allow_self` is not set")]
    OwnRun(String),
    /// Keys are known, and none signed.
    #[error("the answer of `{by}` is not signed, and {with_keys} can sign")]
    Unsigned {
        /// Who answered.
        by: String,
        /// Those who have keys.
        with_keys: String,
    },
    /// The signature does not verify.
    #[error("the signature is not one of the key over this statement: {0}")]
    Forged(String),
    /// Nobody's key.
    #[error("the key {0} belongs to nobody whom this run knows")]
    UnknownKey(String),
    /// Signed for another run.
    #[error("the signature is for another run: {0}")]
    OtherRun(String),
    /// Signed for another plan.
    #[error("the signature is for another plan: {0}")]
    OtherPlan(String),
    /// Signed for another step, or for an earlier question of this one.
    #[error("the signature is for another question: {0}")]
    OtherQuestion(String),
    /// Signed something else.
    #[error("the signature is for another answer: {0}")]
    OtherAnswer(String),
    /// No such item, or none where one is needed.
    #[error("{0}")]
    NoItem(String),
    /// The item is ticked.
    #[error("item {item} was ticked by {by}")]
    Ticked {
        /// The item, from 1.
        item: u32,
        /// Who.
        by: String,
    },
    /// The item needs a note.
    #[error("item {0} takes evidence: what was seen")]
    NoEvidence(u32),
    /// The people who are asked may still answer.
    #[error("the glass cannot be broken: {0}")]
    GlassClosed(String),
    /// A reason is needed.
    #[error("breaking the glass takes a reason")]
    NoReason,
}

impl Refusal {
    /// Its code.
    pub fn code(&self) -> &'static str {
        match self {
            Self::NotListed { .. } => code::NOT_LISTED,
            Self::OwnRun(_) => code::OWN_RUN,
            Self::Unsigned { .. } => code::UNSIGNED,
            Self::Forged(_) => code::FORGED,
            Self::OtherRun(_) => code::OTHER_RUN,
            Self::OtherPlan(_) => code::OTHER_PLAN,
            Self::OtherQuestion(_) => code::OTHER_QUESTION,
            Self::UnknownKey(_) => code::UNKNOWN_KEY,
            Self::Expired(_) => code::EXPIRED,
            Self::Repeated(_) => code::REPEATED,
            Self::NotAsked(_) => code::NOT_ASKED,
            Self::NoItem(_) => code::NO_ITEM,
            Self::Ticked { .. } => code::TICKED,
            Self::NoEvidence(_) => code::NO_EVIDENCE,
            Self::GlassClosed(_) => code::GLASS_CLOSED,
            Self::NoReason => code::NO_REASON,
            Self::OtherAnswer(_) => code::OTHER_ANSWER,
        }
    }

    /// What to do next.
    pub fn hint(&self) -> &'static str {
        match self {
            Self::NotAsked(_) => "`runbook status` shows what is asked",
            Self::Expired(_) => "start the run again, with a longer `timeout`",
            Self::Repeated(_) | Self::Ticked { .. } => "`runbook status` shows who answered what",
            Self::NotListed { .. } => "one of them answers; `--as NAME` says who you are",
            Self::OwnRun(_) => "another person answers, or the runbook says `allow_self: true`",
            Self::Unsigned { .. } => "sign with `--key FILE`, or with a key of the ssh-agent",
            Self::Forged(_) => "sign what `--print-message` prints, byte for byte",
            Self::UnknownKey(_) => {
                "the people of a run are those of `approvers.yaml` when it started"
            }
            Self::OtherRun(_)
            | Self::OtherPlan(_)
            | Self::OtherQuestion(_)
            | Self::OtherAnswer(_) => "sign what `--print-message` prints for this answer",
            Self::NoItem(_) => "`runbook status` shows the items; name one with `--item N`",
            Self::NoEvidence(_) => "say what you saw with `--note TEXT`",
            Self::GlassClosed(_) => "call the contacts; `runbook status` shows them",
            Self::NoReason => "say why with `--reason TEXT`",
        }
    }
}
