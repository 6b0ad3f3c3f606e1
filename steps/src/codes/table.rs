//! Restoring tables: `RB0530` to `RB0539`.

use model::codes::CodeInfo;

pub(super) const CODES: &[CodeInfo] = &[];
