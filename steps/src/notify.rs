//! Steps that tell people and other programs. A message is never worth a run in doubt: when an
//! answer is lost, the step succeeds and says that it does not know.

pub mod delivery;
pub mod slack;
pub mod webhook;
