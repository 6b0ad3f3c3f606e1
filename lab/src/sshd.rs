//! A private ssh server on loopback, for the account that runs the test, with keys of its own.

use std::fs;
use std::io;
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use tempfile::TempDir;

/// The server program; it must be started by its whole path.
const SSHD: &str = "/usr/sbin/sshd";

/// It takes connections within this time.
const PATIENCE: Duration = Duration::from_secs(20);

/// A running server. Dropping it ends it.
#[derive(Debug)]
pub struct Sshd {
    folder: TempDir,
    port: u16,
    child: Child,
}

impl Sshd {
    /// Starts a server whose sessions find programs on `path` first.
    pub fn start(path: &Path) -> io::Result<Self> {
        let folder = tempfile::tempdir()?;
        for name in ["host", "client"] {
            keygen(&folder.path().join(name))?;
        }
        fs::copy(folder.path().join("client.pub"), folder.path().join("authorized"))?;
        let port = TcpListener::bind("127.0.0.1:0")?.local_addr()?.port();
        let host_key = fs::read_to_string(folder.path().join("host.pub"))?;
        let known = format!("[127.0.0.1]:{port} {host_key}");
        fs::write(folder.path().join("known_hosts"), known)?;
        let config = folder.path().join("config");
        fs::write(&config, configuration(folder.path(), port, path))?;
        if rustix::process::geteuid().is_root() {
            // Where it locks itself up before a login; packages make it at boot.
            fs::create_dir_all("/run/sshd")?;
        }
        let mut command = Command::new(SSHD);
        command.arg("-D").arg("-f").arg(&config).arg("-E").arg(folder.path().join("log"));
        let child = command.stdin(Stdio::null()).spawn()?;
        let server = Self { folder, port, child };
        server.wait()?;
        Ok(server)
    }

    /// The port on 127.0.0.1.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// The private key of whoever may log in.
    pub fn identity_file(&self) -> PathBuf {
        self.folder.path().join("client")
    }

    /// The file of known hosts that has this server's key.
    pub fn known_hosts(&self) -> PathBuf {
        self.folder.path().join("known_hosts")
    }

    fn wait(&self) -> io::Result<()> {
        let begun = Instant::now();
        while TcpStream::connect(("127.0.0.1", self.port)).is_err() {
            if begun.elapsed() > PATIENCE {
                let log = fs::read_to_string(self.folder.path().join("log")).unwrap_or_default();
                return Err(io::Error::other(format!("sshd does not start: {log}")));
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        Ok(())
    }
}

impl Drop for Sshd {
    fn drop(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

fn keygen(path: &Path) -> io::Result<()> {
    let mut command = Command::new("ssh-keygen");
    command.args(["-q", "-t", "ed25519", "-N", "", "-C", "runbook-lab", "-f"]).arg(path);
    let status = command.stdin(Stdio::null()).status()?;
    if status.success() { Ok(()) } else { Err(io::Error::other("ssh-keygen failed")) }
}

fn configuration(folder: &Path, port: u16, path: &Path) -> String {
    let folder = folder.display();
    let search = format!("{}:/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin", path.display());
    format!(
        "Port {port}\nListenAddress 127.0.0.1\nHostKey {folder}/host\n\
         AuthorizedKeysFile {folder}/authorized\nPidFile none\nUsePAM no\nStrictModes no\n\
         PasswordAuthentication no\nKbdInteractiveAuthentication no\n\
         PermitRootLogin prohibit-password\nSetEnv PATH={search}\n"
    )
}
