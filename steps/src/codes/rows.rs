//! Restoring rows: `RB0540` to `RB0549`.

use model::codes::CodeInfo;

pub(super) const CODES: &[CodeInfo] = &[];
