//! What an error of AWS means: the one place where that is decided.

use std::error::Error;
use std::{fmt, io};

use aws_credential_types::provider::error::CredentialsError;
use aws_smithy_runtime_api::client::orchestrator::HttpResponse;
use aws_smithy_runtime_api::client::result::SdkError;
use aws_smithy_types::error::metadata::ProvideErrorMetadata;

use crate::store::StoreError;
use model::step_error::StepError;

/// What an error means for who made the request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// There is no such object.
    Missing,
    /// There is no such bucket.
    NoBucket,
    /// What is asked for lies in another region.
    Elsewhere,
    /// A condition of the request does not hold.
    Condition,
    /// Somebody else writes there at this moment.
    Conflict,
    /// There is no such upload: it was completed or aborted.
    NoUpload,
    /// The object has no such bytes.
    NoRange,
    /// There are no credentials, or they are no longer good.
    Credentials,
    /// The account may not do that.
    Denied,
    /// A quota is used up.
    Full,
    /// The service does not know the request.
    Unsupported,
    /// The request cannot succeed as it is.
    Refused,
    /// Certainly not done; later it may be.
    Busy,
    /// The service is not there now. Whether it had begun, it does not say.
    Away,
    /// It may have been done: the answer was lost, or says nothing.
    Lost,
}

/// An error of AWS, in one sentence.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AwsError {
    /// What it means.
    pub kind: Kind,
    /// What AWS said, or how its answer was lost.
    pub message: String,
    /// The name that AWS has for the error: `InvalidDBInstanceState`.
    pub code: Option<String>,
}

impl fmt::Display for AwsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl Error for AwsError {}

impl AwsError {
    /// An error that no service told.
    pub(super) fn new(kind: Kind, message: impl Into<String>) -> Self {
        Self { kind, message: message.into(), code: None }
    }

    /// What the error of a request means.
    pub(super) fn of<E>(request: &str, error: &SdkError<E, HttpResponse>) -> Self
    where
        E: ProvideErrorMetadata + Error + 'static,
    {
        let mut name = None;
        let (kind, what) = match error {
            SdkError::ServiceError(told) => {
                let status = told.raw().status().as_u16();
                let (code, message) = (told.err().code(), told.err().message());
                name = code.map(str::to_owned);
                let mut words: Vec<_> = [code, message].into_iter().flatten().collect();
                let causes = chain(told.err());
                if words.is_empty() {
                    words.push(&causes);
                }
                let words = words.join(": ");
                (of_response(code, status), format!("{words} (status {status})"))
            }
            SdkError::ConstructionFailure(_) => (of_chain(error, Kind::Refused), chain(error)),
            SdkError::DispatchFailure(_) | SdkError::TimeoutError(_) => {
                (of_chain(error, Kind::Lost), chain(error))
            }
            _ => (Kind::Lost, chain(error)),
        };
        Self { code: name, ..Self::new(kind, format!("{request}: {}", what.trim())) }
    }

    /// What it means for a step whose request only looked: nothing was done.
    pub(super) fn looking(self) -> StepError {
        match self.kind {
            Kind::Lost | Kind::Away => self.busy(),
            _ => self.changing(),
        }
    }

    /// What it means for a step whose request changes something, and was sent once.
    pub(super) fn changing(self) -> StepError {
        match self.kind {
            Kind::Credentials => StepError::needs_operator("RB0690", self.message)
                .hint("renew the credentials, then `runbook resume --retry-failed`"),
            Kind::Denied => StepError::needs_operator("RB0666", self.message)
                .hint("`runbook plan` names the actions that the step needs"),
            Kind::Elsewhere => StepError::needs_operator("RB0669", self.message),
            Kind::Busy => self.busy(),
            Kind::Lost | Kind::Away => StepError::ambiguous("RB0668", self.message),
            _ => StepError::permanent("RB0665", self.message),
        }
    }

    fn busy(self) -> StepError {
        StepError::transient("RB0667", self.message)
    }

