//! A switchable route to a server: a forwarder on loopback whose target stands in a file, as that
//! of a proxy or a name does.

use std::fs;
use std::io::{self, Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::path::{Path, PathBuf};

/// A forwarder. Its thread ends with the process.
#[derive(Debug)]
pub struct Route {
    port: u16,
}

impl Route {
    /// Forwards to the port of 127.0.0.1 that stands in the file `target` at the moment when a
    /// connection is made. A client without a server is turned away, as by a proxy whose server
    /// is down.
    pub fn start(target: &Path) -> io::Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let port = listener.local_addr()?.port();
        let target = target.to_path_buf();
        std::thread::spawn(move || {
            for client in listener.incoming().flatten() {
                let target = target.clone();
                // A client that is turned away sees why by itself.
                std::thread::spawn(move || forward(&client, &target).ok());
            }
        });
        Ok(Self { port })
    }

    /// The port it listens on.
    pub fn port(&self) -> u16 {
        self.port
    }
}

fn forward(client: &TcpStream, target: &PathBuf) -> io::Result<()> {
    let port = fs::read_to_string(target)?;
    let port: u16 = port.trim().parse().map_err(io::Error::other)?;
    let server = TcpStream::connect(("127.0.0.1", port))?;
    let (from, to) = (server.try_clone()?, client.try_clone()?);
    let answers = std::thread::spawn(move || copy(&from, &to));
    copy(client, &server);
    answers.join().ok();
    Ok(())
}

/// Copies until the end, and closes both sides.
fn copy(mut from: &TcpStream, mut to: &TcpStream) {
    let mut buffer = vec![0; 16 * 1024];
    while let Ok(read @ 1..) = from.read(&mut buffer) {
        if to.write_all(&buffer[..read]).is_err() {
            break;
        }
    }
    from.shutdown(Shutdown::Both).ok();
    to.shutdown(Shutdown::Both).ok();
}
