//! Incremental backups build on one another: what it takes to restore one, and what must stay.

use std::collections::BTreeSet;

use super::manifest::{BaseKind, BaseManifest};
use crate::set::SetId;

/// Why a backup cannot be put together.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BrokenChain {
    /// There is no such backup.
    #[error("there is no base backup `{0}`")]
    Unknown(SetId),
    /// A backup that another one builds on is gone.
    #[error("base backup `{child}` builds on `{parent}`, which is not there")]
    ParentMissing {
        /// What builds on it.
        child: SetId,
        /// What is gone.
        parent: SetId,
    },
    /// It builds on what was made of another cluster, or another line of time, or later.
    #[error("base backup `{child}` cannot build on `{parent}`: {why}")]
    ParentForeign {
        /// What builds on it.
        child: SetId,
        /// What it names.
        parent: SetId,
        /// What does not fit.
        why: &'static str,
    },
}

fn find<'a>(all: &'a [BaseManifest], id: &SetId) -> Option<&'a BaseManifest> {
    all.iter().find(|manifest| manifest.base == *id)
}

/// What does not fit between a backup and the one it builds on.
fn misfit(child: &BaseManifest, parent: &BaseManifest) -> Option<&'static str> {
    if child.server.system_identifier != parent.server.system_identifier {
        return Some("it is of another cluster");
    }
    if child.server.version_num / 10_000 != parent.server.version_num / 10_000 {
        return Some("it is of another version of PostgreSQL");
    }
    // Every step of a chain goes back in time, so that none can lead round in a circle.
    (parent.start_lsn >= child.start_lsn || parent.base >= child.base)
        .then_some("it is not the older one")
}

/// What it takes to restore a backup: the full one first, itself last.
pub fn chain<'a>(
    all: &'a [BaseManifest],
    id: &SetId,
) -> Result<Vec<&'a BaseManifest>, BrokenChain> {
    let mut child = find(all, id).ok_or_else(|| BrokenChain::Unknown(id.clone()))?;
    let mut chain = vec![child];
    while let (BaseKind::Incremental, Some(id)) = (child.kind, &child.parent) {
        let missing =
            || BrokenChain::ParentMissing { child: child.base.clone(), parent: id.clone() };
        let parent = find(all, id).ok_or_else(missing)?;
        if let Some(why) = misfit(child, parent) {
            let (child, parent) = (child.base.clone(), parent.base.clone());
            return Err(BrokenChain::ParentForeign { child, parent, why });
        }
        chain.push(parent);
        child = parent;
    }
    chain.reverse();
    Ok(chain)
}

/// Those backups and every one that they build on: what a retention must leave where it is.
pub fn closed(all: &[BaseManifest], keep: &BTreeSet<SetId>) -> BTreeSet<SetId> {
    let mut closed = BTreeSet::new();
    for id in keep {
        let mut next = Some(id.clone());
        while let Some(id) = next.take().filter(|id| closed.insert(id.clone())) {
            next = find(all, &id).and_then(|manifest| manifest.parent.clone());
        }
    }
    closed
}
