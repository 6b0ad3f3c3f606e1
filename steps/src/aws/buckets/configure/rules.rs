//! Rules of a lifecycle, to and from the words of S3.

use aws_sdk_s3::error::BuildError;
use aws_sdk_s3::types::{
    AbortIncompleteMultipartUpload, ExpirationStatus, LifecycleExpiration, LifecycleRule,
    LifecycleRuleAndOperator, LifecycleRuleFilter, NoncurrentVersionExpiration,
    NoncurrentVersionTransition, Tag, Transition as Move, TransitionStorageClass,
};

use super::settings::{Rule, Transition};

/// A rule in the words of S3.
pub(super) fn to_s3(rule: &Rule) -> Result<LifecycleRule, BuildError> {
    let moves = rule
        .transitions
        .iter()
        .map(|one| Move::builder().days(one.days).storage_class(class(&one.storage_class)).build());
    let noncurrent = rule.noncurrent_transitions.iter().map(|one| {
        NoncurrentVersionTransition::builder()
            .noncurrent_days(one.days)
            .storage_class(class(&one.storage_class))
            .build()
    });
    let (moves, noncurrent): (Vec<_>, Vec<_>) = (moves.collect(), noncurrent.collect());
    let abort = rule
        .abort_uploads_after_days
        .map(|days| AbortIncompleteMultipartUpload::builder().days_after_initiation(days).build());
    LifecycleRule::builder()
        .id(&rule.id)
        .status(if rule.enabled { ExpirationStatus::Enabled } else { ExpirationStatus::Disabled })
        .filter(filter(rule)?)
        .set_transitions((!moves.is_empty()).then_some(moves))
        .set_noncurrent_version_transitions((!noncurrent.is_empty()).then_some(noncurrent))
        .set_expiration(expiration(rule))
        .set_noncurrent_version_expiration(noncurrent_expiration(rule))
        .set_abort_incomplete_multipart_upload(abort)
        .build()
}

fn class(name: &str) -> TransitionStorageClass {
    TransitionStorageClass::from(name)
}

fn expiration(rule: &Rule) -> Option<LifecycleExpiration> {
    let marker = rule.remove_lone_markers.then_some(true);
    (rule.expire_after_days.is_some() || marker.is_some()).then(|| {
        LifecycleExpiration::builder()
            .set_days(rule.expire_after_days)
            .set_expired_object_delete_marker(marker)
            .build()
    })
}

fn noncurrent_expiration(rule: &Rule) -> Option<NoncurrentVersionExpiration> {
    let days = rule.noncurrent_expire_after_days?;
    let keep = rule.noncurrent_keep;
    let expiration = NoncurrentVersionExpiration::builder().noncurrent_days(days);
    Some(expiration.set_newer_noncurrent_versions(keep).build())
}

/// S3 takes one condition by itself, and several under `And`.
fn filter(rule: &Rule) -> Result<LifecycleRuleFilter, BuildError> {
    let tags: Result<Vec<Tag>, _> =
        rule.tags.iter().map(|(key, value)| Tag::builder().key(key).value(value).build()).collect();
    let tags = tags?;
    let sizes = [rule.larger_than, rule.smaller_than].iter().flatten().count();
    let conditions = tags.len() + sizes + usize::from(!rule.prefix.is_empty());
    let filter = LifecycleRuleFilter::builder();
    if conditions > 1 {
        let all = LifecycleRuleAndOperator::builder()
            .set_prefix((!rule.prefix.is_empty()).then(|| rule.prefix.clone()))
            .set_tags((!tags.is_empty()).then_some(tags))
            .set_object_size_greater_than(rule.larger_than)
            .set_object_size_less_than(rule.smaller_than)
            .build();
        return Ok(filter.and(all).build());
    }
    let filter = filter
        .set_object_size_greater_than(rule.larger_than)
        .set_object_size_less_than(rule.smaller_than)
        .set_tag(tags.into_iter().next());
    let only_prefix = rule.tags.is_empty() && sizes == 0;
    Ok(filter.set_prefix(only_prefix.then(|| rule.prefix.clone())).build())
}

