//! Whether the newest proven set lies in several places: 3-2-1 as a fact.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use engine::context::StepContext;
use model::region;
use model::s3_url::SCHEME;
use model::set::SetId;
use model::step_error::StepError;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::CheckResult;
use crate::store::{LoadedSet, Store, StoreError, load, open_named};

/// In how many places the newest proven set lies.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Copies {
    /// The names under `stores:` of the other places.
    pub(super) stores: Vec<String>,
    /// In at least so many places, the store itself included; without it, in all of them.
    pub(super) min: Option<u64>,
    /// In at least so many regions. A store that is not on S3 counts as a region of its own,
    /// together with all others that are not.
    pub(super) min_regions: Option<u64>,
}

/// A place in which the set was looked for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Copy {
    /// The store.
    pub(super) store: String,
    /// Its region, when it lies on S3.
    pub(super) region: Option<String>,
    /// The whole set is there: this very manifest, and every object in its size.
    pub(super) whole: bool,
    /// What was found, in words.
    pub(super) found: String,
}

impl Copies {
    /// What is wrong with it.
    pub(super) fn problem(&self, own: &str) -> Option<&'static str> {
        let names: BTreeSet<&str> = self.stores.iter().map(String::as_str).collect();
        let places = names.len() as u64 + 1;
        let too_many = |asked: Option<u64>| asked.is_some_and(|least| least > places);
        if self.stores.is_empty() {
            Some("no other store is named")
        } else if names.len() < self.stores.len() || names.contains(own) {
            Some("a store is named twice")
        } else if too_many(self.min) || too_many(self.min_regions) {
            Some("more places are asked for than are named")
        } else {
            None
        }
    }

    /// Looks for a set of the store `own` in all places.
    pub(super) async fn look(
        &self,
        ctx: &StepContext,
        own: &str,
        set: Option<(&str, &SetId)>,
    ) -> Result<Vec<Copy>, StepError> {
        let Some((database, set)) = set else { return Ok(Vec::new()) };
        let original = load(&*open_named(ctx, own).await?, database, set).await?;
        let mut copies = Vec::new();
        for name in std::iter::once(own).chain(self.stores.iter().map(String::as_str)) {
            let store = open_named(ctx, name).await?;
            let missing = difference(&*store, &original).await?;
            copies.push(Copy {
                store: name.to_owned(),
                region: region_of(ctx, name).await?,
                whole: missing.is_none(),
                found: missing.unwrap_or_else(|| "the whole set is there".to_owned()),
            });
        }
        Ok(copies)
    }

    /// Makes the check. Pure.
    pub(super) fn judge(&self, copies: &[Copy]) -> CheckResult {
        let result = |holds, found| CheckResult { check: "copies".to_owned(), holds, found };
        if copies.is_empty() {
            return result(false, "there is no proven set".to_owned());
        }
        let whole: Vec<&Copy> = copies.iter().filter(|copy| copy.whole).collect();
        let regions: BTreeSet<&str> =
            whole.iter().map(|copy| copy.region.as_deref().unwrap_or_default()).collect();
        let least = self.min.unwrap_or(self.stores.len() as u64 + 1);
        let mut found = format!(
            "the newest proven set is in {} of {} places, at least {least} are asked for",
            whole.len(),
            copies.len()
        );
        let mut holds = whole.len() as u64 >= least;
        if let Some(least) = self.min_regions {
            let regions = regions.len();
            write!(found, "; in {regions} regions, at least {least} are asked for").ok();
            holds &= regions as u64 >= least;
        }
        for copy in copies.iter().filter(|copy| !copy.whole) {
            write!(found, "; `{}`: {}", copy.store, copy.found).ok();
        }
        result(holds, found)
    }
}

/// The region of a store: what it says, else what the name of its server tells.
async fn region_of(ctx: &StepContext, name: &str) -> Result<Option<String>, StepError> {
    let settings = ctx.store(name).await?;
    if !settings.url.starts_with(SCHEME) {
        return Ok(None);
    }
    let told = settings.s3.endpoint_url.as_deref().and_then(region::named_in);
    Ok(settings.s3.region.filter(|region| !region.is_empty()).or(told))
}

/// How what a store holds differs from the set.
async fn difference(store: &dyn Store, set: &LoadedSet) -> Result<Option<String>, StepError> {
    let (database, id) = (&set.manifest.database, &set.manifest.set);
    let there = match load(store, database, id).await {
        Ok(there) => there,
        Err(StoreError::Missing { .. }) => return Ok(Some("the set is not there".to_owned())),
        Err(StoreError::Manifest { why, .. }) => {
            return Ok(Some(format!("its manifest does not read: {why}")));
        }
        Err(error) => return Err(error.into()),
    };
    if there.written != set.written {
        return Ok(Some("it has another manifest".to_owned()));
    }
    for file in &set.manifest.files {
        let found = store.stat(&format!("{}/{}", set.folder, file.path)).await?;
        if found.is_none_or(|object| object.bytes != file.bytes) {
            return Ok(Some(format!("`{}` is missing or cut", file.path)));
        }
    }
    Ok(None)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn copies(places: &[(&str, Option<&str>, bool)]) -> Vec<Copy> {
        let copy = |(store, region, whole): &(&str, Option<&str>, bool)| Copy {
            store: (*store).to_owned(),
            region: region.map(str::to_owned),
            whole: *whole,
            found: "the set is not there".to_owned(),
        };
        places.iter().map(copy).collect()
    }

    #[test]
    fn places_and_regions_are_counted() {
        let asked = |min, min_regions| Copies {
            stores: vec!["near".to_owned(), "far".to_owned()],
            min,
            min_regions,
        };
        let all = copies(&[
            ("disk", None, true),
            ("near", Some("us-east-1"), true),
            ("far", Some("us-west-2"), false),
        ]);
        let judged = asked(None, None).judge(&all);
        assert!(!judged.holds);
        assert!(judged.found.ends_with("; `far`: the set is not there"), "{}", judged.found);
        assert!(asked(Some(2), Some(2)).judge(&all).holds);
        assert!(!asked(Some(2), Some(3)).judge(&all).holds);
        let west = copies(&[("near", Some("us-west-2"), true), ("far", Some("us-west-2"), true)]);
        assert!(!asked(Some(2), Some(2)).judge(&west).holds);
        assert!(!asked(Some(1), None).judge(&[]).holds);
    }
}
