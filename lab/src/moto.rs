//! S3 on loopback: the server of `moto`, a program of other people, so that what we send is
//! understood by somebody else. It keeps everything in memory and lives as long as the process
//! that started it.

use std::io;
use std::net::{TcpListener, TcpStream};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

pub use crate::plain::Answer;
use crate::plain::Plain;

/// The version that `scripts/install test` installs.
const VERSION: &str = "5.2.5";

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
pub enum MotoError {
    /// It is not on this machine.
    #[error("`{0}` of moto {VERSION} is not installed: run `scripts/install test`")]
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
pub struct Moto {
    port: u16,
    child: Child,
}

impl Moto {
    /// Starts a server on a free port.
    pub fn start() -> Result<Self, MotoError> {
        let python = program("python")?;
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
                return Err(MotoError::Silent(port));
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
        self.plain().create_bucket(name)
    }

    /// Makes a bucket that keeps versions and knows locks.
    pub fn create_locking_bucket(&self, name: &str) -> io::Result<()> {
        self.plain().create_locking_bucket(name)
    }

    /// Makes a request, past every library of S3.
    pub fn request(
        &self,
        method: &str,
        path: &str,
        headers: &[&str],
        body: &str,
    ) -> io::Result<Answer> {
        self.plain().request(method, path, headers, body)
    }

    /// Does nothing: it says of every upload that it is years old.
    pub fn age_uploads(&self, _bucket: &str, _by: Duration) {}

    fn plain(&self) -> Plain {
        let identity = "authorization: AWS4-HMAC-SHA256 \
            Credential=lab/20260101/us-east-1/s3/aws4_request, SignedHeaders=host, Signature=none";
        Plain::new(self.port, identity.to_owned())
    }
}

impl Drop for Moto {
    fn drop(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

/// A program that `scripts/install test` installs beside the server: `aws`.
pub fn program(name: &str) -> Result<PathBuf, MotoError> {
    let path = folder().join("bin").join(name);
    if path.exists() { Ok(path) } else { Err(MotoError::Absent(path)) }
}

/// Where `scripts/install test` puts it.
fn folder() -> PathBuf {
    let cache = std::env::var_os("XDG_CACHE_HOME").map(PathBuf::from);
    let home = || std::env::var_os("HOME").map(|home| PathBuf::from(home).join(".cache"));
    cache.or_else(home).unwrap_or_default().join(format!("runbook-moto-{VERSION}"))
}
