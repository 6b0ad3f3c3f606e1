//! Why a step did not end well, and what may be done about it.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What an error says about the effect, and so what may happen next.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum ErrorClass {
    /// Certainly not applied; another attempt may help. The only class that is retried by itself.
    Transient,
    /// May have happened: observed before anything else.
    Ambiguous,
    /// Not applied, and another attempt would end the same way.
    Permanent,
    /// Not applied; a person must change something first.
    NeedsOperator,
    /// Not applied because the run was cancelled.
    Cancelled,
}

/// The error of one attempt of a step, as it is journaled and shown.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema, thiserror::Error)]
#[error("{message}")]
pub struct StepError {
    /// Stable code with a page: `RB0512`.
    pub code: String,
    /// What may happen next.
    pub class: ErrorClass,
    /// What went wrong: lower-case, no full stop.
    pub message: String,
    /// The causes, outermost first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub causes: Vec<String>,
    /// What to do next.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hint: Option<String>,
}

impl StepError {
    /// An error of the given class.
    pub fn new(class: ErrorClass, code: &str, message: impl Into<String>) -> Self {
        Self {
            code: code.to_owned(),
            class,
            message: message.into(),
            causes: Vec::new(),
            hint: None,
        }
    }

    /// Certainly not applied; another attempt may help.
    pub fn transient(code: &str, message: impl Into<String>) -> Self {
        Self::new(ErrorClass::Transient, code, message)
    }

    /// May have happened.
    pub fn ambiguous(code: &str, message: impl Into<String>) -> Self {
        Self::new(ErrorClass::Ambiguous, code, message)
    }

    /// Not applied, and another attempt would end the same way.
    pub fn permanent(code: &str, message: impl Into<String>) -> Self {
        Self::new(ErrorClass::Permanent, code, message)
    }

    /// Not applied; a person must change something first.
    pub fn needs_operator(code: &str, message: impl Into<String>) -> Self {
        Self::new(ErrorClass::NeedsOperator, code, message)
    }

    /// Not applied because the run was cancelled.
    pub fn cancelled() -> Self {
        Self::new(ErrorClass::Cancelled, "RB0400", "cancelled")
    }

    /// Adds the causes of `error`, outermost first, `error` itself included.
    #[must_use]
    pub fn caused_by(mut self, error: &(dyn std::error::Error + 'static)) -> Self {
        let mut next = Some(error);
        while let Some(cause) = next {
            self.causes.push(cause.to_string());
            next = cause.source();
        }
        self
    }

    /// `[RB0501] message`, its causes, and what to do, on lines of their own.
    pub fn told(&self) -> String {
        let causes = self.causes.iter().filter(|cause| !self.message.contains(*cause));
        let causes = causes.map(|cause| format!("\n    because: {cause}"));
        let hint = self.hint.iter().map(|hint| format!("\n    help: {hint}"));
        let own = format!("[{}] {}", self.code, self.message);
        std::iter::once(own).chain(causes).chain(hint).collect()
    }

    /// Adds what to do next.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }
}