    /// What it means for the object at `path`.
    pub(super) fn at(self, path: &str) -> StoreError {
        let path = path.to_owned();
        match self.kind {
            Kind::Missing => StoreError::Missing { path },
            Kind::Condition => StoreError::Exists { path },
            Kind::Denied => StoreError::Denied { path, source: io::Error::other(self) },
            Kind::Full => StoreError::Full { path, source: io::Error::other(self) },
            Kind::Credentials => StoreError::Credentials { path, source: Box::new(self) },
            Kind::NoBucket | Kind::Elsewhere => StoreError::Bucket { path, source: Box::new(self) },
            Kind::NoRange | Kind::Unsupported | Kind::Refused => {
                StoreError::Rejected { path, source: Box::new(self) }
            }
            Kind::Busy | Kind::Away | Kind::Lost | Kind::Conflict | Kind::NoUpload => {
                StoreError::Io { path, source: io::Error::other(self) }
            }
        }
    }
}

/// The causes of an error, outermost first, each once.
fn chain(error: &(dyn Error + 'static)) -> String {
    let mut words: Vec<String> = Vec::new();
    let mut next = Some(error);
    while let Some(cause) = next {
        let text = cause.to_string();
        if !words.iter().any(|word| word.contains(&text)) {
            words.push(text);
        }
        next = cause.source();
    }
    words.join(": ")
}

/// Credentials are looked for before anything is sent.
fn of_chain(error: &(dyn Error + 'static), other: Kind) -> Kind {
    let mut next = Some(error);
    while let Some(cause) = next {
        if cause.is::<CredentialsError>() {
            return Kind::Credentials;
        }
        next = cause.source();
    }
    other
}

/// <https://docs.aws.amazon.com/AmazonS3/latest/API/ErrorResponses.html>
fn of_response(code: Option<&str>, status: u16) -> Kind {
    match code.unwrap_or_default() {
        "NoSuchKey"
        | "NoSuchVersion"
        | "DBInstanceNotFound"
        | "DBSnapshotNotFound"
        | "ParameterNotFound"
        | "ResourceNotFoundException"
        | "NoSuchHostedZone"
        | "NoSuchChange" => Kind::Missing,
        "NoSuchBucket" => Kind::NoBucket,
        "NoSuchUpload" => Kind::NoUpload,
        "PreconditionFailed" => Kind::Condition,
        "ConditionalRequestConflict" | "OperationAborted" => Kind::Conflict,
        "InvalidRange" => Kind::NoRange,
        "PermanentRedirect" | "TemporaryRedirect" | "AuthorizationHeaderMalformed" => {
            Kind::Elsewhere
        }
        "ExpiredToken"
        | "ExpiredTokenException"
        | "InvalidToken"
        | "TokenRefreshRequired"
        | "InvalidAccessKeyId"
        | "InvalidClientTokenId"
        | "UnrecognizedClientException"
        | "SignatureDoesNotMatch"
        | "RequestTimeTooSkewed"
        | "RequestExpired"
        | "AuthFailure" => Kind::Credentials,
        "AccessDenied" | "AccessDeniedException" | "AllAccessDisabled" | "AccountProblem" => {
            Kind::Denied
        }
        "QuotaExceeded" | "XMinioStorageFull" => Kind::Full,
        // The bytes were damaged on their way, or did not all arrive: nothing was stored.
        "BadDigest" | "IncompleteBody" | "XAmzContentSHA256Mismatch" | "RequestTimeout" => {
            Kind::Busy
        }
        "SlowDown"
        | "Throttling"
        | "ThrottlingException"
        | "ThrottledException"
        | "RequestLimitExceeded"
        | "PriorRequestNotComplete"
        | "TooManyUpdates"
        | "TooManyRequestsException" => Kind::Busy,
        "NotImplemented" => Kind::Unsupported,
        _ => of_status(status),
    }
}

/// Answers without a code: those to HEAD, and of who stands between.
fn of_status(status: u16) -> Kind {
    match status {
        301 | 302 | 307 | 308 => Kind::Elsewhere,
        401 => Kind::Credentials,
        403 => Kind::Denied,
        404 => Kind::Missing,
        405 | 501 => Kind::Unsupported,
        408 | 429 => Kind::Busy,
        503 => Kind::Away,
        409 => Kind::Conflict,
        412 => Kind::Condition,
        416 => Kind::NoRange,
        507 => Kind::Full,
        400..=499 => Kind::Refused,
        _ => Kind::Lost,
    }
}

#[cfg(test)]
mod tests {
    use aws_sdk_s3::error::{ConnectorError, ErrorMetadata};
    use aws_sdk_s3::operation::get_object::GetObjectError;
    use aws_smithy_runtime_api::http::StatusCode;
    use aws_smithy_types::body::SdkBody;
    use model::step_error::ErrorClass::{self, Ambiguous, NeedsOperator, Permanent, Transient};
    use model::step_error::StepError;

    use super::*;

    fn answer(code: Option<&str>, status: u16) -> AwsError {
        let mut meta = ErrorMetadata::builder().message("as it is told");
        if let Some(code) = code {
            meta = meta.code(code);
        }
        let status = StatusCode::try_from(status).unwrap();
        let raw = HttpResponse::new(status, SdkBody::empty());
        AwsError::of(
            "GetObject",
            &SdkError::service_error(GetObjectError::generic(meta.build()), raw),
        )
    }

    fn class(error: AwsError) -> (String, ErrorClass) {
        let error = StepError::from(error.at("sets/shop"));
        (error.code, error.class)
    }

    #[test]
    fn each_code_has_its_meaning() {
        for (code, status, expected) in [
            ("NoSuchKey", 404, ("RB0602", Permanent)),
            ("NoSuchBucket", 404, ("RB0691", NeedsOperator)),
            ("NoSuchUpload", 404, ("RB0607", Transient)),
            ("PreconditionFailed", 412, ("RB0603", Permanent)),
            ("ConditionalRequestConflict", 409, ("RB0607", Transient)),
            ("InvalidRange", 416, ("RB0692", Permanent)),
            ("PermanentRedirect", 301, ("RB0691", NeedsOperator)),
            ("AuthorizationHeaderMalformed", 400, ("RB0691", NeedsOperator)),
            ("ExpiredToken", 400, ("RB0690", NeedsOperator)),
            ("InvalidAccessKeyId", 403, ("RB0690", NeedsOperator)),
            ("SignatureDoesNotMatch", 403, ("RB0690", NeedsOperator)),
            ("RequestTimeTooSkewed", 403, ("RB0690", NeedsOperator)),
            ("AccessDenied", 403, ("RB0605", NeedsOperator)),
            ("QuotaExceeded", 403, ("RB0604", Permanent)),
            ("BadDigest", 400, ("RB0607", Transient)),
            ("SlowDown", 503, ("RB0607", Transient)),
            ("NotImplemented", 501, ("RB0692", Permanent)),
            ("InvalidStorageClass", 400, ("RB0692", Permanent)),
            ("InternalError", 500, ("RB0607", Transient)),
        ] {
            let (code_of, class_of) = class(answer(Some(code), status));
            assert_eq!((code_of.as_str(), class_of), expected, "{code}");
        }
    }

    #[test]
    fn an_answer_without_a_code_is_judged_by_its_status() {
        use Kind::{
            Away, Busy, Condition, Conflict, Credentials, Denied, Elsewhere, Full, Lost, Missing,
            NoRange, Refused, Unsupported,
        };
        for (status, kind) in [
            (301, Elsewhere),
            (400, Refused),
            (401, Credentials),
            (403, Denied),
            (404, Missing),
            (405, Unsupported),
            (409, Conflict),
            (412, Condition),
            (416, NoRange),
            (429, Busy),
            (500, Lost),
            (501, Unsupported),
            (502, Lost),
            (503, Away),
            (507, Full),
        ] {
            assert_eq!(answer(None, status).kind, kind, "{status}");
        }
    }

    #[test]
    fn a_request_without_an_answer_may_have_been_done_unless_credentials_were_missing() {
        type Lost = SdkError<GetObjectError, HttpResponse>;
        let of = |error: Lost| AwsError::of("GetObject", &error);
        let io = ConnectorError::io("connection reset".into());
        let told = of(Lost::dispatch_failure(io));
        assert_eq!(told.kind, Kind::Lost);
        assert_eq!(told.message, "GetObject: dispatch failure: io error: connection reset");
        assert_eq!(of(Lost::timeout_error("too late")).kind, Kind::Lost);
        let raw = HttpResponse::new(StatusCode::try_from(200).unwrap(), SdkBody::empty());
        assert_eq!(of(Lost::response_error("no XML", raw)).kind, Kind::Lost);
        assert_eq!(of(Lost::construction_failure("no bucket")).kind, Kind::Refused);
        let nobody = || CredentialsError::not_loaded("no providers in chain");
        let other = ConnectorError::other(nobody().into(), None);
        assert_eq!(of(Lost::dispatch_failure(other)).kind, Kind::Credentials);
        assert_eq!(of(Lost::construction_failure(nobody())).kind, Kind::Credentials);
    }

    #[test]
    fn a_look_did_nothing_and_a_change_may_have_been_made() {
        for (code, status, look, change) in [
            (None, 500, ("RB0667", Transient), ("RB0668", Ambiguous)),
            (Some("ServiceUnavailable"), 503, ("RB0667", Transient), ("RB0668", Ambiguous)),
            (Some("Throttling"), 400, ("RB0667", Transient), ("RB0667", Transient)),
            (Some("PriorRequestNotComplete"), 400, ("RB0667", Transient), ("RB0667", Transient)),
            (Some("AccessDenied"), 403, ("RB0666", NeedsOperator), ("RB0666", NeedsOperator)),
            (Some("ExpiredToken"), 400, ("RB0690", NeedsOperator), ("RB0690", NeedsOperator)),
            (Some("InvalidDBInstanceState"), 400, ("RB0665", Permanent), ("RB0665", Permanent)),
            (Some("DBInstanceNotFound"), 404, ("RB0665", Permanent), ("RB0665", Permanent)),
        ] {
            let of = |error: StepError| (error.code.clone(), error.class);
            let looked = of(answer(code, status).looking());
            assert_eq!((looked.0.as_str(), looked.1), look, "{code:?}");
            let changed = answer(code, status).changing();
            assert_eq!((changed.code.as_str(), changed.class), change, "{code:?}");
        }
        let told = |code, status| answer(code, status).changing().told();
        shown::case("RB0665", told(Some("DBInstanceNotFound"), 404));
        shown::case("RB0666", told(Some("AccessDenied"), 403));
        shown::case("RB0667", told(Some("Throttling"), 400));
        shown::case("RB0668", told(Some("ServiceUnavailable"), 503));
        let nowhere = AwsError::new(Kind::Elsewhere, "no region is known").changing();
        assert_eq!(nowhere.class, NeedsOperator);
        shown::case("RB0669", nowhere.told());
    }

    #[test]
    fn each_error_is_told_with_what_to_do() {
        let told = |error: AwsError| StepError::from(error.at("sets/shop/manifest.json")).told();
        shown::case("RB0690", told(answer(Some("ExpiredToken"), 400)));
        shown::case("RB0691", told(answer(Some("NoSuchBucket"), 404)));
        shown::case("RB0692", told(answer(Some("InvalidStorageClass"), 400)));
        let lost = Box::new(AwsError::new(Kind::Lost, "PutObject: connection reset"));
        let unsure =
            StepError::from(StoreError::Unsure { path: "sets/x".to_owned(), source: lost });
        assert_eq!(unsure.class, Ambiguous);
        shown::case("RB0693", unsure.told());
        let why = "12 bytes were sent, it has 11".to_owned();
        let altered = StepError::from(StoreError::Altered { path: "sets/x".to_owned(), why });
        assert_eq!(altered.class, Permanent);
        shown::case("RB0694", altered.told());
    }
}
