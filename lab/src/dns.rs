//! A name server on loopback, over UDP and TCP: it is the authority of one zone, whose records it
//! asks for at every question.

mod answer;

use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use hickory_proto::op::Message;

/// How often another port is drawn when the first one is taken for TCP.
const DRAWS: usize = 16;
/// How long a client may take over TCP.
const PATIENCE: Duration = Duration::from_secs(5);

/// One record set, as Route 53 has it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Record {
    /// Its name, with a dot at its end.
    pub name: String,
    /// `A`, `AAAA`, `CNAME`, `NS`, `SOA` or `TXT`.
    pub kind: String,
    /// How long an answer may be kept, in seconds.
    pub ttl: u32,
    /// What it says.
    pub values: Vec<String>,
    /// Its share among those of the same name and kind.
    pub weight: Option<u8>,
    /// `PRIMARY` or `SECONDARY`.
    pub failover: Option<String>,
    /// Whether what it leads to is healthy.
    pub healthy: bool,
    /// The name it stands for, instead of having values.
    pub alias: Option<String>,
}

/// Where the records come from.
pub type Records = Arc<dyn Fn() -> Vec<Record> + Send + Sync>;

/// A running server. Dropping it ends it.
pub struct Dns {
    address: SocketAddr,
    ended: Arc<AtomicBool>,
}

impl Dns {
    /// Answers for `zone` (with a dot at its end) from these records.
    pub fn start(zone: &str, records: Records) -> io::Result<Self> {
        let (udp, tcp) = bind()?;
        let address = udp.local_addr()?;
        let ended = Arc::new(AtomicBool::new(false));
        udp.set_read_timeout(Some(Duration::from_millis(50)))?;
        tcp.set_nonblocking(false)?;
        let served = Served { zone: zone.to_owned(), records };
        let (by_udp, stop) = (served.clone(), Arc::clone(&ended));
        std::thread::Builder::new()
            .name("dns".to_owned())
            .spawn(move || by_udp.by_udp(&udp, &stop))?;
        let stop = Arc::clone(&ended);
        std::thread::Builder::new().name("dns-tcp".to_owned()).spawn(move || {
            for stream in tcp.incoming() {
                if stop.load(Ordering::Relaxed) {
                    return;
                }
                let (served, Ok(stream)) = (served.clone(), stream) else { continue };
                // A client that goes away sees that by itself.
                std::thread::spawn(move || served.by_tcp(stream).ok());
            }
        })?;
        Ok(Self { address, ended })
    }

    /// Where it answers.
    pub fn address(&self) -> SocketAddr {
        self.address
    }
}

impl Drop for Dns {
    fn drop(&mut self) {
        self.ended.store(true, Ordering::Relaxed);
        // Wakes the thread that waits for clients.
        drop(TcpStream::connect(self.address));
    }
}

/// One port for both.
fn bind() -> io::Result<(UdpSocket, TcpListener)> {
    let mut last = io::Error::other("no port was drawn");
    for _ in 0..DRAWS {
        let udp = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0))?;
        match TcpListener::bind(udp.local_addr()?) {
            Ok(tcp) => return Ok((udp, tcp)),
            Err(error) => last = error,
        }
    }
    Err(last)
}

#[derive(Clone)]
struct Served {
    zone: String,
    records: Records,
}

impl Served {
    fn by_udp(&self, socket: &UdpSocket, ended: &AtomicBool) {
        let mut buffer = [0; 4096];
        while !ended.load(Ordering::Relaxed) {
            let Ok((length, from)) = socket.recv_from(&mut buffer) else { continue };
            let Some(reply) = self.reply(&buffer[..length], true) else { continue };
            // A lost datagram is asked for again.
            drop(socket.send_to(&reply, from));
        }
    }

    /// Any number of questions, each with its length before it.
    fn by_tcp(&self, mut stream: TcpStream) -> io::Result<()> {
        stream.set_read_timeout(Some(PATIENCE))?;
        loop {
            let mut length = [0; 2];
            stream.read_exact(&mut length)?;
            let mut question = vec![0; usize::from(u16::from_be_bytes(length))];
            stream.read_exact(&mut question)?;
            let Some(reply) = self.reply(&question, false) else { return Ok(()) };
            let length = u16::try_from(reply.len()).map_err(io::Error::other)?;
            stream.write_all(&[&length.to_be_bytes()[..], &reply].concat())?;
        }
    }

    fn reply(&self, question: &[u8], by_udp: bool) -> Option<Vec<u8>> {
        let question = Message::from_vec(question).ok()?;
        let records = (self.records)();
        let reply = answer::answer(&self.zone, &records, &question);
        let fits = usize::from(question.max_payload().max(512));
        let bytes = reply.to_vec().ok()?;
        if by_udp && bytes.len() > fits { reply.truncate().to_vec().ok() } else { Some(bytes) }
    }
}
