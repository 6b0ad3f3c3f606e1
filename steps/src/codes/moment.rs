//! Archives, base backups and moments in time: `RB0592` to `RB0599`, `RB0620` to `RB0639`.

use model::codes::CodeInfo;

pub(super) const CODES: &[CodeInfo] = &[];
