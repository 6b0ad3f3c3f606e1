//! Promotion and standbys: `RB0552` to `RB0569`.

use model::codes::CodeInfo;

pub(super) const CODES: &[CodeInfo] = &[];
