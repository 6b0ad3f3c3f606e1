//! What RDS checks before it accepts a request.

use std::collections::BTreeMap;

use super::instance::{Group, Instance, Status, groups, is_group};
use super::{Key, Rds};
use crate::cloud::call::Form;
use crate::cloud::refusal::Refusal;

/// The instance that a request is about.
pub(super) fn named(region: &str, form: &Form) -> Result<Key, Refusal> {
    let id = form.need("DBInstanceIdentifier")?;
    Ok((region.to_owned(), id.to_lowercase()))
}

/// An instance that is `available`, and no other change has begun.
pub(super) fn available<'a>(rds: &'a Rds, key: &Key) -> Result<&'a Instance, Refusal> {
    let instance = rds.instance(&key.0, &key.1)?;
    if instance.aurora.is_some() {
        return Err(Refusal::new(
            "InvalidParameterCombination",
            format!(
                "The requested DB Instance {} will be a member of a DB Cluster. Use the actions for DB clusters.",
                key.1
            ),
        ));
    }
    if instance.status != Status::Available || instance.promoting {
        return Err(state(format!(
            "DB Instance {} is not currently in the available state.",
            key.1
        )));
    }
    Ok(instance)
}

/// The instance is in no state for that.
pub(super) fn state(message: impl Into<String>) -> Refusal {
    Refusal::new("InvalidDBInstanceState", message)
}

/// An identifier that no instance of the region has.
pub(super) fn free(rds: &Rds, key: &Key) -> Result<(), Refusal> {
    let id = &key.1;
    let well_formed = id.starts_with(|c: char| c.is_ascii_alphabetic())
        && id.chars().all(|c| c.is_ascii_alphanumeric() || c == '-')
        && id.len() <= 63
        && !id.ends_with('-')
        && !id.contains("--");
    if !well_formed {
        return Err(Refusal::new(
            "InvalidParameterValue",
            format!("The parameter DBInstanceIdentifier is not a valid identifier: {id}"),
        ));
    }
    if rds.instances.contains_key(key) {
        return Err(Refusal::new("DBInstanceAlreadyExists", "DB Instance already exists"));
    }
    Ok(())
}

/// The retention of backups that a request asks for.
pub(super) fn retention(form: &Form) -> Result<Option<u8>, Refusal> {
    let Some(days) = form.get("BackupRetentionPeriod") else { return Ok(None) };
    days.parse().ok().filter(|days| *days <= 35).map(Some).ok_or_else(|| {
        Refusal::new(
            "InvalidParameterValue",
            format!("Invalid backup retention period: {days}. Must be between 0 and 35."),
        )
    })
}

/// The security groups that a request asks for.
pub(super) fn asked_groups(form: &Form) -> Result<Option<Vec<Group>>, Refusal> {
    let Some(ids) = form.list("VpcSecurityGroupIds") else { return Ok(None) };
    if let Some(id) = ids.iter().find(|id| !is_group(id)) {
        return Err(Refusal::new(
            "InvalidParameterValue",
            format!("Invalid security group , groupId= {id}, groupName=."),
        ));
    }
    Ok(Some(groups(&ids)))
}

/// The tags that a request gives.
pub(super) fn tags(form: &Form) -> BTreeMap<String, String> {
    form.pairs("Tags").into_iter().collect()
}

/// Takes what a request says about a new instance.
pub(super) fn fill(instance: &mut Instance, form: &Form) -> Result<(), Refusal> {
    if let Some(days) = retention(form)? {
        instance.retention = days;
    }
    if let Some(groups) = asked_groups(form)? {
        instance.groups = groups;
    }
    instance.protected = form.says("DeletionProtection").unwrap_or(instance.protected);
    instance.multi_az = form.says("MultiAZ").unwrap_or(instance.multi_az);
    for (name, field) in [
        ("DBParameterGroupName", &mut instance.parameters),
        ("DBSubnetGroupName", &mut instance.subnets),
        ("DBInstanceClass", &mut instance.class),
    ] {
        if let Some(given) = form.get(name) {
            given.clone_into(field);
        }
    }
    instance.tags = tags(form);
    Ok(())
}
