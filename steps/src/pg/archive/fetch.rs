//! A file out of the archive.

use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use engine::files;
use model::step_error::StepError;
use model::wal::{WalName, object_path};

use super::header::system_identifier_in;
use super::object;
use crate::store::{Store, Written};

/// Brings an archived file to a path, whole and checked, or leaves nothing there. What the archive
/// does not have is `RB0595`: the only error that is an answer to a server that asks how far it
/// gets. Without `cluster` it is the one in whose `pg_wal` the path lies.
pub async fn fetch(
    store: &dyn Store,
    cluster: Option<u64>,
    name: &WalName,
    to: &Path,
) -> Result<Written, StepError> {
    let cluster = cluster.or_else(|| system_identifier_in(to)).ok_or_else(|| {
        let message = format!("nothing tells of which cluster `{name}` is wanted");
        StepError::permanent("RB0593", message)
            .hint("say it: `--cluster SYSTEM_IDENTIFIER`; `pg_controldata` prints it")
    })?;
    let path = object_path(cluster, name);
    let Some(opened) = object::open(store, &path).await? else {
        return Err(StepError::permanent("RB0595", format!("`{path}` is not in the archive")));
    };
    let unwritten = |error: io::Error| {
        StepError::transient("RB0597", format!("`{}` cannot be written", to.display()))
            .caused_by(&error)
    };
    let says = opened.says.clone();
    let beside = beside(to);
    files::remove(&beside).map_err(unwritten)?;
    let mut file = files::create_private(&beside).map_err(unwritten)?;
    let copied = opened.copy(&path, &mut |bytes| file.write_all(bytes)).await;
    let placed = match copied {
        Ok(Ok(())) => files::move_into_place(&beside, to).map_err(unwritten),
        Ok(Err(error)) => Err(unwritten(error)),
        Err(error) => Err(error),
    };
    if placed.is_err() {
        files::remove(&beside).ok();
    }
    placed.map(|()| says)
}

/// The name under which a file is written until it is whole.
fn beside(to: &Path) -> PathBuf {
    let mut name = to.file_name().unwrap_or_default().to_owned();
    name.push(".part");
    to.with_file_name(name)
}
