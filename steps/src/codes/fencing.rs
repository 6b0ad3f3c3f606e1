//! Blocked writes, fences and names: `RB0574` to `RB0589`.

use model::codes::CodeInfo;

pub(super) const CODES: &[CodeInfo] = &[];
