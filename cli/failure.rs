//! Why a command ended badly, printed in the one form of every error.

use std::fmt::Write as _;

use engine::error::{EngineError, Obstacle};
use model::step_error::{ErrorClass, StepError};

use crate::exit::Exit;
use crate::show::print;

/// An error of the command line itself: not a problem in a runbook's text, not a failed step.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Failure {
    pub(crate) exit: Exit,
    pub(crate) code: String,
    pub(crate) message: String,
    pub(crate) why: Option<String>,
    pub(crate) help: Option<String>,
    /// The problems behind it, when there are several.
    pub(crate) problems: Vec<Failure>,
}

impl Failure {
    pub(crate) fn new(exit: Exit, code: &str, message: impl Into<String>) -> Self {
        Self {
            exit,
            code: code.to_owned(),
            message: message.into(),
            why: None,
            help: None,
            problems: Vec::new(),
        }
    }

    pub(crate) fn why(mut self, why: impl std::fmt::Display) -> Self {
        self.why = Some(why.to_string());
        self
    }

    pub(crate) fn help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }

    /// `error[RB0901]: what`, then `why:` and `help:`.
    pub(crate) fn text(&self, colour: bool) -> String {
        let (on, off) = if colour { ("\x1b[1;31m", "\x1b[0m") } else { ("", "") };
        let mut text: String = self.problems.iter().map(|problem| problem.text(colour)).collect();
        writeln!(text, "{on}error[{}]{off}: {}", self.code, print::clean(&self.message))
            .expect("writing to a string does not fail");
        for (label, part) in [("why", &self.why), ("help", &self.help)] {
            if let Some(part) = part {
                writeln!(text, "  {label}: {}", print::clean(part))
                    .expect("writing to a string does not fail");
            }
        }
        text
    }
}

impl From<StepError> for Failure {
    fn from(error: StepError) -> Self {
        let exit = match error.class {
            ErrorClass::Cancelled => Exit::Cancelled,
            ErrorClass::NeedsOperator => Exit::NeedsOperator,
            _ => Exit::RunFailed,
        };
        let why = (!error.causes.is_empty()).then(|| error.causes.join("; "));
        Self {
            exit,
            code: error.code,
            message: error.message,
            why,
            help: error.hint,
            problems: Vec::new(),
        }
    }
}

impl From<EngineError> for Failure {
    fn from(error: EngineError) -> Self {
        let exit = match error.obstacle {
            Obstacle::Preflight => Exit::Preflight,
            Obstacle::Refused => Exit::Refused,
            Obstacle::NeedsOperator => Exit::NeedsOperator,
            Obstacle::Damaged => Exit::Damaged,
            Obstacle::Bug => Exit::Bug,
        };
        Self {
            exit,
            code: error.code.into_owned(),
            message: error.message,
            why: None,
            help: error.hint,
            problems: error.problems.into_iter().map(Self::from).collect(),
        }
    }
}
