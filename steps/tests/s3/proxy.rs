//! In front of the server, which calls the versioning of a bucket by another name than S3 does: the
//! SDK would not read it.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::LazyLock;

use engine::context::StepContext;
use engine::step::Observation;
use model::step_error::StepError;
use serde_json::Value;

use crate::common::{SERVER, at};

/// What the server says, and what S3 says.
const NAMES: (&str, &str) = ("GetBucketVersioningResponse", "VersioningConfiguration");

static PROXY: LazyLock<String> = LazyLock::new(|| {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    std::thread::spawn(move || {
        for client in listener.incoming() {
            std::thread::spawn(move || serve(&mut client.unwrap()));
        }
    });
    url
});

/// Hands one request on, and its answer back under the right name.
fn serve(client: &mut TcpStream) {
    let mut request = Vec::new();
    let mut byte = [0];
    while !request.ends_with(b"\r\n\r\n") {
        if client.read(&mut byte).unwrap() == 0 {
            return;
        }
        request.push(byte[0]);
    }
    let head = String::from_utf8(request).unwrap();
    let length = head.lines().find_map(|line| line.strip_prefix("content-length: "));
    let mut body = vec![0; length.map_or(0, |length| length.trim().parse().unwrap())];
    client.read_exact(&mut body).unwrap();
    let head = head.replacen("\r\n", "\r\nconnection: close\r\n", 1);
    let place = SERVER.url();
    let mut server = TcpStream::connect(place.strip_prefix("http://").unwrap()).unwrap();
    server.write_all(head.as_bytes()).unwrap();
    server.write_all(&body).unwrap();
    let mut answer = String::new();
    server.read_to_string(&mut answer).unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    let body = body.replace(NAMES.0, NAMES.1);
    let kept = head.lines().filter(|line| {
        let line = line.to_lowercase();
        !line.starts_with("content-length:") && !line.starts_with("connection:")
    });
    let head: String = kept.map(|line| format!("{line}\r\n")).collect();
    let length = body.len();
    write!(client, "{head}connection: close\r\ncontent-length: {length}\r\n\r\n{body}").unwrap();
}

pub(crate) async fn run(kind: &str, with: Value, ctx: &StepContext) -> Result<Value, StepError> {
    let step = steps::REGISTRY.step(kind).expect("the kind is registered");
    step.run(&at(&PROXY, with), ctx).await
}

pub(crate) async fn observe(kind: &str, with: Value, ctx: &StepContext) -> Observation<Value> {
    let step = steps::REGISTRY.step(kind).expect("the kind is registered");
    step.observe(&at(&PROXY, with), ctx).await.unwrap()
}
