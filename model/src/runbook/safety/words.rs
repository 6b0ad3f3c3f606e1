//! What is said of a step that something is missing before or after.

use std::borrow::Cow;

use crate::codes::safety as code;
use crate::diagnostic::Severity;
use crate::effect::Effect;
use crate::node::SourceSpan;

/// What a step does, and what it lacks for that.
pub(super) struct Missing {
    pub(super) code: &'static str,
    pub(super) severity: Severity,
    /// ``changes the protected connection `prod` ``.
    pub(super) does: Cow<'static, str>,
    /// `and no person says so before`.
    pub(super) lacks: &'static str,
    pub(super) why: Cow<'static, str>,
    pub(super) help: &'static str,
    /// A second place that belongs to the problem.
    pub(super) also: Option<(SourceSpan, String)>,
}

pub(super) const NO_FENCE: Missing = Missing {
    code: code::UNFENCED,
    severity: Severity::Error,
    does: Cow::Borrowed("makes a new primary"),
    lacks: "and nothing shuts out the old one before",
    why: Cow::Borrowed("while two servers take writes, what one of them takes is lost"),
    help: "fence the old primary in a step before it, or say in `without_fence` why there is nothing to fence",
    also: None,
};

pub(super) const UNFENCED: Missing = Missing {
    severity: Severity::Warning,
    why: Cow::Borrowed(
        "it says why there is nothing to fence; the check cannot see whether that is so",
    ),
    help: "look at the old primary before this is run",
    ..NO_FENCE
};

pub(super) const TRAFFIC: Missing = Missing {
    code: code::TRAFFIC,
    severity: Severity::Error,
    does: Cow::Borrowed("sends people to another server"),
    lacks: "and nothing proves before that a server takes writes",
    why: Cow::Borrowed("a promotion is done some time after it was asked for, and may fail"),
    help: "run it after the step that promotes and writes a row there",
    also: None,
};

pub(super) const UNPROVEN_PRUNE: Missing = Missing {
    code: code::UNPROVEN_PRUNE,
    severity: Severity::Warning,
    does: Cow::Borrowed("removes backup sets"),
    lacks: "and none is proved before",
    why: Cow::Borrowed("sets go while nobody sees whether one can be restored"),
    help: "prove a set in a step before it (`pg.verify_backup`)",
    also: None,
};

/// Nobody is asked before the protected connection `name` is changed, or `refused` may have said
/// no.
pub(super) fn unapproved(
    name: &str,
    declared: &SourceSpan,
    effect: Effect,
    refused: Option<&str>,
) -> Missing {
    let why = match (refused, effect) {
        (Some(asked), _) => {
            format!("it also runs after a failure, when `{asked}` may have said no").into()
        }
        (None, Effect::Irreversible) => "nobody takes back what it does".into(),
        (None, _) => "only a backup brings back what it removes".into(),
    };
    Missing {
        code: code::UNAPPROVED,
        severity: Severity::Error,
        does: format!("changes the protected connection `{name}`").into(),
        lacks: "and no person says so before",
        why,
        help: "ask in a step before it (`human.approve`), or say `protected: false` of what may be changed freely",
        also: Some((declared.clone(), format!("`{name}` is declared here"))),
    }
}

/// Nobody looks at what is left.
pub(super) fn unverified(effect: Effect) -> Missing {
    let does = match effect {
        Effect::Irreversible => "does what nobody takes back",
        _ => "destroys something",
    };
    Missing {
        code: code::UNVERIFIED,
        severity: Severity::Warning,
        does: does.into(),
        lacks: "and nothing looks at the result afterwards",
        why: "that it ended well is only what it says itself".into(),
        help: "look in a step after it, such as `pg.assert` or `http.check`",
        also: None,
    }
}
