//! AWS: `RB0665` to `RB0669`; stores and buckets on S3: `RB0637`, `RB0690` to `RB0699`.

use model::codes::CodeInfo;

pub(super) const CODES: &[CodeInfo] = &[
    CodeInfo::new(
        "RB0637",
        "a sync would remove too much",
        "With `delete: true`, `s3.sync` removes what is only at the target. When that is more than \
         `max_delete_percent` of what is there, the source may be empty by mistake, or be another \
         one. Nothing was done.",
        "uses: s3.sync\nwith: {from: \"s3://acme-new/\", to: \"s3://acme-mirror/\", delete: true}",
    ),
    CodeInfo::new(
        "RB0665",
        "AWS refuses a request as it is",
        "The message is that of AWS: the resource is not there, or is not in a state in which this \
         can be done, or the request says something that the service does not take. Nothing was done.",
        "DBInstanceNotFound: DBInstance app-replica not found",
    ),
    CodeInfo::new(
        "RB0666",
        "AWS does not permit a request",
        "The identity that asks lacks a permission. `runbook plan` names the actions of each step. \
         Nothing was done.",
        "AccessDenied: User: arn:aws:iam::123456789012:user/ops is not authorized to perform: rds:PromoteReadReplica",
    ),
    CodeInfo::new(
        "RB0667",
        "AWS cannot answer now",
        "A request was throttled, or one that only looks had no answer. Nothing was done; the step \
         is tried again as its `retry` says.",
        "Throttling: Rate exceeded",
    ),
    CodeInfo::new(
        "RB0668",
        "a request to AWS may have taken effect, or not",
        "Its answer was lost, or was an error of the server itself. The request is not sent a second \
         time before the step has looked at what is there.",
        "the network failed while a replica was promoted",
    ),
    CodeInfo::new(
        "RB0669",
        "no region of AWS is known",
        "Write `region` in the step or under `aws`, or set `AWS_REGION`. Nothing was done.",
        "uses: rds.describe without `region`",
    ),
    CodeInfo::new(
        "RB0690",
        "AWS does not know who asks",
        "There are no credentials, or they have expired, or they are not those of an account. They \
         come from where every program of AWS finds them: `AWS_ACCESS_KEY_ID`, `AWS_PROFILE` and \
         the store's `profile`, a web identity, the role of the container or the instance. \
         Nothing was done.",
        "ExpiredToken: The provided token has expired.",
    ),
    CodeInfo::new(
        "RB0691",
        "a bucket is not where the store says",
        "There is no such bucket, or it lies in another region, or no region is known. Check the \
         store's `url`, `region` and `endpoint_url`. Nothing was done.",
        "NoSuchBucket: The specified bucket does not exist",
    ),
    CodeInfo::new(
        "RB0692",
        "S3 refuses a request as it is",
        "The message is that of S3. A storage class or a key of KMS that is not there is refused \
         so. A store that is not AWS must know conditional writes (`If-None-Match: *`); for the \
         rest, `compatible: true` sends it less. Nothing was done.",
        "stores: {backups: {url: \"s3://backups\", kms_key: no-such-key}}",
    ),
    CodeInfo::new(
        "RB0693",
        "an object may have been committed, or not",
        "The answer of S3 was lost, and it could not be asked again, or the request may still be on \
         its way. The step observes what is there before anything else is done.",
        "the network failed while a manifest was written",
    ),
    CodeInfo::new(
        "RB0694",
        "S3 keeps something else than what was sent",
        "After each write the size and the SHA-256 that S3 tells are compared with what was sent. \
         The object was removed again. A store that is not AWS may keep no SHA-256: give it \
         `compatible: true`.",
        "a proxy between us and S3 changed bytes",
    ),
    CodeInfo::new(
        "RB0695",
        "a folder cannot do what its store promises",
        "`object_lock`, `kms_key` and `storage_class` are for stores on S3, and the `url` of this one \
         turned out to be a folder.",
        "stores: {backups: {url: \"{{ params.store }}\", object_lock: {mode: compliance, days: 30}}}",
    ),
    CodeInfo::new(
        "RB0696",
        "an object cannot be copied to its place",
        "Something else is there, and nothing is overwritten unless the step says `overwrite: true`; or \
         the source is in an archive and has to be thawed first. Objects that were copied before \
         stay, and are not copied again.",
        "uses: s3.copy\nwith: {from: \"s3://acme-backups/a\", to: \"s3://acme-archive/a\"}",
    ),
    CodeInfo::new(
        "RB0697",
        "a copy is not what it should be a copy of",
        "S3 says that it copied, and what it tells of both objects afterwards differs. Somebody may \
         have written to one of them meanwhile.",
        "another program writes to the same keys",
    ),
    CodeInfo::new(
        "RB0698",
        "a bucket does not tell what it was asked for",
        "S3 took the settings, and tells others a minute later: somebody else configures the bucket \
         too, or the server does not know a setting.",
        "uses: s3.configure",
    ),
    CodeInfo::new(
        "RB0699",
        "a rule of a bucket that could not be put back",
        "`s3.configure` keeps what was there before, so that it can be undone. The bucket has a rule of \
         lifecycle that goes by a date, or by numbers of versions, which the step cannot express. \
         Nothing was done.",
        "uses: s3.configure\nwith: {bucket: acme-backups, lifecycle: []}",
    ),
];
