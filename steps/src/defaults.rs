//! What several inputs are unless the plan says otherwise.

/// A flag that is set.
pub(crate) fn yes() -> bool {
    true
}
