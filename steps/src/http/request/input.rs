//! What an `http.request` is told, and what a second one would do.

use std::collections::BTreeMap;
use std::time::Duration;

use indexmap::IndexMap;
use model::catalog::InputProblem;
use model::effect::{Effect, Repeat};
use model::footprint::Part;
use model::units::Span;
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::Value;

use crate::http::check::Expect;
use crate::http::client::{Body, CONNECT_TIMEOUT};

/// The header by which a server knows a request again.
pub(super) const KEY: &str = "Idempotency-Key";

/// Sends a request to a server and reads values out of the answer.
///
/// ## What it does
/// It sends one request. The answer is right when its status is one of `expect_status`, or any
/// from 200 to 299. Values inside a JSON answer that `capture` names become outputs; the answer
/// itself is not kept, because it may hold a token. Redirects are not followed, and at most 1 MiB
/// of the answer is read.
///
/// ## When to use it
/// To drive a system that has an API and no step kind of its own: a deployment, maintenance mode,
/// a managed service. To see that a server answers, use `http.check`; to tell somebody,
/// `webhook.post`.
///
/// ## What it changes
/// Whatever the server does; nothing with `GET` and `HEAD`. Say in `effect` how far that reaches.
///
/// ## How it can fail
/// When the server cannot be reached or refuses the request, nothing was done. When the answer is
/// lost or the server fails (status 5xx), it depends on what a second request would do. `GET`,
/// `HEAD`, `PUT`, `DELETE` and what is `idempotent` leave the same state twice, and a server that
/// honours `idempotency_key` knows a second request: these may be sent again. Otherwise `observe`
/// asks whether it happened; without it the step is in doubt. An answer without a value that
/// `capture` names is handled in the same way, because the request was carried out.
///
/// ## Example
/// ```yaml
/// - id: maintenance_on
///   uses: http.request
///   with:
///     method: POST
///     url: https://lms.example.com/api/maintenance
///     json: {enabled: true}
///     observe: {url: https://lms.example.com/api/maintenance, expect: {json: {/enabled: true}}}
///     capture: {since: /since}
/// ```
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Input {
    /// The method.
    #[serde(default)]
    pub(super) method: Verb,
    /// The address: `https://`, or `http://` on a trusted network.
    pub(super) url: String,
    /// Headers by name; secrets are allowed here.
    #[serde(default)]
    #[schemars(extend("x-secrets-allowed" = true))]
    pub(super) headers: BTreeMap<String, String>,
    /// The body, sent as JSON. Either this or `text`.
    pub(super) json: Option<Value>,
    /// The body, sent as it is. Either this or `json`.
    pub(super) text: Option<String>,
    /// Statuses that are right; without it, those from 200 to 299.
    #[serde(default)]
    pub(super) expect_status: Vec<u16>,
    /// Sent as `Idempotency-Key`, the same in every attempt; the server ignores a second request
    /// with a key it knows.
    pub(super) idempotency_key: Option<String>,
    /// A second request leaves the same state as the first, so it may be sent again.
    #[serde(default)]
    pub(super) idempotent: bool,
    /// A `GET` that tells whether the request was carried out.
    pub(super) observe: Option<Observe>,
    /// Values of a JSON answer by the name of the output and their JSON pointer (RFC 6901), such
    /// as `/items/0/id`.
    #[serde(default)]
    pub(super) capture: IndexMap<String, String>,
    /// How far the request reaches; without it `read` for `GET` and `HEAD`, else `irreversible`.
    pub(super) effect: Option<Effect>,
    /// The parts it plays in a recovery, as its author vouches: `fence`, `promote`,
    /// `prove_writable`, `move_traffic`, `verify`. The plan is judged by them: what promotes runs
    /// after what fences, what moves traffic after what proved the new server writable.
    #[serde(default)]
    pub(super) plays: Vec<Part>,
    /// For the whole exchange; more than 5s.
    #[serde(default = "thirty_seconds")]
    pub(super) timeout: Span,
}

