//! What the preflight looks at: servers and stores, read-only.

use engine::context::HostFuture;
use engine::preflight::{Probes, ServerFacts, StoreFacts};
use engine::settings::{ConnectionSettings, StoreSettings};
use model::step_error::StepError;

use crate::pg::connection::connect_to_look;
use crate::store;

/// Logs in to PostgreSQL; opens stores.
#[derive(Debug, Clone, Copy, Default)]
pub struct Looks;

impl Probes for Looks {
    fn connection<'a>(
        &'a self,
        settings: &'a ConnectionSettings,
    ) -> HostFuture<'a, Result<ServerFacts, StepError>> {
        Box::pin(async move {
            let session = connect_to_look(settings).await?;
            let version_num = session.server_version().await?;
            session.close().await;
            Ok(ServerFacts { version_num })
        })
    }

    fn store<'a>(
        &'a self,
        settings: &'a StoreSettings,
    ) -> HostFuture<'a, Result<StoreFacts, StepError>> {
        Box::pin(async move {
            let store = store::open(settings)?;
            store.look().await?;
            let free_bytes = store.free_space().await?;
            Ok(StoreFacts { free_bytes })
        })
    }
}
