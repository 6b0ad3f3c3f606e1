//! Applications, masks and managed services: `RB0760` to `RB0789`.

use model::codes::CodeInfo;

pub(super) const CODES: &[CodeInfo] = &[];
