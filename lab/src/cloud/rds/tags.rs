//! Tags of instances and snapshots.

use std::collections::BTreeMap;

use serde_json::json;

use super::instance::key_of;
use super::told::{response, tag};
use super::{Rds, check, missing, snapshot};
use crate::cloud::call::Form;
use crate::cloud::refusal::Refusal;
use crate::cloud::world::World;
use crate::cloud::xml::{Element, tree};

type Tags = BTreeMap<String, String>;

/// The tags of what an ARN names.
fn of<'a>(rds: &'a mut Rds, region: &str, form: &Form) -> Result<&'a mut Tags, Refusal> {
    let arn = form.need("ResourceName")?;
    let key = key_of(region, arn);
    if arn.contains(":snapshot:") {
        let found = rds.snapshots.get_mut(&key);
        return found.map(|it| &mut it.tags).ok_or_else(|| snapshot::missing(&key.1));
    }
    rds.instances.get_mut(&key).map(|it| &mut it.tags).ok_or_else(|| missing(&key.1))
}

pub(super) fn add(world: &World, region: &str, form: &Form) -> Result<Element, Refusal> {
    let added = check::tags(form);
    let state = &mut *world.lock();
    of(&mut state.rds, region, form)?.extend(added.clone());
    let resource = form.need("ResourceName")?;
    state.effects.record(("rds", region), "AddTagsToResource", resource, json!({"tags": added}));
    Ok(response("AddTagsToResourceResponse", "AddTagsToResourceResult", []))
}

pub(super) fn remove(world: &World, region: &str, form: &Form) -> Result<Element, Refusal> {
    let keys = form.list("TagKeys").unwrap_or_default();
    let state = &mut *world.lock();
    of(&mut state.rds, region, form)?.retain(|key, _| !keys.contains(key));
    let resource = form.need("ResourceName")?;
    let detail = json!({"keys": keys});
    state.effects.record(("rds", region), "RemoveTagsFromResource", resource, detail);
    Ok(response("RemoveTagsFromResourceResponse", "RemoveTagsFromResourceResult", []))
}

pub(super) fn list(world: &World, region: &str, form: &Form) -> Result<Element, Refusal> {
    let state = &mut *world.lock();
    let tags = of(&mut state.rds, region, form)?;
    let list = tree("TagList", tags.iter().map(tag));
    Ok(response("ListTagsForResourceResponse", "ListTagsForResourceResult", [list]))
}
