//! A receiver of messages on loopback that records what it gets, for Slack, PagerDuty and other
//! webhooks.
//!
//! Every request is recorded before it is answered, except those the receiver itself serves:
//! `GET /messages`, `/health` and `/control/...`. `POST /slack` answers as Slack's incoming
//! webhooks do, `POST /v2/enqueue` as PagerDuty's Events API, any other path with `{"ok":true}`.

mod routes;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::fs::File;
use std::io::{self, Write};
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::http::Server;

/// One request as it came.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Message {
    /// Its place in the order of arrival, from 1.
    pub seq: usize,
    /// `POST`, `GET`, ...
    pub method: String,
    /// The path with its query.
    pub path: String,
    /// The headers by lower-case name; of a repeated one the last.
    pub headers: BTreeMap<String, String>,
    /// The body as JSON, or as a string when it is none.
    pub body: Value,
}

/// What happens to a request after it is recorded, instead of the usual answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Fault {
    /// An answer with this status.
    Status(u16),
    /// `429 Too Many Requests` with a `Retry-After` of so many seconds.
    RetryAfter(u32),
    /// The usual answer, so many milliseconds later.
    DelayMs(u64),
    /// No answer: the connection is closed, as when a server dies after it did the work.
    Drop,
}

#[derive(Default)]
struct State {
    messages: Vec<Message>,
    faults: VecDeque<Fault>,
    health: Option<u16>,
    refused: BTreeSet<String>,
    effects: Option<File>,
}

impl State {
    /// Takes a message into the record and the effect log, and the fault that waits for it.
    fn record(&mut self, mut message: Message) -> io::Result<Option<Fault>> {
        message.seq = self.messages.len() + 1;
        if let Some(file) = &mut self.effects {
            let line = format!("{}\n", serde_json::to_string(&message)?);
            file.write_all(line.as_bytes())?;
        }
        self.messages.push(message);
        Ok(self.faults.pop_front())
    }

    fn plan(&mut self, times: usize, fault: Fault) {
        self.faults.extend(std::iter::repeat_n(fault, times));
    }
}

/// What the server's tasks and its owner share.
#[derive(Clone, Default)]
struct Shared(Arc<Mutex<State>>);

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().expect("no holder of the record panics")
    }
}

/// A running receiver on a free loopback port; dropping it closes the port and all connections.
pub struct Sink {
    shared: Shared,
    server: Server,
}

impl Sink {
    /// Starts a receiver.
    pub fn start() -> io::Result<Self> {
        Self::serve(State::default())
    }

    /// Starts a receiver that also appends each message to a file, as one line of JSON: what
    /// remains when the process that sent it is killed.
    pub fn start_with_log(path: &Path) -> io::Result<Self> {
        let effects = File::options().create(true).append(true).open(path)?;
        Self::serve(State { effects: Some(effects), ..State::default() })
    }

    fn serve(state: State) -> io::Result<Self> {
        let shared = Shared(Arc::new(Mutex::new(state)));
        let server = Server::start("sink", routes::app(shared.clone()))?;
        Ok(Self { shared, server })
    }

    /// The address, without a slash at its end.
    pub fn url(&self) -> String {
        format!("http://{}", self.server.address)
    }

    /// The address of the Slack webhook.
    pub fn slack_url(&self) -> String {
        format!("{}/slack", self.url())
    }

    /// The address of PagerDuty's Events API v2.
    pub fn pagerduty_url(&self) -> String {
        format!("{}/v2/enqueue", self.url())
    }

    /// The port.
    pub fn port(&self) -> u16 {
        self.server.address.port()
    }

    /// What came so far, in order of arrival.
    pub fn messages(&self) -> Vec<Message> {
        self.shared.lock().messages.clone()
    }

    /// Lets the next `times` messages that have no fault yet suffer this one.
    pub fn fail_next(&self, times: usize, fault: Fault) {
        self.shared.lock().plan(times, fault);
    }

    /// Sets the status that `GET /health` answers with; at first it is 200.
    pub fn set_health(&self, status: u16) {
        self.shared.lock().health = Some(status);
    }

    /// Answers a path with 503, and records nothing, until it does so no more.
    pub fn refuse(&self, path: &str, refuse: bool) {
        let refused = &mut self.shared.lock().refused;
        if refuse {
            refused.insert(path.to_owned());
        } else {
            refused.remove(path);
        }
    }

    /// Whether a path is refused.
    pub fn refuses(&self, path: &str) -> bool {
        self.shared.lock().refused.contains(path)
    }

    /// Waits until a number of messages came, at most so long; says whether they did.
    pub fn wait_for(&self, count: usize, at_most: Duration) -> bool {
        let start = std::time::Instant::now();
        loop {
            if self.shared.lock().messages.len() >= count {
                return true;
            }
            if start.elapsed() >= at_most {
                return false;
            }
            std::thread::sleep(Duration::from_millis(5));
        }
    }
}
