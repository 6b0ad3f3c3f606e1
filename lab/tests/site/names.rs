//! The name server, over UDP and TCP.

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream, UdpSocket};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use hickory_proto::op::{Message, Query, ResponseCode};
use hickory_proto::rr::{Name, RecordType};
use lab::dns::{Dns, Record};

fn record(name: &str, kind: &str, ttl: u32, values: &[&str]) -> Record {
    Record {
        name: name.to_owned(),
        kind: kind.to_owned(),
        ttl,
        values: values.iter().map(|&value| value.to_owned()).collect(),
        healthy: true,
        ..Record::default()
    }
}

fn served(records: Vec<Record>) -> (Dns, Arc<Mutex<Vec<Record>>>) {
    let shared = Arc::new(Mutex::new(records));
    let own = Arc::clone(&shared);
    (Dns::start("lab.internal.", Arc::new(move || own.lock().unwrap().clone())).unwrap(), shared)
}

fn question(name: &str, kind: RecordType) -> Vec<u8> {
    let mut message = Message::query();
    message.add_query(Query::query(Name::from_utf8(name).unwrap(), kind));
    message.to_vec().unwrap()
}

fn by_udp(server: SocketAddr, name: &str, kind: RecordType) -> Message {
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    socket.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
    socket.send_to(&question(name, kind), server).unwrap();
    let mut buffer = [0; 4096];
    let length = socket.recv(&mut buffer).unwrap();
    Message::from_vec(&buffer[..length]).unwrap()
}

fn by_tcp(server: SocketAddr, name: &str, kind: RecordType) -> Message {
    let mut stream = TcpStream::connect(server).unwrap();
    let asked = question(name, kind);
    stream.write_all(&u16::try_from(asked.len()).unwrap().to_be_bytes()).unwrap();
    stream.write_all(&asked).unwrap();
    let mut length = [0; 2];
    stream.read_exact(&mut length).unwrap();
    let mut answer = vec![0; usize::from(u16::from_be_bytes(length))];
    stream.read_exact(&mut answer).unwrap();
    Message::from_vec(&answer).unwrap()
}

fn answers(message: &Message) -> Vec<String> {
    message.answers.iter().map(|it| format!("{} {} {}", it.name, it.ttl, it.data)).collect()
}

const SOA: &str = "ns1.lab.internal. hostmaster.lab.internal. 1 7200 900 1209600 60";

#[test]
fn chains_are_followed_and_what_is_not_there_is_told_with_the_authority() {
    let (dns, records) = served(vec![
        record("lab.internal.", "SOA", 900, &[SOA]),
        record("db.lab.internal.", "CNAME", 5, &["app-primary.rds.lab.internal"]),
        record("app-primary.rds.lab.internal.", "A", 7, &["127.0.1.1"]),
    ]);
    for ask in [by_udp, by_tcp] {
        let answer = ask(dns.address(), "DB.lab.internal.", RecordType::A);
        assert!(answer.metadata.authoritative);
        let expected = [
            "db.lab.internal. 5 app-primary.rds.lab.internal.",
            "app-primary.rds.lab.internal. 7 127.0.1.1",
        ];
        assert_eq!(
            answers(&answer).iter().map(|it| it.to_lowercase()).collect::<Vec<_>>(),
            expected
        );
        let none = ask(dns.address(), "nobody.lab.internal.", RecordType::A);
        assert_eq!(none.metadata.response_code, ResponseCode::NXDomain);
        assert_eq!(none.authorities.len(), 1);
        // The name is there, without a record of that kind.
        let empty = ask(dns.address(), "app-primary.rds.lab.internal.", RecordType::TXT);
        assert_eq!(empty.metadata.response_code, ResponseCode::NoError);
        assert_eq!((empty.answers.len(), empty.authorities.len()), (0, 1));
        let foreign = ask(dns.address(), "example.com.", RecordType::A);
        assert_eq!(foreign.metadata.response_code, ResponseCode::Refused);
    }
    records.lock().unwrap()[2].values = vec!["127.0.2.1".to_owned()];
    let answer = by_udp(dns.address(), "db.lab.internal.", RecordType::A);
    assert!(answers(&answer)[1].ends_with(" 127.0.2.1"), "the next answer is the new one");
}

#[test]
fn weights_share_and_a_sick_primary_gives_way() {
    let weighted = |value: &str, weight| Record {
        weight: Some(weight),
        ..record("w.lab.internal.", "A", 1, &[value])
    };
    let role = |role: &str, value: &str, healthy| Record {
        failover: Some(role.to_owned()),
        healthy,
        ..record("f.lab.internal.", "A", 1, &[value])
    };
    let (dns, records) = served(vec![
        weighted("10.0.0.1", 3),
        weighted("10.0.0.2", 1),
        weighted("10.0.0.3", 0),
        role("PRIMARY", "10.1.0.1", true),
        role("SECONDARY", "10.1.0.2", true),
    ]);
    let mut shares: BTreeMap<String, u32> = BTreeMap::new();
    for _ in 0..400 {
        let answer = by_udp(dns.address(), "w.lab.internal.", RecordType::A);
        *shares.entry(answers(&answer).concat()).or_default() += 1;
    }
    assert_eq!(shares.len(), 2, "{shares:?}");
    let first = shares["w.lab.internal. 1 10.0.0.1"];
    assert!((220..380).contains(&first), "three of four: {shares:?}");
    let now = || answers(&by_udp(dns.address(), "f.lab.internal.", RecordType::A)).concat();
    assert_eq!(now(), "f.lab.internal. 1 10.1.0.1");
    records.lock().unwrap()[3].healthy = false;
    assert_eq!(now(), "f.lab.internal. 1 10.1.0.2");
    records.lock().unwrap()[4].healthy = false;
    assert_eq!(now(), "f.lab.internal. 1 10.1.0.1");
}

#[test]
fn an_answer_that_does_not_fit_comes_by_tcp() {
    let values: Vec<String> = (0..100).map(|at| format!("10.0.1.{at}")).collect();
    let values: Vec<&str> = values.iter().map(String::as_str).collect();
    let (dns, _) = served(vec![record("many.lab.internal.", "A", 1, &values)]);
    let cut = by_udp(dns.address(), "many.lab.internal.", RecordType::A);
    assert!(cut.metadata.truncation && cut.answers.is_empty());
    assert_eq!(by_tcp(dns.address(), "many.lab.internal.", RecordType::A).answers.len(), 100);
}
