//! The environment that leads to a laboratory.

use super::{BUCKET, BUCKET_WEST, DATABASE, Site};
use crate::cloud::{ACCESS_KEY, PRIMARY_REGION, REPLICA_REGION, SECRET_KEY, ZONE_ID};
use crate::cluster::USER;

impl Site {
    /// Names and values, in the order of an env file. No value needs quotes.
    pub fn environment(&self) -> Vec<(&'static str, String)> {
        let text = str::to_owned;
        let primary = self.instance(PRIMARY_REGION);
        let address = primary.as_ref().and_then(|it| it.address.clone()).unwrap_or_default();
        let port = primary.and_then(|it| it.port).unwrap_or_default();
        vec![
            ("AWS_ACCESS_KEY_ID", text(ACCESS_KEY)),
            ("AWS_SECRET_ACCESS_KEY", text(SECRET_KEY)),
            ("AWS_REGION", text(PRIMARY_REGION)),
            ("AWS_DEFAULT_REGION", text(PRIMARY_REGION)),
            ("AWS_ENDPOINT_URL", self.cloud.url()),
            ("AWS_EC2_METADATA_DISABLED", text("true")),
            ("PRIMARY_DATABASE_URL", self.url(PRIMARY_REGION)),
            ("STANDBY_DATABASE_URL", self.url(REPLICA_REGION)),
            ("SCRATCH_DATABASE_URL", self.scratch.url(USER)),
            ("DATABASE_URL", self.url(PRIMARY_REGION)),
            ("PGHOST", address),
            ("PGPORT", port.to_string()),
            ("PGUSER", text(USER)),
            ("PGPASSWORD", self.password.clone()),
            ("PGDATABASE", text(DATABASE)),
            ("SLACK_WEBHOOK_URL", self.sink.slack_url()),
            ("PAGERDUTY_URL", self.sink.pagerduty_url()),
            ("RUNBOOK_STORE", format!("s3://{BUCKET}/runbook")),
            ("LAB_STORE_WEST", format!("s3://{BUCKET_WEST}/runbook")),
            ("LAB_DNS", self.dns.address().to_string()),
            ("LAB_APP_URL", self.ledger.url()),
            ("LAB_ZONE_ID", text(ZONE_ID)),
        ]
    }

    /// The text of an env file.
    pub fn env_file(&self) -> String {
        self.environment().iter().map(|(name, value)| format!("{name}={value}\n")).collect()
    }
}
