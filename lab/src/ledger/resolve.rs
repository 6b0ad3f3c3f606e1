//! A name's address, kept for as long as the answer may be.

use std::collections::BTreeMap;
use std::io;
use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use hickory_proto::op::{Message, Query};
use hickory_proto::rr::{Name, RData, RecordType};

/// How long an answer may take.
const PATIENCE: Duration = Duration::from_millis(500);

/// What a client knows of names.
pub(super) struct Names {
    server: SocketAddr,
    known: Mutex<BTreeMap<String, (Ipv4Addr, Instant)>>,
}

impl Names {
    pub(super) fn of(server: SocketAddr) -> Self {
        Self { server, known: Mutex::default() }
    }

    /// The address of a name, asked for when the last answer is too old.
    pub(super) fn address(&self, host: &str) -> io::Result<Ipv4Addr> {
        if let Ok(address) = host.parse() {
            return Ok(address);
        }
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((address, until)) = known.get(host)
            && *until > Instant::now()
        {
            return Ok(*address);
        }
        let (address, ttl) = self.ask(host)?;
        known.insert(host.to_owned(), (address, Instant::now() + ttl));
        Ok(address)
    }

    /// Forgets what it knows, as a process that starts.
    pub(super) fn forget(&self) {
        self.known.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }

    fn ask(&self, host: &str) -> io::Result<(Ipv4Addr, Duration)> {
        let name = Name::from_utf8(format!("{}.", host.trim_end_matches('.')));
        let mut question = Message::query();
        question.add_query(Query::query(name.map_err(io::Error::other)?, RecordType::A));
        let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0))?;
        socket.set_read_timeout(Some(PATIENCE))?;
        socket.connect(self.server)?;
        socket.send(&question.to_vec().map_err(io::Error::other)?)?;
        let mut buffer = [0; 4096];
        let length = socket.recv(&mut buffer)?;
        let answer = Message::from_vec(&buffer[..length]).map_err(io::Error::other)?;
        let ttl = answer.answers.iter().map(|record| record.ttl).min().unwrap_or_default();
        let address = answer.answers.iter().find_map(|record| match &record.data {
            RData::A(address) => Some(address.0),
            _ => None,
        });
        let absent = || io::Error::other(format!("`{host}` has no address"));
        Ok((address.ok_or_else(absent)?, Duration::from_secs(ttl.into())))
    }
}
