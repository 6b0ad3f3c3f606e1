//! Steps that tell people and other programs. A message is never worth a run in doubt: when an
//! answer is lost, the step succeeds and says that it does not know, or sends it again where the
//! receiver knows a second one by its key.

pub mod delivery;
pub mod pagerduty;
pub mod slack;
pub mod webhook;
