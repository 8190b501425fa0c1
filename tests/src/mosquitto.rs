//! A real Mosquitto with the configuration that is shipped, but for addresses and paths. It runs on a port of its own and
//! keeps it over restarts.

use std::fs;
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, bail, ensure};

/// How long it may take until it listens.
const READY_TIMEOUT: Duration = Duration::from_secs(30);

const SHIPPED: &str = include_str!("../../packaging/mosquitto/mosquitto.conf");

const SHIPPED_ACL: &str = include_str!("../../packaging/mosquitto/breakwater.acl");

/// Debian puts daemons where a user's PATH does not look.
const MORE_FOLDERS: [&str; 3] = ["/usr/local/sbin", "/usr/sbin", "/sbin"];

/// A broker in a folder.
#[derive(Debug)]
pub struct Mosquitto {
    program: PathBuf,
    dir: PathBuf,
    address: SocketAddr,
    child: Option<Child>,
}

impl Mosquitto {
    /// Prepares one without starting it. `dir` is where it has its files.
    pub fn new(dir: &Path) -> anyhow::Result<Self> {
        let program = find_program("mosquitto")?;
        fs::create_dir_all(dir).context("make the broker's folder")?;
        // The port is free as soon as this socket is closed; nothing else here asks for a certain one.
        let socket = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).context("find a free port")?;
        let address = socket.local_addr().context("find a free port")?;
        let mosquitto = Self { program, dir: dir.to_owned(), address, child: None };
        fs::write(mosquitto.password_of_server(), "the server's own password\n").context("write a password")?;
        fs::write(mosquitto.dir.join("acl"), SHIPPED_ACL).context("write the broker's rules")?;
        let config = adapted(SHIPPED, address, &mosquitto.passwords(), &mosquitto.dir.join("acl"))?;
        fs::write(mosquitto.dir.join("mosquitto.conf"), config).context("write the broker's configuration")?;
        Ok(mosquitto)
    }

    /// Its address.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The logins of the stores, which the server writes.
    pub fn passwords(&self) -> PathBuf {
        self.dir.join("passwords")
    }

    fn password_of_server(&self) -> PathBuf {
        self.dir.join("server.password")
    }

    /// What a server has to be told, as variables of its environment.
    pub fn server_settings(&self) -> Vec<(String, String)> {
        let path = |path: PathBuf| path.display().to_string();
        [
            ("BREAKWATER_BROKER_URL", format!("mqtt://{}", self.address)),
            ("BREAKWATER_BROKER_PASSWORD_FILE", path(self.password_of_server())),
            ("BREAKWATER_BROKER_STORE_PASSWORDS_FILE", path(self.passwords())),
        ]
        .map(|(name, value)| (name.to_owned(), value))
        .into()
    }

    /// Starts it, with nothing in its memory. The file with the logins must be there.
    pub fn start(&mut self) -> anyhow::Result<()> {
        self.kill();
        let log = fs::OpenOptions::new().create(true).append(true).open(self.dir.join("mosquitto.log"));
        let log = log.context("open the broker's log")?;
        let mut command = Command::new(&self.program);
        command.arg("-c").arg(self.dir.join("mosquitto.conf")).stdin(Stdio::null());
        command.stdout(log.try_clone().context("share the broker's log")?).stderr(log);
        self.child = Some(command.spawn().context("start mosquitto")?);
        let deadline = Instant::now() + READY_TIMEOUT;
        while TcpStream::connect(self.address).is_err() {
            let ended = self.child.as_mut().and_then(|child| child.try_wait().ok().flatten());
            if let Some(status) = ended {
                bail!("mosquitto ended with {status}, see {}", self.dir.join("mosquitto.log").display());
            }
            ensure!(Instant::now() < deadline, "mosquitto does not listen within {READY_TIMEOUT:?}");
            std::thread::sleep(Duration::from_millis(10));
        }
        Ok(())
    }

    /// Has it read the logins again.
    pub fn reload(&self) -> anyhow::Result<()> {
        self.signal(libc::SIGHUP)
    }

    /// Stops it without its noticing: connections stay open, and nothing moves.
    pub fn freeze(&self) -> anyhow::Result<()> {
        self.signal(libc::SIGSTOP)
    }

    /// Lets it go on.
    pub fn thaw(&self) -> anyhow::Result<()> {
        self.signal(libc::SIGCONT)
    }

    /// Kills it with -9; what it held is gone.
    pub fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            // Fails only if it is dead already.
            let _ = child.kill();
            let _ = child.wait();
        }
    }

    fn signal(&self, signal: libc::c_int) -> anyhow::Result<()> {
        let child = self.child.as_ref().context("mosquitto runs")?;
        let pid = libc::pid_t::try_from(child.id()).context("a process id")?;
        #[expect(unsafe_code, reason = "the standard library sends no other signal than SIGKILL")]
        // SAFETY: the child has not been waited for, so the id is still its own.
        let sent = unsafe { libc::kill(pid, signal) };
        ensure!(sent == 0, "mosquitto could not be sent signal {signal}");
        Ok(())
    }
}

impl Drop for Mosquitto {
    fn drop(&mut self) {
        self.kill();
    }
}

/// The shipped configuration with one listener on this machine, and files of its own.
fn adapted(shipped: &str, address: SocketAddr, passwords: &Path, acl: &Path) -> anyhow::Result<String> {
    let mut replaced = 0;
    let mut lines = Vec::new();
    for line in shipped.lines() {
        let replacement = match line.split(' ').next().unwrap_or_default() {
            "listener" if line.ends_with("127.0.0.1") => Some(format!("listener {} {}", address.port(), address.ip())),
            "password_file" => Some(format!("password_file {}", passwords.display())),
            "acl_file" => Some(format!("acl_file {}", acl.display())),
            // TLS is the other listener's.
            "listener" | "certfile" | "keyfile" => continue,
            _ => None,
        };
        replaced += usize::from(replacement.is_some());
        lines.push(replacement.unwrap_or_else(|| line.to_owned()));
    }
    ensure!(replaced == 3, "the shipped configuration has other lines than this program knows");
    // Started by root it would become another user, who cannot read the files here.
    lines.push("user root".to_owned());
    Ok(lines.join("\n"))
}

/// The path of a program of the system; names the Debian package where it is missing.
pub fn find_program(name: &str) -> anyhow::Result<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let folders = std::env::split_paths(&path).chain(MORE_FOLDERS.map(PathBuf::from));
    let found = folders.map(|folder| folder.join(name)).find(|path| path.is_file());
    found.with_context(|| format!("{name} is not installed: apt-get install mosquitto (see .ci/test-packages.txt)"))
}
