//! A server that speaks for AWS, what lies in it as another client sees it, and credentials.

use std::future::Future;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::Arc;

use engine::context::StepContext;
use engine::memory_host::MemoryHost;
use engine::step::Observation;
use lab::moto::Moto;
use model::node::Node;
use model::step_error::StepError;
use serde_json::Value;
use tokio_util::sync::CancellationToken;

use crate::proxy::Proxy;

/// The environment of whoever asks AWS. Credentials come from nowhere else.
const KEYS: [(&str, &str); 3] = [
    ("AWS_ACCESS_KEY_ID", "lab"),
    ("AWS_SECRET_ACCESS_KEY", "lab"),
    ("AWS_CONFIG_FILE", "/dev/null"),
];

/// Runs a test in a process of its own, whose environment has credentials.
pub(crate) fn with_keys(test: &str, body: impl Future<Output = ()>) {
    lab::alone::alone(test, &KEYS, body);
}

/// A host whose clock stands still.
pub(crate) fn host() -> Arc<MemoryHost> {
    Arc::new(MemoryHost::new("2026-11-20T02:00:00Z".parse().unwrap(), std::env::temp_dir()))
}

/// A context for attempt `attempt` of the step `tested`.
pub(crate) fn attempt(host: &Arc<MemoryHost>, attempt: u32) -> StepContext {
    host.context("tested", attempt, CancellationToken::new())
}

/// Runs a step kind as the driver does.
pub(crate) async fn run(kind: &str, with: &Value, ctx: &StepContext) -> Result<Value, StepError> {
    let step = steps::REGISTRY.step(kind).expect("the kind is registered");
    step.run(&Node::from_json(with), ctx).await
}

/// Looks for the completion mark of a step, as a resume does.
pub(crate) async fn observe(kind: &str, with: &Value, ctx: &StepContext) -> Observation<Value> {
    let step = steps::REGISTRY.step(kind).expect("the kind is registered");
    step.observe(&Node::from_json(with), ctx).await.unwrap()
}

/// What is said of an input that the kind refuses.
pub(crate) fn refusal(kind: &str, with: &Value) -> String {
    let step = steps::REGISTRY.step(kind).expect("the kind is registered");
    format!("{:?}", step.check(&Node::from_json(with)).unwrap_err())
}

/// A server for all services, with a wire in front that can lose things.
pub(crate) struct Aws {
    pub(crate) proxy: Proxy,
    moto: Moto,
}

impl Aws {
    pub(crate) fn start() -> Self {
        let moto = Moto::start().unwrap();
        let proxy = Proxy::start(moto.url().trim_start_matches("http://"));
        Self { proxy, moto }
    }

    /// Asks a service past every library of AWS and past the wire.
    pub(crate) fn ask(
        &self,
        region: &str,
        service: &str,
        method: &str,
        path: &str,
        body: &str,
    ) -> String {
        let at = self.moto.url();
        let at = at.trim_start_matches("http://");
        let (path, target) = path.split_once(' ').unwrap_or((path, ""));
        let target = match target {
            "" => String::new(),
            target => {
                format!("x-amz-target: {target}\r\ncontent-type: application/x-amz-json-1.1\r\n")
            }
        };
        let mut stream = TcpStream::connect(at).unwrap();
        write!(
            stream,
            "{method} {path} HTTP/1.1\r\nhost: {at}\r\nconnection: close\r\n\
             authorization: AWS4-HMAC-SHA256 \
             Credential=lab/20260101/{region}/{service}/aws4_request, \
             SignedHeaders=host, Signature=none\r\n{target}content-length: {}\r\n\r\n{body}",
            body.len()
        )
        .unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        assert!(head.starts_with("HTTP/1.1 20"), "{answer}");
        body.to_owned()
    }
}
