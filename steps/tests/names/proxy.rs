//! A wire before a server of HTTP: it counts what passes, and loses what a test wants lost.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};

/// What becomes of a request.
#[derive(Debug, Clone)]
pub(crate) enum Fate {
    /// It never reaches the server.
    Lost,
    /// It reaches the server, and the answer is lost.
    Unheard,
    /// This is answered in the server's place.
    Answered(u16, &'static str),
}

#[derive(Default)]
struct State {
    /// The next requests whose head or body has that text, with their fates.
    fates: Vec<(&'static str, Fate)>,
    /// Head and body of each request.
    seen: Vec<String>,
}

/// A running wire. It lives as long as the process.
pub(crate) struct Proxy {
    url: String,
    state: Arc<Mutex<State>>,
}

impl Proxy {
    pub(crate) fn start(server: &str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let state = Arc::new(Mutex::new(State::default()));
        let (shared, server) = (Arc::clone(&state), server.to_owned());
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let (state, server) = (Arc::clone(&shared), server.clone());
                std::thread::spawn(move || carry(&stream, &server, &state).ok());
            }
        });
        Self { url, state }
    }

    pub(crate) fn url(&self) -> &str {
        &self.url
    }

    /// What becomes of the next request that has `text` in its head or body.
    pub(crate) fn next(&self, text: &'static str, fate: Fate) {
        self.state.lock().unwrap().fates.push((text, fate));
    }

    /// How many requests had that text.
    pub(crate) fn count(&self, text: &str) -> usize {
        self.state.lock().unwrap().seen.iter().filter(|seen| seen.contains(text)).count()
    }
}

/// Carries one request and its answer.
fn carry(client: &TcpStream, server: &str, state: &Mutex<State>) -> io::Result<()> {
    let mut reader = BufReader::new(client);
    let (mut head, mut length) = (String::new(), 0);
    loop {
        let mut line = String::new();
        if reader.read_line(&mut line)? == 0 {
            return Ok(());
        }
        let lower = line.to_lowercase();
        if let Some(value) = lower.strip_prefix("content-length:") {
            length = value.trim().parse().map_err(io::Error::other)?;
        }
        if line == "\r\n" {
            break;
        }
        if !lower.starts_with("connection:") {
            head.push_str(&line);
        }
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body)?;
    let fate = fate(state, format!("{head}\r\n{}", String::from_utf8_lossy(&body)));
    let mut client = client;
    if let Some(Fate::Answered(status, text)) = fate {
        return write!(
            client,
            "HTTP/1.1 {status} Told\r\nconnection: close\r\ncontent-length: {}\r\n\r\n{text}",
            text.len()
        );
    }
    if matches!(fate, Some(Fate::Lost)) {
        return Ok(());
    }
    let mut server = TcpStream::connect(server)?;
    server.write_all(format!("{head}connection: close\r\n\r\n").as_bytes())?;
    server.write_all(&body)?;
    let mut answer = Vec::new();
    server.read_to_end(&mut answer)?;
    if matches!(fate, Some(Fate::Unheard)) { Ok(()) } else { client.write_all(&answer) }
}

fn fate(state: &Mutex<State>, request: String) -> Option<Fate> {
    let mut state = state.lock().unwrap();
    let at = state.fates.iter().position(|(text, _)| request.contains(text));
    state.seen.push(request);
    at.map(|at| state.fates.remove(at).1)
}
