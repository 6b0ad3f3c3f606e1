//! Databases of RDS. What names the SDK lies under `aws::rds`.

pub mod create_replica;
pub mod delete_instance;
pub mod describe;
pub(crate) mod groups;
pub mod instance;
pub mod lift_fence;
mod making;
pub mod promote_replica;
pub mod restore_snapshot;
pub mod restore_to_time;
mod restored;
mod settings;
pub mod snapshot;
pub mod wait;
pub(crate) mod watch;
