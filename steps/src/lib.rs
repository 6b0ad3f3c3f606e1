//! The typed steps, one file each, and the [`STEPS`] slice from which the schema, the pages,
//! `runbook steps`, completions and the compliance tests come.

use engine::registry::{DynStep, Registry, Typed};

pub mod aws;
pub mod codes;
pub mod command;
pub(crate) mod defaults;
pub mod dns;
pub mod docker;
pub mod fence;
pub mod file;
pub mod flow;
pub mod git;
pub mod http;
pub mod human;
pub mod notify;
pub mod pg;
pub mod probes;
pub mod rds;
pub mod runbook;
pub(crate) mod seal;
pub mod store;
pub mod supabase;
#[cfg(test)]
mod testing;

/// Every step kind, in the order of the documentation.
pub static STEPS: &[&dyn DynStep] = &[
    &Typed::<pg::identify::Identify>::new(),
    &Typed::<pg::dump::Dump>::new(),
    &Typed::<pg::manifest::Compare>::new(),
    &Typed::<pg::verify::VerifyBackup>::new(),
    &Typed::<pg::restore::RestoreDatabase>::new(),
    &Typed::<pg::restore_table::RestoreTable>::new(),
    &Typed::<pg::swap_back::SwapBack>::new(),
    &Typed::<pg::create_database::CreateDatabase>::new(),
    &Typed::<pg::drop_database::DropDatabase>::new(),
    &Typed::<pg::query::Query>::new(),
    &Typed::<pg::mask::Mask>::new(),
    &Typed::<pg::assert::Assert>::new(),
    &Typed::<pg::wait_ready::WaitReady>::new(),
    &Typed::<pg::amcheck::Amcheck>::new(),
    &Typed::<pg::replication_lag::ReplicationLag>::new(),
    &Typed::<pg::promote::Promote>::new(),
    &Typed::<pg::writes::block::BlockWrites>::new(),
    &Typed::<pg::writes::unblock::UnblockWrites>::new(),
    &Typed::<pg::terminate_connections::TerminateConnections>::new(),
    &Typed::<fence::Fence>::new(),
    &Typed::<pg::base_backup::BaseBackup>::new(),
    &Typed::<pg::archive::check::ArchiveCheck>::new(),
    &Typed::<pg::pitr::Pitr>::new(),
    &Typed::<pg::rows::extract::ExtractRows>::new(),
    &Typed::<pg::rows::restore::RestoreRows>::new(),
    &Typed::<pg::standby::create::CreateStandby>::new(),
    &Typed::<pg::standby::rewind::RewindRejoin>::new(),
    &Typed::<store::put::Put>::new(),
    &Typed::<store::get::Get>::new(),
    &Typed::<store::list::List>::new(),
    &Typed::<store::copy::Copy>::new(),
    &Typed::<store::prune::Prune>::new(),
    &Typed::<store::check::Check>::new(),
    &Typed::<aws::buckets::copy::Copy>::new(),
    &Typed::<aws::buckets::sync::Sync>::new(),
    &Typed::<aws::buckets::configure::Configure>::new(),
    &Typed::<file::checksum::Checksum>::new(),
    &Typed::<file::encrypt::Encrypt>::new(),
    &Typed::<file::decrypt::Decrypt>::new(),
    &Typed::<notify::slack::Notify>::new(),
    &Typed::<notify::pagerduty::Event>::new(),
    &Typed::<notify::webhook::Post>::new(),
    &Typed::<http::check::Check>::new(),
    &Typed::<http::request::SendRequest>::new(),
    &Typed::<rds::describe::Describe>::new(),
    &Typed::<rds::promote_replica::PromoteReplica>::new(),
    &Typed::<rds::create_replica::CreateReplica>::new(),
    &Typed::<rds::snapshot::TakeSnapshot>::new(),
    &Typed::<rds::restore_snapshot::RestoreSnapshot>::new(),
    &Typed::<rds::restore_to_time::RestoreToTime>::new(),
    &Typed::<rds::wait::Wait>::new(),
    &Typed::<rds::delete_instance::DeleteInstance>::new(),
    &Typed::<rds::lift_fence::LiftFence>::new(),
    &Typed::<supabase::list_backups::ListBackups>::new(),
    &Typed::<supabase::restore_pitr::RestorePitr>::new(),
    &Typed::<aws::route53::update::Update>::new(),
    &Typed::<aws::route53::wait::Wait>::new(),
    &Typed::<aws::ssm::put_parameter::PutParameter>::new(),
    &Typed::<aws::secrets::put::Put>::new(),
    &Typed::<dns::check::Check>::new(),
    &Typed::<command::run::Run>::new(),
    &Typed::<docker::exec::Exec>::new(),
    &Typed::<git::commit::Commit>::new(),
    &Typed::<flow::wait::Wait>::new(),
    &Typed::<flow::pass::Pass>::new(),
    &Typed::<runbook::include::Include>::new(),
    &Typed::<human::approve::Approve>::new(),
    &Typed::<human::task::Task>::new(),
];

/// The registry of [`STEPS`].
pub const REGISTRY: Registry = Registry(STEPS);
