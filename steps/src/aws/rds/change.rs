//! Changes: each request is sent once, and its answer says whether it may have been done.

use aws_sdk_rds::types::Tag as SdkTag;
use aws_smithy_types::DateTime;
use jiff::Timestamp;
use model::step_error::StepError;

use super::Rds;
use crate::aws::classify::{AwsError, Kind};

/// How a request that changes something ended.
#[derive(Debug)]
pub(crate) enum Sent {
    /// RDS accepted it.
    Accepted,
    /// Certainly not done: it cannot be done in the state in which the instance is now.
    State(String),
    /// Certainly not done: there is one of that name already.
    Taken(String),
    /// Certainly not done.
    Refused(StepError),
    /// Nobody knows.
    Lost(StepError),
}

/// A tag of what is made.
#[derive(Debug, Clone)]
pub(crate) struct Tag {
    pub(crate) key: String,
    pub(crate) value: String,
}

/// What is said of any new instance, in place of the defaults of AWS.
pub(crate) struct Copied<'a> {
    pub(crate) instance: &'a str,
    pub(crate) class: Option<&'a str>,
    pub(crate) subnet_group: &'a str,
    pub(crate) security_groups: &'a [String],
    pub(crate) parameter_group: &'a str,
    pub(crate) multi_az: Option<bool>,
    pub(crate) publicly_accessible: bool,
    pub(crate) deletion_protection: bool,
    pub(crate) tags: Vec<Tag>,
}

fn sent<T>(answer: Result<T, AwsError>) -> Sent {
    let Err(error) = answer else { return Sent::Accepted };
    match (error.code.as_deref().unwrap_or_default(), error.kind) {
        (_, Kind::Lost | Kind::Away) => Sent::Lost(error.changing()),
        ("InvalidDBInstanceState" | "InvalidDBSnapshotState", _) => Sent::State(error.message),
        ("DBInstanceAlreadyExists" | "DBSnapshotAlreadyExists", _) => Sent::Taken(error.message),
        _ => Sent::Refused(error.changing()),
    }
}

fn sdk(tags: &[Tag]) -> Vec<SdkTag> {
    let tag = |tag: &Tag| SdkTag::builder().key(&tag.key).value(&tag.value).build();
    tags.iter().map(tag).collect()
}

/// What the requests for a new instance have in common; their builders share no trait.
macro_rules! with_copied {
    ($request:expr, $copied:expr) => {
        $request
            .set_db_instance_class($copied.class.map(str::to_owned))
            .db_subnet_group_name($copied.subnet_group)
            .set_vpc_security_group_ids(Some($copied.security_groups.to_vec()))
            .db_parameter_group_name($copied.parameter_group)
            .set_multi_az($copied.multi_az)
            .publicly_accessible($copied.publicly_accessible)
            .deletion_protection($copied.deletion_protection)
            .set_tags(Some(sdk(&$copied.tags)))
    };
}

impl Rds {
    /// Makes a read replica an instance of its own.
    pub(crate) async fn promote(&self, instance: &str, retention: Option<i32>) -> Sent {
        let request = self.changes.promote_read_replica().db_instance_identifier(instance);
        let request = request.set_backup_retention_period(retention);
        sent(request.send().await.map_err(|error| AwsError::of("PromoteReadReplica", &error)))
    }

    /// Puts an instance into these security groups, at once.
    pub(crate) async fn move_into(&self, instance: &str, groups: &[String]) -> Sent {
        let request = self.changes.modify_db_instance().db_instance_identifier(instance);
        let request = request.set_vpc_security_group_ids(Some(groups.to_vec()));
        let answer = request.apply_immediately(true).send().await;
        sent(answer.map_err(|error| AwsError::of("ModifyDBInstance", &error)))
    }

    /// Restarts an instance, which ends every connection to it.
    pub(crate) async fn reboot(&self, instance: &str) -> Sent {
        let request = self.changes.reboot_db_instance().db_instance_identifier(instance);
        sent(request.send().await.map_err(|error| AwsError::of("RebootDBInstance", &error)))
    }

