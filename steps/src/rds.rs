//! Databases of RDS. What names the SDK lies under `aws::rds`.

pub mod instance;
pub(crate) mod watch;

pub mod describe;
pub mod promote_replica;
