//! A relay before an HTTP server: it shows what was asked, and loses or replaces answers.

use std::collections::BTreeMap;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex, MutexGuard};
use std::thread;

/// What happens to a request instead of being relayed.
#[derive(Clone, Debug)]
pub enum Fault {
    /// It is relayed and takes effect; the answer is lost.
    LoseAnswer,
    /// It is not relayed: this is the answer, with this status.
    Answer(u16, String),
}

/// One request as it came.
#[derive(Clone, Debug)]
pub struct Seen {
    /// `PUT`, `GET`, ...
    pub method: String,
    /// The path with its query.
    pub path: String,
    /// The headers by lower-case name.
    pub headers: BTreeMap<String, String>,
}

struct Planned {
    method: String,
    part: String,
    times: usize,
    fault: Fault,
}

#[derive(Default)]
struct State {
    seen: Vec<Seen>,
    planned: Vec<Planned>,
}

/// A relay on a free port of loopback, until the process ends.
#[derive(Clone)]
pub struct Relay {
    port: u16,
    state: Arc<Mutex<State>>,
}

impl Relay {
    /// Starts a relay before `url`, `http://host:port`.
    pub fn start(url: &str) -> io::Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let relay = Self { port: listener.local_addr()?.port(), state: Arc::default() };
        let target = url.trim_start_matches("http://").to_owned();
        let own = relay.clone();
        thread::spawn(move || {
            for client in listener.incoming().flatten() {
                let (relay, target) = (own.clone(), target.clone());
                // A connection that fails is one that the client sees fail.
                thread::spawn(move || relay.serve(client, &target).ok());
            }
        });
        Ok(relay)
    }

    /// Where it answers.
    pub fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// The next requests of this method whose path has this part meet the fault.
    pub fn plan(&self, method: &str, part: &str, times: usize, fault: Fault) {
        let (method, part) = (method.to_owned(), part.to_owned());
        self.state().planned.push(Planned { method, part, times, fault });
    }

    /// The requests so far, in the order of their arrival.
    pub fn seen(&self) -> Vec<Seen> {
        self.state().seen.clone()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    /// Records a request and takes the fault that waits for it.
    fn record(&self, seen: Seen) -> Option<Fault> {
        let mut state = self.state();
        let meets = |one: &&mut Planned| {
            one.times > 0 && one.method == seen.method && seen.path.contains(&one.part)
        };
        let planned = state.planned.iter_mut().find(meets);
        let fault = planned.map(|planned| {
            planned.times -= 1;
            planned.fault.clone()
        });
        state.seen.push(seen);
        fault
    }

    /// One request a connection: every answer closes it.
    fn serve(&self, mut client: TcpStream, target: &str) -> io::Result<()> {
        let mut reader = BufReader::new(client.try_clone()?);
        let (line, headers) = head(&mut reader)?;
        let mut words = line.split(' ').map(str::to_owned);
        let method = words.next().unwrap_or_default();
        let path = words.next().unwrap_or_default();
        let length = headers.get("content-length").and_then(|text| text.parse().ok());
        let mut body = vec![0; length.unwrap_or(0)];
        reader.read_exact(&mut body)?;
        let request = forwarded(&line, &headers, &body);
        let fault = self.record(Seen { method, path, headers });
        if let Some(Fault::Answer(status, body)) = fault {
            let length = body.len();
            return write!(
                client,
                "HTTP/1.1 {status} X\r\nconnection: close\r\ncontent-type: application/xml\r\n\
                 content-length: {length}\r\n\r\n{body}"
            );
        }
        let mut server = TcpStream::connect(target)?;
        server.write_all(&request)?;
        let mut answer = Vec::new();
        server.read_to_end(&mut answer)?;
        match fault {
            Some(_) => Ok(()),
            None => client.write_all(&answer),
        }
    }
}

/// The first line of a request, and its headers.
fn head(reader: &mut impl BufRead) -> io::Result<(String, BTreeMap<String, String>)> {
    let mut lines = reader.lines().take_while(|line| line.as_ref().is_ok_and(|it| !it.is_empty()));
    let first = lines.next().ok_or(io::ErrorKind::UnexpectedEof)??;
    let mut headers = BTreeMap::new();
    for line in lines {
        if let Some((name, value)) = line?.split_once(':') {
            headers.insert(name.to_lowercase(), value.trim().to_owned());
        }
    }
    Ok((first, headers))
}

fn forwarded(line: &str, headers: &BTreeMap<String, String>, body: &[u8]) -> Vec<u8> {
    let kept = headers.iter().filter(|(name, _)| *name != "connection");
    let kept: String = kept.map(|(name, value)| format!("{name}: {value}\r\n")).collect();
    let mut request = format!("{line}\r\n{kept}connection: close\r\n\r\n").into_bytes();
    request.extend_from_slice(body);
    request
}