    /// Takes a snapshot of an instance.
    pub(crate) async fn take_snapshot(&self, name: &str, instance: &str, tags: &[Tag]) -> Sent {
        let request = self.changes.create_db_snapshot().db_snapshot_identifier(name);
        let answer =
            request.db_instance_identifier(instance).set_tags(Some(sdk(tags))).send().await;
        sent(answer.map_err(|error| AwsError::of("CreateDBSnapshot", &error)))
    }

    /// Makes a read replica of `source`: an instance of this region, or the ARN of another's.
    pub(crate) async fn replicate(
        &self,
        source: &str,
        key: Option<&str>,
        copied: &Copied<'_>,
    ) -> Sent {
        let request = self.changes.create_db_instance_read_replica();
        let request = request
            .db_instance_identifier(copied.instance)
            .source_db_instance_identifier(source)
            .set_kms_key_id(key.map(str::to_owned));
        let answer = with_copied!(request, copied).send().await;
        sent(answer.map_err(|error| AwsError::of("CreateDBInstanceReadReplica", &error)))
    }

    /// Makes an instance of a snapshot.
    pub(crate) async fn restore_snapshot(&self, snapshot: &str, copied: &Copied<'_>) -> Sent {
        let request = self.changes.restore_db_instance_from_db_snapshot();
        let request = request.db_instance_identifier(copied.instance);
        let request = with_copied!(request.db_snapshot_identifier(snapshot), copied);
        let answer = request.send().await;
        sent(answer.map_err(|error| AwsError::of("RestoreDBInstanceFromDBSnapshot", &error)))
    }

    /// Makes an instance that is as `source` was at a moment; without one, as late as can be.
    pub(crate) async fn restore_to_time(
        &self,
        source: &str,
        time: Option<Timestamp>,
        copied: &Copied<'_>,
    ) -> Sent {
        let request = self.changes.restore_db_instance_to_point_in_time();
        let request = request
            .source_db_instance_identifier(source)
            .target_db_instance_identifier(copied.instance)
            .set_restore_time(time.map(|time| DateTime::from_secs(time.as_second())))
            .set_use_latest_restorable_time(time.is_none().then_some(true));
        let answer = with_copied!(request, copied).send().await;
        sent(answer.map_err(|error| AwsError::of("RestoreDBInstanceToPointInTime", &error)))
    }

    /// Deletes an instance; its last state is kept as a snapshot.
    pub(crate) async fn delete(&self, instance: &str, snapshot: Option<&str>) -> Sent {
        let request = self.changes.delete_db_instance().db_instance_identifier(instance);
        let request = request.skip_final_snapshot(snapshot.is_none());
        let request = request.set_final_db_snapshot_identifier(snapshot.map(str::to_owned));
        sent(request.send().await.map_err(|error| AwsError::of("DeleteDBInstance", &error)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_an_answer_that_is_lost_leaves_it_open_whether_it_was_done() {
        let error = |code: Option<&str>, kind| {
            let mut error = AwsError::new(kind, "as it is told");
            error.code = code.map(str::to_owned);
            sent::<()>(Err(error))
        };
        assert!(matches!(sent(Ok(())), Sent::Accepted));
        assert!(matches!(error(None, Kind::Lost), Sent::Lost(_)));
        assert!(matches!(error(Some("InternalFailure"), Kind::Away), Sent::Lost(_)));
        assert!(matches!(error(Some("InvalidDBInstanceState"), Kind::Refused), Sent::State(_)));
        assert!(matches!(error(Some("DBInstanceAlreadyExists"), Kind::Refused), Sent::Taken(_)));
        for kind in [Kind::Busy, Kind::Denied, Kind::Credentials, Kind::Refused, Kind::Missing] {
            assert!(matches!(error(None, kind), Sent::Refused(_)), "{kind:?}");
        }
    }
}