/// A method of HTTP.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "UPPERCASE")]
pub(super) enum Verb {
    /// Reads.
    #[default]
    Get,
    /// Reads the headers alone.
    Head,
    /// Anything.
    Post,
    /// Puts a thing in place.
    Put,
    /// Changes a thing in part.
    Patch,
    /// Removes a thing.
    Delete,
}

/// How to see that a request was carried out.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Observe {
    /// The address that is asked with `GET`.
    pub(super) url: String,
    /// Headers by name; secrets are allowed here. Without them, those of the request.
    #[schemars(extend("x-secrets-allowed" = true))]
    pub(super) headers: Option<BTreeMap<String, String>>,
    /// What the answer is when the request was carried out.
    pub(super) expect: Expect,
}

fn thirty_seconds() -> Span {
    Span::from(Duration::from_secs(30))
}

impl Verb {
    pub(super) fn method(self) -> reqwest::Method {
        match self {
            Self::Get => reqwest::Method::GET,
            Self::Head => reqwest::Method::HEAD,
            Self::Post => reqwest::Method::POST,
            Self::Put => reqwest::Method::PUT,
            Self::Patch => reqwest::Method::PATCH,
            Self::Delete => reqwest::Method::DELETE,
        }
    }

    fn reads(self) -> bool {
        matches!(self, Self::Get | Self::Head)
    }
}

impl Input {
    pub(super) fn effect(&self) -> Effect {
        let usual = if self.method.reads() { Effect::Read } else { Effect::Irreversible };
        self.effect.unwrap_or(usual)
    }

    /// What a second request would do. <https://www.rfc-editor.org/rfc/rfc9110#name-idempotent-methods>
    pub(super) fn repeat(&self) -> Repeat {
        let by_method = matches!(self.method, Verb::Get | Verb::Head | Verb::Put | Verb::Delete);
        if by_method || self.idempotent || self.effect() == Effect::Read {
            Repeat::Idempotent
        } else if self.idempotency_key.is_some() {
            Repeat::Keyed
        } else if self.observe.is_some() {
            Repeat::Observable
        } else {
            Repeat::Opaque
        }
    }

    pub(super) fn accepts(&self, status: u16) -> bool {
        if self.expect_status.is_empty() {
            return (200..300).contains(&status);
        }
        self.expect_status.contains(&status)
    }

    pub(super) fn body(&self) -> Body {
        match (&self.json, &self.text) {
            (Some(json), _) => Body::Json(json.clone()),
            (None, Some(text)) => Body::Text(text.clone()),
            (None, None) => Body::None,
        }
    }

    pub(super) fn headers(&self) -> BTreeMap<String, String> {
        let mut headers = self.headers.clone();
        headers.extend(self.idempotency_key.iter().map(|key| (KEY.to_owned(), key.clone())));
        headers
    }

    pub(super) fn problems(&self) -> Vec<InputProblem> {
        let mut problems = Vec::new();
        if self.timeout.duration() <= CONNECT_TIMEOUT {
            let problem = InputProblem::at("timeout", "a connection alone may take 5s");
            problems.push(problem.help("give it more than `5s`"));
        }
        if self.json.is_some() && self.text.is_some() {
            problems.push(InputProblem::at("text", "`json` is given as well"));
        }
        if self.method.reads() && (self.json.is_some() || self.text.is_some()) {
            let key = if self.json.is_some() { "json" } else { "text" };
            let problem = InputProblem::at(key, "a request that reads carries no body");
            problems.push(problem.help("write the `method`, such as `POST`"));
        }
        let taken = self.headers.keys().filter(|name| name.eq_ignore_ascii_case(KEY));
        problems.extend(taken.map(|name| InputProblem {
            path: vec!["headers".to_owned(), name.clone()],
            message: "the key has a field of its own".to_owned(),
            help: Some("give it as `idempotency_key`".to_owned()),
        }));
        let wrong = self.capture.iter().filter(|(_, pointer)| !pointer.starts_with('/'));
        problems.extend(wrong.map(|(name, pointer)| InputProblem {
            path: vec!["capture".to_owned(), name.clone()],
            message: format!("`{pointer}` is not a JSON pointer"),
            help: Some(format!("write `/{}`", pointer.replace('.', "/"))),
        }));
        problems
    }
}
