//! Applications, masks and managed services: `RB0760` to `RB0789`.

use model::codes::CodeInfo;

pub(super) const CODES: &[CodeInfo] = &[CodeInfo::new(
    "RB0760",
    "a file of SQL cannot be run",
    "Nothing was sent. The message says what is wrong with the file: no path, no statement, a \
         statement that ends the transaction, or permissions that let anybody change it.",
    "with: {connection: prod, file: /srv/erasures.sql, read_only: false}",
)];
