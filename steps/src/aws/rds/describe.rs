//! Looks: the SDK's types become those of the steps.

use aws_sdk_rds::types::{DbInstance, DbSnapshot, Tag};
use aws_smithy_types::DateTime;
use jiff::Timestamp;
use model::step_error::StepError;

use super::Rds;
use crate::aws::classify::{AwsError, Kind};
use crate::rds::instance::{Endpoint, Group, Instance, Snapshot};

impl Rds {
    /// An instance; nothing when there is none of that name in this region.
    pub(crate) async fn instance(&self, name: &str) -> Result<Option<Instance>, StepError> {
        let sent = self.looks.describe_db_instances().db_instance_identifier(name).send().await;
        match sent.map_err(|error| AwsError::of("DescribeDBInstances", &error)) {
            Ok(found) => Ok(found.db_instances().first().map(|one| instance(one, &self.region))),
            Err(error) if error.kind == Kind::Missing => Ok(None),
            Err(error) => Err(error.looking()),
        }
    }

    /// A snapshot; nothing when there is none of that name in this region.
    pub(crate) async fn snapshot(&self, name: &str) -> Result<Option<Snapshot>, StepError> {
        let sent = self.looks.describe_db_snapshots().db_snapshot_identifier(name).send().await;
        match sent.map_err(|error| AwsError::of("DescribeDBSnapshots", &error)) {
            Ok(found) => Ok(found.db_snapshots().first().map(snapshot)),
            Err(error) if error.kind == Kind::Missing => Ok(None),
            Err(error) => Err(error.looking()),
        }
    }
}

fn text(value: Option<&str>) -> String {
    value.unwrap_or_default().to_owned()
}

fn said(value: Option<&str>) -> Option<String> {
    value.filter(|value| !value.is_empty()).map(str::to_owned)
}

fn moment(value: Option<&DateTime>) -> Option<Timestamp> {
    let value = value?;
    Timestamp::new(value.secs(), i32::try_from(value.subsec_nanos()).ok()?).ok()
}

fn tags(list: &[Tag]) -> Vec<(String, String)> {
    list.iter().map(|tag| (text(tag.key()), text(tag.value()))).collect()
}

fn instance(one: &DbInstance, region: &str) -> Instance {
    let groups = one.vpc_security_groups().iter().map(|group| Group {
        id: text(group.vpc_security_group_id()),
        status: text(group.status()),
    });
    let parameters = one.db_parameter_groups().iter();
    let endpoint = one.endpoint().and_then(|endpoint| {
        let port = u16::try_from(endpoint.port()?).ok()?;
        Some(Endpoint { address: endpoint.address()?.to_owned(), port })
    });
    Instance {
        instance: text(one.db_instance_identifier()),
        arn: text(one.db_instance_arn()),
        region: region.to_owned(),
        resource_id: text(one.dbi_resource_id()),
        status: text(one.db_instance_status()),
        endpoint,
        engine: text(one.engine()),
        engine_version: text(one.engine_version()),
        class: text(one.db_instance_class()),
        cluster: said(one.db_cluster_identifier()),
        source: said(one.read_replica_source_db_instance_identifier()),
        replicas: one.read_replica_db_instance_identifiers().to_vec(),
        backup_retention: one.backup_retention_period().unwrap_or_default(),
        latest_restorable_time: moment(one.latest_restorable_time()),
        deletion_protection: one.deletion_protection().unwrap_or_default(),
        multi_az: one.multi_az().unwrap_or_default(),
        storage_encrypted: one.storage_encrypted().unwrap_or_default(),
        security_groups: groups.collect(),
        parameter_groups: parameters.map(|group| text(group.db_parameter_group_name())).collect(),
        subnet_group: said(one.db_subnet_group().and_then(|group| group.db_subnet_group_name())),
        tags: tags(one.tag_list()).into_iter().collect(),
    }
}

fn snapshot(one: &DbSnapshot) -> Snapshot {
    let taken = one.original_snapshot_create_time().or(one.snapshot_create_time());
    Snapshot {
        snapshot: text(one.db_snapshot_identifier()),
        arn: text(one.db_snapshot_arn()),
        instance: text(one.db_instance_identifier()),
        status: text(one.status()),
        engine: text(one.engine()),
        percent: one.percent_progress().and_then(|percent| percent.try_into().ok()),
        taken_at: moment(taken),
        tags: tags(one.tag_list()).into_iter().collect(),
    }
}
