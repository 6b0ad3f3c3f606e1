//! The endpoint of an instance: a relay whose door opens and closes. What it let in stays in until
//! it is cut, as with security groups.

use std::collections::BTreeMap;
use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, SocketAddrV4, TcpListener, TcpStream};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;

use rustix::net::sockopt::set_socket_reuseaddr;
use rustix::net::{AddressFamily, SocketType, bind, listen, shutdown, socket};

/// How many connections wait to be taken.
const WAITING: i32 = 128;

/// An endpoint. It is closed at first; dropping it ends all that goes through it.
pub(super) struct Gate {
    shared: Arc<Shared>,
    address: SocketAddr,
}

struct Shared {
    // Bound for as long as the gate lives, so that nobody takes the port while it is closed.
    listener: TcpListener,
    target: u16,
    state: Mutex<State>,
    turned: Condvar,
}

#[derive(Default)]
struct State {
    open: bool,
    ended: bool,
    next: u64,
    inside: BTreeMap<u64, [TcpStream; 2]>,
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Gate {
    /// A closed gate at an address, to a port of 127.0.0.1.
    pub(super) fn at(address: SocketAddrV4, target: u16) -> io::Result<Self> {
        let socket = socket(AddressFamily::INET, SocketType::STREAM, None)?;
        set_socket_reuseaddr(&socket, true)?;
        bind(&socket, &address)?;
        let shared = Arc::new(Shared {
            listener: TcpListener::from(socket),
            target,
            state: Mutex::default(),
            turned: Condvar::new(),
        });
        let own = Arc::clone(&shared);
        thread::Builder::new().name("gate".to_owned()).spawn(move || keep(&own))?;
        Ok(Self { shared, address: address.into() })
    }

    /// An open gate at a free port of 127.0.0.1.
    pub(super) fn anywhere(target: u16) -> io::Result<Self> {
        let gate = Self::at(free_address(&[Ipv4Addr::LOCALHOST])?, target)?;
        gate.open()?;
        Ok(gate)
    }

    /// Where it stands.
    pub(super) fn address(&self) -> SocketAddr {
        self.address
    }

    /// Lets connections in.
    pub(super) fn open(&self) -> io::Result<()> {
        let mut state = self.shared.lock();
        if !state.open && !state.ended {
            listen(&self.shared.listener, WAITING)?;
            state.open = true;
            self.shared.turned.notify_all();
        }
        Ok(())
    }

    /// Refuses new connections.
    pub(super) fn close(&self) {
        let mut state = self.shared.lock();
        if std::mem::take(&mut state.open) {
            // The socket stays bound and no longer listens.
            shutdown(&self.shared.listener, rustix::net::Shutdown::Both).ok();
        }
    }

    /// Ends the connections that are inside.
    pub(super) fn cut(&self) {
        for ends in std::mem::take(&mut self.shared.lock().inside).into_values() {
            for end in ends {
                end.shutdown(Shutdown::Both).ok();
            }
        }
    }
}

impl Drop for Gate {
    fn drop(&mut self) {
        self.close();
        self.shared.lock().ended = true;
        self.shared.turned.notify_all();
        self.cut();
    }
}

/// A port that is free on all of these addresses; the first of them with it.
pub(super) fn free_address(hosts: &[Ipv4Addr]) -> io::Result<SocketAddrV4> {
    let mut last = io::Error::other("no address is asked for");
    for _ in 0..32 {
        let first = TcpListener::bind((hosts[0], 0))?;
        let port = first.local_addr()?.port();
        let others = hosts[1..].iter().map(|host| TcpListener::bind((*host, port)));
        match others.collect::<io::Result<Vec<_>>>() {
            Ok(_) => return Ok(SocketAddrV4::new(hosts[0], port)),
            Err(error) => last = error,
        }
    }
    Err(last)
}

/// Takes connections whenever the gate is open, until it ends.
fn keep(shared: &Arc<Shared>) {
    loop {
        let mut state = shared.lock();
        while !state.open && !state.ended {
            state = shared.turned.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        if state.ended {
            return;
        }
        drop(state);
        // A closed gate wakes it with an error.
        if let Ok((client, _)) = shared.listener.accept() {
            // A server that is gone closes the connection.
            let_in(client, shared).ok();
        }
    }
}

fn let_in(client: TcpStream, shared: &Arc<Shared>) -> io::Result<()> {
    let server = TcpStream::connect(("127.0.0.1", shared.target))?;
    client.set_nodelay(true)?;
    server.set_nodelay(true)?;
    let ends = [client.try_clone()?, server.try_clone()?];
    let number = {
        let mut state = shared.lock();
        if !state.open {
            return Ok(());
        }
        state.next += 1;
        let number = state.next;
        state.inside.insert(number, ends);
        number
    };
    let (from, to, own) = (client.try_clone()?, server.try_clone()?, Arc::clone(shared));
    thread::spawn(move || {
        copy(&from, &to);
        own.lock().inside.remove(&number);
    });
    thread::spawn(move || copy(&server, &client));
    Ok(())
}

/// Copies until the end, and closes both sides.
fn copy(mut from: &TcpStream, mut to: &TcpStream) {
    let mut buffer = vec![0; 64 * 1024];
    while let Ok(read @ 1..) = from.read(&mut buffer) {
        if to.write_all(&buffer[..read]).is_err() {
            break;
        }
    }
    from.shutdown(Shutdown::Both).ok();
    to.shutdown(Shutdown::Both).ok();
}

#[cfg(test)]
mod tests {
    use super::*;

    fn echo() -> u16 {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                thread::spawn(move || copy(&stream, &stream.try_clone().unwrap()));
            }
        });
        port
    }

    fn says(stream: &mut TcpStream) -> io::Result<u8> {
        stream.write_all(b"x")?;
        let mut answer = [0];
        stream.read_exact(&mut answer)?;
        Ok(answer[0])
    }

    #[test]
    fn a_closed_gate_refuses_the_new_and_keeps_who_is_inside_until_it_is_cut() {
        let gate = Gate::anywhere(echo()).unwrap();
        let mut inside = TcpStream::connect(gate.address()).unwrap();
        assert_eq!(says(&mut inside).unwrap(), b'x');
        for _ in 0..3 {
            gate.close();
            let refused = TcpStream::connect(gate.address()).unwrap_err();
            assert_eq!(refused.kind(), io::ErrorKind::ConnectionRefused);
            assert_eq!(says(&mut inside).unwrap(), b'x');
            gate.open().unwrap();
            assert_eq!(says(&mut TcpStream::connect(gate.address()).unwrap()).unwrap(), b'x');
        }
        gate.cut();
        assert!(says(&mut inside).is_err());
        let address = gate.address();
        drop(gate);
        assert!(TcpStream::connect(address).is_err());
    }
}
