//! Why the engine could not begin or go on, with what the command line needs to answer.

use std::borrow::Cow;
use std::fmt;

/// What stands in the way, and so the exit status.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Obstacle {
    /// Something the plan needs is missing; nothing was executed. Exit status 3.
    Preflight,
    /// Refused or locked. Exit status 4.
    Refused,
    /// A person must put something right. Exit status 5.
    NeedsOperator,
    /// A journal is damaged. Exit status 6.
    Damaged,
    /// A bug of the program. Exit status 70.
    Bug,
}

/// An error outside any step.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EngineError {
    /// Stable code with a page.
    pub code: Cow<'static, str>,
    /// What stands in the way.
    pub obstacle: Obstacle,
    /// What is wrong: lower-case, no full stop.
    pub message: String,
    /// What to do next.
    pub hint: Option<String>,
    /// All problems, when there are several.
    pub problems: Vec<EngineError>,
}

impl EngineError {
    /// An error of that kind.
    pub fn new(
        code: impl Into<Cow<'static, str>>,
        obstacle: Obstacle,
        message: impl Into<String>,
    ) -> Self {
        Self {
            code: code.into(),
            obstacle,
            message: message.into(),
            hint: None,
            problems: Vec::new(),
        }
    }

    /// Refused or locked.
    pub fn refused(code: &'static str, message: impl Into<String>) -> Self {
        Self::new(code, Obstacle::Refused, message)
    }

    /// Adds what to do next.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }
}

impl fmt::Display for EngineError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for EngineError {}
