//! Regions: which one the name of a server tells, and which ones the steps of a plan need.

mod places;
mod uses;
mod without;

use std::sync::LazyLock;

use regex::Regex;

pub use places::Places;
pub use uses::{RegionUse, is_of_the_world};
pub use without::{Blocked, Without, without};

/// Hosts of clouds that name their region: `db.x.eu-west-1.rds.amazonaws.com`.
static REGION: LazyLock<Regex> = LazyLock::new(|| {
    Regex::new(
        r"(?i)\b([a-z]{2}(?:-[a-z]+){1,2}-[0-9])\.[a-z0-9.-]*(?:amazonaws\.com|supabase\.com|api\.aws)\b",
    )
    .expect("the pattern is a constant")
});

/// The regions of AWS: <https://docs.aws.amazon.com/global-infrastructure/latest/regions/aws-regions.html>.
pub const OF_AWS: &[&str] = &[
    "us-east-1",
    "us-east-2",
    "us-west-1",
    "us-west-2",
    "af-south-1",
    "ap-east-1",
    "ap-east-2",
    "ap-northeast-1",
    "ap-northeast-2",
    "ap-northeast-3",
    "ap-south-1",
    "ap-south-2",
    "ap-southeast-1",
    "ap-southeast-2",
    "ap-southeast-3",
    "ap-southeast-4",
    "ap-southeast-5",
    "ap-southeast-6",
    "ap-southeast-7",
    "ca-central-1",
    "ca-west-1",
    "cn-north-1",
    "cn-northwest-1",
    "eu-central-1",
    "eu-central-2",
    "eu-north-1",
    "eu-south-1",
    "eu-south-2",
    "eu-west-1",
    "eu-west-2",
    "eu-west-3",
    "il-central-1",
    "me-central-1",
    "me-south-1",
    "mx-central-1",
    "sa-east-1",
    "us-gov-east-1",
    "us-gov-west-1",
];

/// The region that the name of a server tells.
pub fn named_in(text: &str) -> Option<String> {
    let found = REGION.captures(text)?;
    Some(found[1].to_lowercase())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_name_of_a_server_tells_its_region() {
        for (text, region) in [
            ("https://s3.eu-west-1.amazonaws.com/b", Some("eu-west-1")),
            ("postgresql://u@db.c9x.us-east-2.rds.amazonaws.com:5432/app", Some("us-east-2")),
            ("aws-0-eu-central-1.pooler.supabase.com", Some("eu-central-1")),
            ("https://sqs.us-gov-west-1.amazonaws.com", Some("us-gov-west-1")),
            ("https://S3.AP-SOUTHEAST-2.AMAZONAWS.COM", Some("ap-southeast-2")),
            ("https://s3.amazonaws.com/eu-west-1", None),
            ("https://eu-west-1.example.com", None),
            ("db.internal", None),
        ] {
            assert_eq!(named_in(text).as_deref(), region, "{text}");
        }
    }

    #[test]
    fn the_regions_of_aws_have_the_form_of_their_names() {
        for region in OF_AWS {
            let host = format!("s3.{region}.amazonaws.com");
            assert_eq!(named_in(&host).as_deref(), Some(*region));
        }
    }
}
