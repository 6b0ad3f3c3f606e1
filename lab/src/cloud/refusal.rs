//! What AWS says when it does not do what is asked.

use super::call::Protocol;
use super::xml::{text, tree};

/// An error as AWS tells it.
#[derive(Clone, Debug)]
pub(super) struct Refusal {
    pub(super) status: u16,
    pub(super) code: String,
    pub(super) message: String,
}

impl Refusal {
    /// What is asked for is wrong: status 400.
    pub(super) fn new(code: &str, message: impl Into<String>) -> Self {
        Self { status: 400, code: code.to_owned(), message: message.into() }
    }

    /// There is no such thing: status 404.
    pub(super) fn missing(code: &str, message: impl Into<String>) -> Self {
        Self { status: 404, ..Self::new(code, message) }
    }

    /// A parameter is not there.
    pub(super) fn lacks(name: &str) -> Self {
        let message = format!("The request must contain the parameter {name}");
        Self::new("MissingParameter", message)
    }

    /// The laboratory's service does not know the action.
    pub(super) fn unknown(action: &str) -> Self {
        Self::new("InvalidAction", format!("the laboratory has no action {action}"))
    }

    /// The service failed.
    pub(super) fn internal() -> Self {
        let message = "The request processing has failed because of an unknown error";
        Self { status: 500, ..Self::new("InternalFailure", message) }
    }

    /// Too many requests.
    pub(super) fn throttled(protocol: Protocol) -> Self {
        let code = if protocol == Protocol::Json { "ThrottlingException" } else { "Throttling" };
        Self::new(code, "Rate exceeded")
    }

    /// The credentials are too old.
    pub(super) fn expired(protocol: Protocol) -> Self {
        let message = "The security token included in the request is expired";
        match protocol {
            Protocol::Json => Self::new("ExpiredTokenException", message),
            _ => Self { status: 403, ..Self::new("ExpiredToken", message) },
        }
    }

    /// The access key is nobody's.
    pub(super) fn unknown_key(protocol: Protocol) -> Self {
        let message = "The security token included in the request is invalid.";
        match protocol {
            Protocol::Json => Self::new("UnrecognizedClientException", message),
            _ => Self { status: 403, ..Self::new("InvalidClientTokenId", message) },
        }
    }

    /// The same as S3 says it.
    pub(super) fn of_s3(self) -> Self {
        let (status, code) = match self.code.as_str() {
            "Throttling" => (503, "SlowDown"),
            "ExpiredToken" => (400, "ExpiredToken"),
            "InternalFailure" => (500, "InternalError"),
            _ => return self,
        };
        Self { status, code: code.to_owned(), ..self }
    }

    /// The body of the answer.
    pub(super) fn told(&self, protocol: Protocol, namespace: &str, request: &str) -> String {
        if protocol == Protocol::Json {
            let said = serde_json::json!({"__type": self.code, "message": self.message,
                                          "Message": self.message});
            return said.to_string();
        }
        let side = if self.status < 500 { "Sender" } else { "Receiver" };
        let error = tree(
            "Error",
            [text("Type", side), text("Code", &self.code), text("Message", &self.message)],
        );
        if namespace.is_empty() {
            // S3 has no envelope.
            let told = [text("Code", &self.code), text("Message", &self.message)];
            return tree("Error", told).document("");
        }
        tree("ErrorResponse", [error, text("RequestId", request)]).document(namespace)
    }
}
