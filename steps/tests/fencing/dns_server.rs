//! A small name server on loopback, over UDP and TCP.

use std::collections::HashMap;
use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use hickory_proto::op::{Message, ResponseCode};
use hickory_proto::rr::rdata::{A, CNAME, NS};
use hickory_proto::rr::{Name, RData, Record, RecordType};

/// What a server does with a question.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mode {
    Answer,
    /// Every answer is cut over UDP.
    Cut,
    Refuse,
    Silent,
}

struct State {
    mode: Mode,
    zone: HashMap<(String, RecordType), Vec<RData>>,
}

/// A running server. Dropping it ends it.
pub(crate) struct DnsServer {
    pub(crate) address: SocketAddr,
    state: Arc<Mutex<State>>,
    asked: Arc<AtomicU64>,
    ended: Arc<AtomicBool>,
}

impl DnsServer {
    pub(crate) fn start(at: &str, mode: Mode) -> Self {
        let udp = UdpSocket::bind(at).unwrap();
        let address = udp.local_addr().unwrap();
        let tcp = TcpListener::bind(address).unwrap();
        let state = Arc::new(Mutex::new(State { mode, zone: HashMap::new() }));
        let (asked, ended) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicBool::new(false)));
        let server = Self { address, state, asked, ended };
        let (state, asked, ended) =
            (Arc::clone(&server.state), Arc::clone(&server.asked), Arc::clone(&server.ended));
        udp.set_read_timeout(Some(Duration::from_millis(50))).unwrap();
        std::thread::spawn(move || {
            let mut buffer = [0; 4096];
            while !ended.load(Ordering::Relaxed) {
                let Ok((length, from)) = udp.recv_from(&mut buffer) else { continue };
                asked.fetch_add(1, Ordering::Relaxed);
                if let Some(reply) = reply(&state, &buffer[..length], true) {
                    udp.send_to(&reply, from).unwrap();
                }
            }
        });
        let state = Arc::clone(&server.state);
        std::thread::spawn(move || {
            for stream in tcp.incoming() {
                by_tcp(&state, stream.unwrap());
            }
        });
        server
    }

    /// Sets the records of a name.
    pub(crate) fn set(&self, name: &str, kind: RecordType, values: &[&str]) {
        let data = |text: &&str| match kind {
            RecordType::CNAME => RData::CNAME(CNAME(name_of(text))),
            RecordType::NS => RData::NS(NS(name_of(text))),
            _ => RData::A(A(text.parse::<Ipv4Addr>().unwrap())),
        };
        let records = values.iter().map(data).collect();
        self.state.lock().unwrap().zone.insert((format!("{name}."), kind), records);
    }

    pub(crate) fn asked(&self) -> u64 {
        self.asked.load(Ordering::Relaxed)
    }
}

impl Drop for DnsServer {
    fn drop(&mut self) {
        self.ended.store(true, Ordering::Relaxed);
    }
}

fn name_of(text: &str) -> Name {
    Name::from_utf8(format!("{text}.")).unwrap()
}

fn by_tcp(state: &Mutex<State>, mut stream: TcpStream) {
    let mut length = [0; 2];
    stream.read_exact(&mut length).unwrap();
    let mut question = vec![0; usize::from(u16::from_be_bytes(length))];
    stream.read_exact(&mut question).unwrap();
    if let Some(reply) = reply(state, &question, false) {
        stream.write_all(&u16::try_from(reply.len()).unwrap().to_be_bytes()).unwrap();
        stream.write_all(&reply).unwrap();
    }
}

fn reply(state: &Mutex<State>, question: &[u8], by_udp: bool) -> Option<Vec<u8>> {
    let state = state.lock().unwrap();
    let question = Message::from_vec(question).unwrap();
    let mut message = question.clone().into_response();
    message.metadata.authoritative = true;
    let query = &question.queries[0];
    let known = state.zone.get(&(query.name().to_utf8().to_lowercase(), query.query_type()));
    let named = |(name, _): &(String, RecordType)| *name == query.name().to_utf8();
    match (state.mode, known) {
        (Mode::Silent, _) => return None,
        (Mode::Refuse, _) => message.metadata.response_code = ResponseCode::Refused,
        (Mode::Cut, _) if by_udp => message.metadata.truncation = true,
        (_, Some(records)) => {
            let record = |data: &RData| Record::from_rdata(query.name().clone(), 60, data.clone());
            message.add_answers(records.iter().map(record));
        }
        (_, None) if state.zone.keys().any(named) => {}
        (_, None) => message.metadata.response_code = ResponseCode::NXDomain,
    }
    Some(message.to_vec().unwrap())
}
