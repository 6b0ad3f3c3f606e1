//! One question to one name server: over UDP, and over TCP when the answer does not fit.
//! <https://www.rfc-editor.org/rfc/rfc1035>

use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use hickory_proto::op::{Message, MessageType, Query, ResponseCode};
use hickory_proto::rr::{Name, RData, RecordType};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpStream, UdpSocket};
use tokio::time::timeout;

/// How long an answer may take.
const PATIENCE: Duration = Duration::from_secs(2);

/// A datagram may be lost.
const TRIES: u32 = 2;

/// What a server said.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Answer {
    /// The values of the type that was asked for, sorted.
    pub(super) values: Vec<String>,
    /// The smallest time to live among the records.
    pub(super) ttl: Option<u32>,
    /// The server is one of those of the zone.
    pub(super) authoritative: bool,
    /// There is no such name.
    pub(super) no_name: bool,
}

/// A name as it is compared: lower-case, without the last dot.
pub(super) fn plain(name: &str) -> String {
    name.trim_end_matches('.').to_lowercase()
}

/// The value of a record, as text.
fn value(data: &RData) -> Option<String> {
    match data {
        RData::A(address) => Some(address.0.to_string()),
        RData::AAAA(address) => Some(address.0.to_string()),
        RData::CNAME(name) => Some(plain(&name.0.to_utf8())),
        RData::NS(name) => Some(plain(&name.0.to_utf8())),
        _ => None,
    }
}

/// Asks; the error says why there is no answer to go by.
pub(super) async fn ask(
    server: SocketAddr,
    name: &Name,
    kind: RecordType,
) -> Result<Answer, String> {
    let mut message = Message::query();
    message.metadata.recursion_desired = true;
    message.add_query(Query::query(name.clone(), kind));
    let bytes = message.to_vec().map_err(|error| error.to_string())?;
    let fits = |reply: &Message| {
        reply.metadata.id == message.metadata.id
            && reply.metadata.message_type == MessageType::Response
            && reply.queries == message.queries
    };
    let mut reply = by_udp(server, &bytes, fits).await?;
    if reply.metadata.truncation {
        let by_tcp = timeout(PATIENCE, by_tcp(server, &bytes)).await;
        reply = by_tcp.map_err(|_| silent())?.map_err(|error| error.to_string())?;
        if !fits(&reply) {
            return Err("it answered another question".to_owned());
        }
    }
    answer(&reply, kind)
}

fn silent() -> String {
    format!("it does not answer within {} s", PATIENCE.as_secs())
}

fn answer(reply: &Message, kind: RecordType) -> Result<Answer, String> {
    let code = reply.metadata.response_code;
    if !matches!(code, ResponseCode::NoError | ResponseCode::NXDomain) {
        return Err(format!("it answers `{code}`"));
    }
    let records = reply.answers.iter().filter(|record| record.record_type() == kind);
    let mut values: Vec<_> = records.clone().filter_map(|record| value(&record.data)).collect();
    values.sort();
    values.dedup();
    Ok(Answer {
        values,
        ttl: records.map(|record| record.ttl).min(),
        authoritative: reply.metadata.authoritative,
        no_name: code == ResponseCode::NXDomain,
    })
}

async fn by_udp(
    server: SocketAddr,
    bytes: &[u8],
    fits: impl Fn(&Message) -> bool,
) -> Result<Message, String> {
    let asked = async {
        let any = if server.is_ipv4() {
            SocketAddr::from((Ipv4Addr::UNSPECIFIED, 0))
        } else {
            SocketAddr::from((Ipv6Addr::UNSPECIFIED, 0))
        };
        let socket = UdpSocket::bind(any).await?;
        // Only datagrams of that server are taken.
        socket.connect(server).await?;
        for _ in 0..TRIES {
            socket.send(bytes).await?;
            if let Ok(reply) = timeout(PATIENCE, receive(&socket, &fits)).await {
                return reply.map(Some);
            }
        }
        io::Result::Ok(None)
    };
    let reply = asked.await.map_err(|error| error.to_string())?;
    reply.ok_or_else(silent)
}

/// The answer to the question; whatever else comes is passed over.
async fn receive(socket: &UdpSocket, fits: impl Fn(&Message) -> bool) -> io::Result<Message> {
    let mut buffer = vec![0; 64 * 1024];
    loop {
        let length = socket.recv(&mut buffer).await?;
        if let Ok(reply) = Message::from_vec(&buffer[..length])
            && fits(&reply)
        {
            return Ok(reply);
        }
    }
}

async fn by_tcp(server: SocketAddr, bytes: &[u8]) -> io::Result<Message> {
    let mut stream = TcpStream::connect(server).await?;
    let length = u16::try_from(bytes.len()).map_err(io::Error::other)?;
    stream.write_all(&length.to_be_bytes()).await?;
    stream.write_all(bytes).await?;
    let length = stream.read_u16().await?;
    let mut reply = vec![0; usize::from(length)];
    stream.read_exact(&mut reply).await?;
    Message::from_vec(&reply).map_err(io::Error::other)
}
