//! Names: asking name servers directly, past every cache of this machine.

mod ask;
pub mod check;
mod servers;
