//! Requests to a server of S3 on loopback, past every library of S3.

use std::io::{self, Read, Write};
use std::net::TcpStream;

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

impl Answer {
    pub(crate) fn done(self) -> io::Result<()> {
        if self.status == 200 { Ok(()) } else { Err(io::Error::other(self.body)) }
    }
}

/// A client that says who it is with one header.
pub(crate) struct Plain {
    port: u16,
    identity: String,
}

impl Plain {
    pub(crate) fn new(port: u16, identity: String) -> Self {
        Self { port, identity }
    }

    pub(crate) fn create_bucket(&self, name: &str) -> io::Result<()> {
        self.request("PUT", &format!("/{name}"), &[], "")?.done()
    }

    pub(crate) fn create_locking_bucket(&self, name: &str) -> io::Result<()> {
        let locks = ["x-amz-bucket-object-lock-enabled: true"];
        self.request("PUT", &format!("/{name}"), &locks, "")?.done()
    }

    pub(crate) fn request(
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
            "{method} {path} HTTP/1.1\r\nhost: 127.0.0.1:{}\r\nconnection: close\r\n{}\r\n\
             {headers}content-length: {}\r\n\r\n{body}",
            self.port,
            self.identity,
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
