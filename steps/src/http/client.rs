//! The one HTTP client: rustls with ring, the system's root certificates, no redirects, no
//! repetition of its own, and answers read up to a limit.

use std::collections::BTreeMap;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use engine::context::StepContext;
use model::step_error::StepError;
use reqwest::{Client, Method, RequestBuilder, Response, Url};
use rustls::crypto::ring;
use rustls::{ClientConfig, RootCertStore};
use serde_json::Value;

/// How long a server may take to accept a connection, name resolution and TLS included. Every
/// request's timeout is longer, so that one that ran out was sent.
pub(crate) const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// Bytes of an answer that are read.
pub(crate) const READ_LIMIT: usize = 1 << 20;

/// A request, without secrets in any text made of it.
pub(crate) struct Request<'a> {
    /// `GET`, `POST`, ...
    pub(crate) method: Method,
    /// Where to; may hold a secret.
    pub(crate) url: &'a str,
    /// Headers by name; may hold secrets.
    pub(crate) headers: &'a BTreeMap<String, String>,
    /// What is sent.
    pub(crate) body: Body,
    /// For everything from the connection to the last byte of the answer.
    pub(crate) timeout: Duration,
}

/// What a request carries.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Body {
    /// Nothing.
    None,
    /// A JSON value.
    Json(Value),
    /// Text, as it is.
    Text(String),
}

/// What came back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Answer {
    /// The status.
    pub(crate) status: u16,
    /// `Retry-After`, when it is a number of seconds.
    pub(crate) retry_after: Option<Duration>,
    /// The body, at most [`READ_LIMIT`] bytes of it.
    pub(crate) body: Vec<u8>,
    /// There was more of it.
    pub(crate) truncated: bool,
}

/// How a request ended.
#[derive(Debug)]
pub(crate) enum Sent {
    /// With an answer.
    Answer(Answer),
    /// It certainly never reached the server.
    No(StepError),
    /// It may have reached the server; no answer came. In words, why.
    Unanswered(String),
}

impl Request<'_> {
    /// Sends it and reads the answer. Gives up when the step is cancelled.
    pub(crate) async fn send(&self, ctx: &StepContext) -> Sent {
        let place = match place(self.url) {
            Ok(place) => place,
            Err(error) => return Sent::No(error),
        };
        if ctx.cancel().is_cancelled() {
            return Sent::No(StepError::cancelled());
        }
        let request = match self.build() {
            Ok(request) => request,
            Err(error) => return Sent::No(error),
        };
        tokio::select! {
            sent = exchange(request, &place) => sent,
            () = ctx.cancel().cancelled() => {
                Sent::Unanswered(format!("cancelled while {place} was asked"))
            }
        }
    }

    fn build(&self) -> Result<RequestBuilder, StepError> {
        let mut request = client()?.request(self.method.clone(), self.url).timeout(self.timeout);
        for (name, value) in self.headers {
            request = request.header(name, value);
        }
        Ok(match &self.body {
            Body::Json(body) => request.json(body),
            Body::Text(body) => request.body(body.clone()),
            Body::None => request,
        })
    }
}

/// The server of a URL: all that a message may show of it, because paths hold secrets.
pub(crate) fn place(url: &str) -> Result<String, StepError> {
    let refused = |why: &str| {
        StepError::permanent("RB0702", format!("the URL {why}"))
            .hint("write `https://host/path`; `http://` is for servers on a trusted network")
    };
    let parsed = Url::parse(url).map_err(|error| refused(&format!("does not read: {error}")))?;
    if !matches!(parsed.scheme(), "http" | "https") {
        return Err(refused(&format!("has the scheme `{}`", parsed.scheme())));
    }
    let host = parsed.host_str().ok_or_else(|| refused("names no host"))?;
    Ok(match parsed.port() {
        Some(port) => format!("`{host}:{port}`"),
        None => format!("`{host}`"),
    })
}

