//! A wire between a client and a server on loopback that is cut when the client says a word.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::{io, thread};

/// When a connection is cut.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cut {
    /// Before the server hears the word.
    Before,
    /// After the server has answered it; the answer does not arrive.
    After,
}

type Plan = Arc<Mutex<Option<(String, Cut)>>>;

/// A running wire; what it carries is unchanged. Dropping it takes no further connections.
pub struct Wire {
    port: u16,
    plan: Plan,
    closed: Arc<AtomicBool>,
}

impl Wire {
    /// Lays a wire to a port of this machine; it is whole.
    pub fn to(server: u16) -> io::Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let port = listener.local_addr()?.port();
        let (plan, closed) = (Plan::default(), Arc::new(AtomicBool::new(false)));
        let (given, ended) = (Arc::clone(&plan), Arc::clone(&closed));
        thread::Builder::new().name("wire".to_owned()).spawn(move || {
            for client in listener.incoming().flatten() {
                if ended.load(Ordering::Relaxed) {
                    return;
                }
                // A server that is gone closes the connection.
                drop(carry(client, server, &given));
            }
        })?;
        Ok(Self { port, plan, closed })
    }

    /// The port that stands for the server's.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Cuts each connection whose client says `word`.
    pub fn cut_at(&self, word: &str, cut: Cut) {
        *self.plan.lock().unwrap_or_else(PoisonError::into_inner) = Some((word.to_owned(), cut));
    }

    /// Cuts nothing any more.
    pub fn mend(&self) {
        *self.plan.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }
}

impl Drop for Wire {
    fn drop(&mut self) {
        self.closed.store(true, Ordering::Relaxed);
        // Wakes the thread that waits for a connection.
        drop(TcpStream::connect(("127.0.0.1", self.port)));
    }
}

fn carry(client: TcpStream, server: u16, plan: &Plan) -> io::Result<()> {
    let server = TcpStream::connect(("127.0.0.1", server))?;
    let (heard, plan) = (Arc::new(AtomicBool::new(false)), Arc::clone(plan));
    let (mut from, mut to, mark) = (client.try_clone()?, server.try_clone()?, Arc::clone(&heard));
    thread::spawn(move || {
        drop(up(&mut from, &mut to, &plan, &mark));
        part(&from, &to, mark.load(Ordering::SeqCst));
    });
    let (mut from, mut to) = (server, client);
    thread::spawn(move || {
        drop(down(&mut from, &mut to, &heard));
        part(&from, &to, false);
    });
    Ok(())
}

/// Closes both ends, unless an answer is still to be waited for.
fn part(one: &TcpStream, other: &TcpStream, waits: bool) {
    if !waits {
        // An end that is closed already is as it should be.
        drop((one.shutdown(Shutdown::Both), other.shutdown(Shutdown::Both)));
    }
}

fn up(from: &mut TcpStream, to: &mut TcpStream, plan: &Plan, mark: &AtomicBool) -> io::Result<()> {
    let mut bytes = vec![0; 65536];
    loop {
        let read = from.read(&mut bytes)?;
        if read == 0 {
            return Ok(());
        }
        let said = &bytes[..read];
        let plan = plan.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let cut = plan.filter(|(word, _)| said.windows(word.len()).any(|it| it == word.as_bytes()));
        match cut {
            Some((_, Cut::Before)) => return Ok(()),
            Some((_, Cut::After)) => {
                mark.store(true, Ordering::SeqCst);
                return to.write_all(said);
            }
            None => to.write_all(said)?,
        }
    }
}

fn down(from: &mut TcpStream, to: &mut TcpStream, heard: &AtomicBool) -> io::Result<()> {
    let mut bytes = vec![0; 65536];
    loop {
        let read = from.read(&mut bytes)?;
        if read == 0 || heard.load(Ordering::SeqCst) {
            return Ok(());
        }
        to.write_all(&bytes[..read])?;
    }
}