/// A rule of S3; the reason when it says more than a rule of ours can.
pub(super) fn of_s3(rule: &LifecycleRule) -> Result<Rule, &'static str> {
    let dated = "it goes by a date";
    let expiration = rule.expiration();
    if expiration.is_some_and(|one| one.date().is_some())
        || rule.transitions().iter().any(|one| one.date().is_some())
    {
        return Err(dated);
    }
    if rule.noncurrent_version_transitions().iter().any(|t| t.newer_noncurrent_versions().is_some())
    {
        return Err("it moves versions by their number");
    }
    let mut found = conditions(rule);
    found.enabled = *rule.status() == ExpirationStatus::Enabled;
    found.transitions =
        rule.transitions().iter().map(|one| transition(one.days(), one.storage_class())).collect();
    found.noncurrent_transitions = rule
        .noncurrent_version_transitions()
        .iter()
        .map(|one| transition(one.noncurrent_days(), one.storage_class()))
        .collect();
    found.expire_after_days = expiration.and_then(LifecycleExpiration::days);
    found.remove_lone_markers =
        expiration.and_then(LifecycleExpiration::expired_object_delete_marker) == Some(true);
    let noncurrent = rule.noncurrent_version_expiration();
    found.noncurrent_expire_after_days =
        noncurrent.and_then(aws_sdk_s3::types::NoncurrentVersionExpiration::noncurrent_days);
    found.noncurrent_keep = noncurrent
        .and_then(aws_sdk_s3::types::NoncurrentVersionExpiration::newer_noncurrent_versions);
    let abort = rule.abort_incomplete_multipart_upload();
    found.abort_uploads_after_days =
        abort.and_then(aws_sdk_s3::types::AbortIncompleteMultipartUpload::days_after_initiation);
    Ok(found)
}

fn transition(days: Option<i32>, class: Option<&TransitionStorageClass>) -> Transition {
    Transition {
        days: days.unwrap_or_default(),
        storage_class: class.map(|class| class.as_str().to_owned()).unwrap_or_default(),
    }
}

/// Which objects a rule is for.
fn conditions(rule: &LifecycleRule) -> Rule {
    let filter = rule.filter();
    let all = filter.and_then(|filter| filter.and());
    #[expect(deprecated, reason = "rules of old buckets have their prefix there")]
    let old = rule.prefix();
    let prefix = all.and_then(|all| all.prefix());
    let prefix = prefix.or_else(|| filter.and_then(|filter| filter.prefix())).or(old);
    let tags = all.map(LifecycleRuleAndOperator::tags).unwrap_or_default().iter();
    let tags = tags.chain(filter.and_then(|filter| filter.tag()));
    let larger =
        all.and_then(aws_sdk_s3::types::LifecycleRuleAndOperator::object_size_greater_than);
    let smaller = all.and_then(aws_sdk_s3::types::LifecycleRuleAndOperator::object_size_less_than);
    Rule {
        id: rule.id().unwrap_or_default().to_owned(),
        prefix: prefix.unwrap_or_default().to_owned(),
        tags: tags.map(|tag| (tag.key().to_owned(), tag.value().to_owned())).collect(),
        larger_than: larger.or_else(|| {
            filter.and_then(aws_sdk_s3::types::LifecycleRuleFilter::object_size_greater_than)
        }),
        smaller_than: smaller.or_else(|| {
            filter.and_then(aws_sdk_s3::types::LifecycleRuleFilter::object_size_less_than)
        }),
        enabled: true,
        transitions: Vec::new(),
        expire_after_days: None,
        remove_lone_markers: false,
        noncurrent_transitions: Vec::new(),
        noncurrent_expire_after_days: None,
        noncurrent_keep: None,
        abort_uploads_after_days: None,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn rule(keys: &Value) -> Rule {
        let mut rule = json!({"id": "old"});
        rule.as_object_mut().unwrap().extend(keys.as_object().unwrap().clone());
        serde_json::from_value(rule).unwrap()
    }

    #[test]
    fn a_rule_comes_back_as_it_went() {
        for keys in [
            json!({}),
            json!({"prefix": "lms/", "expire_after_days": 30}),
            json!({"tags": {"keep": "year"}, "enabled": false, "expire_after_days": 365}),
            json!({"tags": {"a": "b", "c": "d"}, "abort_uploads_after_days": 3}),
            json!({"larger_than": 1000, "remove_lone_markers": true}),
            json!({"prefix": "x", "smaller_than": 9, "expire_after_days": 1}),
            json!({"transitions": [
                {"days": 30, "storage_class": "STANDARD_IA"},
                {"days": 90, "storage_class": "DEEP_ARCHIVE"},
            ]}),
            json!({
                "noncurrent_transitions": [{"days": 7, "storage_class": "GLACIER_IR"}],
                "noncurrent_expire_after_days": 90,
                "noncurrent_keep": 3,
            }),
        ] {
            let rule = rule(&keys);
            assert_eq!(of_s3(&to_s3(&rule).unwrap()), Ok(rule));
        }
    }

    #[test]
    fn a_rule_that_says_more_is_not_taken_for_one_of_ours() {
        let date = aws_sdk_s3::primitives::DateTime::from_secs(0);
        let by_date = LifecycleExpiration::builder().date(date).build();
        let rule = LifecycleRule::builder().id("a").status(ExpirationStatus::Enabled);
        assert!(of_s3(&rule.expiration(by_date).build().unwrap()).is_err());
    }
}
