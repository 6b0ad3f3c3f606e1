//! The steps and the fence of RDS, against the laboratory's: real servers behind the wire protocol
//! of AWS, whose own log of what took effect is the judge.
#![expect(clippy::disallowed_methods, reason = "tests look at what lies behind the steps")]
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod alone;
mod bed;
mod describe;
mod fence;
mod lift;
mod lost;
mod made;
mod promote;
mod states;
