//! S3 on loopback: the server of `moto`, a program of other people, so that what we send is
//! understood by somebody else. It keeps everything in memory and lives as long as the process
//! that started it.

use std::io::{self, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

/// The version that `scripts/install test` installs.
pub const VERSION: &str = "5.2.5";

/// Serves until its standard input ends, which the kernel sees to when our process ends.
const PROGRAM: &str = "\
import os, sys, threading
def end():
    sys.stdin.read()
    os._exit(0)
threading.Thread(target=end, daemon=True).start()
from moto.server import main
main(sys.argv[1:])
";
/// Python has to load first, on a machine that may be busy.
const START: Duration = Duration::from_mins(2);

/// Why there is no server.
#[derive(Debug, thiserror::Error)]
pub enum S3Error {
    /// It is not on this machine.
    #[error("moto {VERSION} is not installed at `{0}`: run `scripts/install test`")]
    Absent(PathBuf),
    /// It did not start.
    #[error("moto did not answer on port {0} in time")]
    Silent(u16),
    /// The system refused something.
    #[error(transparent)]
    Io(#[from] io::Error),
}

/// A running server.
#[derive(Debug)]
pub struct S3 {
    port: u16,
    child: Child,
}

/// What the server answered.
#[derive(Debug)]
pub struct Answer {
    /// The status.
    pub status: u16,
    /// The lines of the head.
    pub head: String,
    /// The body.
    pub body: String,
}

impl S3 {
    /// Starts a server on a free port.
    pub fn start() -> Result<Self, S3Error> {
        let python = folder().join("bin/python");
        if !python.exists() {
            return Err(S3Error::Absent(folder()));
        }
        let port = TcpListener::bind("127.0.0.1:0")?.local_addr()?.port();
        let child = Command::new(python)
            .args(["-c", PROGRAM, "-H", "127.0.0.1", "-p", &port.to_string()])
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()?;
        let server = Self { port, child };
        let until = Instant::now() + START;
        while TcpStream::connect(("127.0.0.1", port)).is_err() {
            if Instant::now() > until {
                return Err(S3Error::Silent(port));
            }
            thread::sleep(Duration::from_millis(50));
        }
        Ok(server)
    }

    /// Where it answers.
    pub fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// Makes a bucket.
    pub fn create_bucket(&self, name: &str) -> io::Result<()> {
        self.made(name, &[])
    }

    /// Makes a bucket that keeps versions and knows locks.
    pub fn create_locking_bucket(&self, name: &str) -> io::Result<()> {
        self.made(name, &["x-amz-bucket-object-lock-enabled: true"])
    }

    fn made(&self, name: &str, headers: &[&str]) -> io::Result<()> {
        let answer = self.request("PUT", &format!("/{name}"), headers, "")?;
        if answer.status == 200 { Ok(()) } else { Err(io::Error::other(answer.body)) }
    }

    /// Makes a request, past every library of S3.
    pub fn request(
        &self,
        method: &str,
        path: &str,
        headers: &[&str],
        body: &str,
    ) -> io::Result<Answer> {
        let mut stream = TcpStream::connect(("127.0.0.1", self.port))?;
        let headers: String = headers.iter().map(|header| format!("{header}\r\n")).collect();
        write!(
            stream,
            "{method} {path} HTTP/1.1\r\nhost: 127.0.0.1:{}\r\nconnection: close\r\n\
             authorization: AWS4-HMAC-SHA256 Credential=lab/20260101/us-east-1/s3/aws4_request, \
             SignedHeaders=host, Signature=none\r\n{headers}content-length: {}\r\n\r\n{body}",
            self.port,
            body.len()
        )?;
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer)?;
        let answer = String::from_utf8_lossy(&answer).into_owned();
        let (head, body) = answer.split_once("\r\n\r\n").unwrap_or((&answer, ""));
        let status = head.split(' ').nth(1).and_then(|status| status.parse().ok());
        let status = status.ok_or_else(|| io::Error::other(format!("no answer: {head}")))?;
        Ok(Answer { status, head: head.to_owned(), body: body.to_owned() })
    }
}

impl Drop for S3 {
    fn drop(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

/// Where `scripts/install test` puts it.
fn folder() -> PathBuf {
    let cache = std::env::var_os("XDG_CACHE_HOME").map(PathBuf::from);
    let home = || std::env::var_os("HOME").map(|home| PathBuf::from(home).join(".cache"));
    cache.or_else(home).unwrap_or_default().join(format!("runbook-moto-{VERSION}"))
}