fn client() -> Result<&'static Client, StepError> {
    static CLIENT: OnceLock<Client> = OnceLock::new();
    if let Some(client) = CLIENT.get() {
        return Ok(client);
    }
    let built = new_client().map_err(|error| not_set_up(&error))?;
    Ok(CLIENT.get_or_init(|| built))
}

fn not_set_up(error: &reqwest::Error) -> StepError {
    StepError::needs_operator("RB0708", "the HTTP client could not be set up").caused_by(error)
}

fn new_client() -> Result<Client, reqwest::Error> {
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    let tls = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .expect("ring speaks TLS 1.2 and 1.3")
        .with_root_certificates(roots)
        .with_no_client_auth();
    Client::builder()
        .tls_backend_preconfigured(tls)
        .user_agent(concat!("runbook/", env!("CARGO_PKG_VERSION")))
        .connect_timeout(CONNECT_TIMEOUT)
        .redirect(reqwest::redirect::Policy::none())
        .retry(reqwest::retry::never())
        .pool_max_idle_per_host(0)
        .build()
}

async fn exchange(request: RequestBuilder, place: &str) -> Sent {
    match request.send().await {
        Ok(response) => read(response, place).await,
        Err(error) => unsent(error, place),
    }
}

fn unsent(error: reqwest::Error, place: &str) -> Sent {
    // The URL may hold a secret.
    let error = error.without_url();
    if error.is_builder() {
        let message = format!("the request to {place} cannot be made");
        return Sent::No(StepError::permanent("RB0702", message).caused_by(&error));
    }
    if error.is_connect() {
        let message = format!("{place} cannot be reached");
        let error = StepError::transient("RB0701", message).caused_by(&error);
        return Sent::No(error.hint("check the address, the name service and the network"));
    }
    Sent::Unanswered(format!("{place} did not answer: {}", in_words(&error)))
}

async fn read(mut response: Response, place: &str) -> Sent {
    let status = response.status().as_u16();
    let retry_after = response.headers().get("retry-after");
    let retry_after = retry_after.and_then(|value| value.to_str().ok()?.trim().parse().ok());
    let (mut body, mut truncated) = (Vec::new(), false);
    loop {
        match response.chunk().await {
            Ok(Some(chunk)) => {
                let room = (READ_LIMIT - body.len()).min(chunk.len());
                body.extend_from_slice(&chunk[..room]);
                truncated = room < chunk.len();
            }
            Ok(None) => break,
            Err(error) => {
                let error = error.without_url();
                let why = format!("the answer of {place} broke off: {}", in_words(&error));
                return Sent::Unanswered(why);
            }
        }
        if truncated {
            break;
        }
    }
    let retry_after = retry_after.map(Duration::from_secs);
    Sent::Answer(Answer { status, retry_after, body, truncated })
}

/// The innermost cause: what a person needs to know of it.
fn in_words(error: &reqwest::Error) -> String {
    if error.is_timeout() {
        return "time ran out".to_owned();
    }
    let mut innermost: &dyn std::error::Error = error;
    while let Some(source) = innermost.source() {
        innermost = source;
    }
    innermost.to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_server_of_a_url_is_shown() {
        let shown = place("https://hooks.slack.com/services/T0/B0/secret?token=x").unwrap();
        assert_eq!(shown, "`hooks.slack.com`");
        assert_eq!(place("http://user:pass@[::1]:8080/x").unwrap(), "`[::1]:8080`");
    }

    #[test]
    fn what_is_no_http_url_is_refused_without_showing_it() {
        for url in ["", "hooks/secret", "ftp://host/secret", "file:///secret", "https://"] {
            let error = place(url).unwrap_err();
            assert_eq!(error.code, "RB0702", "{url}");
            assert!(!error.to_string().contains("secret"), "{error}");
        }
    }

    #[test]
    fn a_client_that_cannot_be_set_up_says_why() {
        let error = Client::builder().user_agent("\n").build().unwrap_err();
        shown::case("RB0708", not_set_up(&error).told());
    }
}
