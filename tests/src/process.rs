//! The real programs as child processes: started, killed with -9, started again on the same data.
//!
//! The binaries are those that were built beside the running test or bench. Each process listens on a free port at its
//! first start and keeps it over restarts, as an installed one would. Standard error goes to a file in the process's
//! folder, so that a failed test can say what the program said.

use std::fs::{self, File, OpenOptions};
use std::io::{BufRead, BufReader, Write};
use std::net::SocketAddr;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use serde::Deserialize;

/// How long a program may take until it says that it is ready. Far more than it takes: a loaded machine is no failure.
const READY_TIMEOUT: Duration = Duration::from_secs(60);

/// The path of one of the project's programs, built beside the running one.
pub fn program(name: &str) -> anyhow::Result<PathBuf> {
    let own = std::env::current_exe().context("find the running program")?;
    // A test lies in `deps/`, a program beside it.
    let beside = own.parent().context("the program lies in a folder")?;
    for folder in [beside, beside.parent().unwrap_or(beside)] {
        let path = folder.join(name);
        if path.is_file() {
            return Ok(path);
        }
    }
    bail!("{name} is not built beside {}: run `cargo build --workspace` with the same profile first", own.display())
}

/// Builds the project's programs with the profile of the running one, so that nothing stale is measured or shown.
pub fn build_programs() -> anyhow::Result<()> {
    let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    // The whole workspace, so that features unite as in any other build of it and nothing is built twice.
    command.args(["build", "--locked", "--workspace", "--bins"]);
    // What `cargo run` told this program about its own package would make build scripts run anew.
    for (name, _) in std::env::vars_os() {
        let name = name.to_string_lossy();
        if name.starts_with("CARGO_PKG_") || name.starts_with("CARGO_MANIFEST_") {
            command.env_remove(&*name);
        }
    }
    if !cfg!(debug_assertions) {
        command.arg("--release");
    }
    command.current_dir(env!("CARGO_MANIFEST_DIR"));
    let status = command.status().context("run cargo build")?;
    anyhow::ensure!(status.success(), "building the programs failed");
    Ok(())
}

/// A running program of the project.
#[derive(Debug)]
struct Running {
    child: Child,
}

impl Running {
    /// Starts a program and waits for the line on its standard output that says it is ready.
    fn start<T: for<'de> Deserialize<'de>>(mut command: Command, log: &Path) -> anyhow::Result<(Self, T)> {
        let log = OpenOptions::new().create(true).append(true).open(log).context("open the log")?;
        let mut child = command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(log)
            .spawn()
            .with_context(|| format!("start {:?}", command.get_program()))?;
        let stdout = child.stdout.take().context("the output is piped")?;
        let running = Self { child };
        let (sender, lines) = std::sync::mpsc::sync_channel(1);
        std::thread::spawn(move || {
            let mut reader = BufReader::new(stdout);
            let mut line = String::new();
            let read = reader.read_line(&mut line).map(|_| line);
            // Nobody waits any more after a timeout.
            let _ = sender.send(read);
            // Whatever else it prints must not fill the pipe.
            let _ = std::io::copy(&mut reader, &mut std::io::sink());
        });
        let line = lines.recv_timeout(READY_TIMEOUT).context("wait for the program to be ready")?;
        let line = line.context("read the program's output")?;
        let ready = serde_json::from_str(&line).with_context(|| format!("understand the ready line {line:?}"))?;
        Ok((running, ready))
    }

    fn kill(&mut self) {
        // Fails only if it is dead already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    fn is_alive(&mut self) -> bool {
        matches!(self.child.try_wait(), Ok(None))
    }

    fn pid(&self) -> u32 {
        self.child.id()
    }

    fn signal(&self, signal: libc::c_int) -> anyhow::Result<()> {
        let pid = libc::pid_t::try_from(self.child.id()).context("a process id")?;
        #[expect(unsafe_code, reason = "the standard library sends no other signal than SIGKILL")]
        // SAFETY: the child has not been waited for, so the id is still its own.
        let sent = unsafe { libc::kill(pid, signal) };
        anyhow::ensure!(sent == 0, "the program could not be sent signal {signal}");
        Ok(())
    }

    /// Asks it to stop and waits until it has.
    fn stop(&mut self, patience: Duration) -> anyhow::Result<()> {
        self.signal(libc::SIGTERM)?;
        let deadline = Instant::now() + patience;
        while Instant::now() < deadline {
            if let Some(status) = self.child.try_wait().context("wait for the program")? {
                anyhow::ensure!(status.success(), "the program ended with {status}");
                return Ok(());
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        bail!("the program did not stop within {patience:?}")
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.kill();
    }
}

/// The server's ready line.
#[derive(Debug, Clone, Copy, Deserialize)]
pub struct ServerReady {
    /// Its HTTP address.
    pub http: SocketAddr,
    /// Its MQTT address; port 0 of no address if it does not listen.
    #[serde(deserialize_with = "address_or_none")]
    pub mqtt: SocketAddr,
}

fn address_or_none<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<SocketAddr, D::Error> {
    let address = Option::<SocketAddr>::deserialize(deserializer)?;
    Ok(address.unwrap_or_else(|| SocketAddr::from(([0, 0, 0, 0], 0))))
}

/// A `breakwater-server` on a folder.
#[derive(Debug)]
pub struct Server {
    dir: PathBuf,
    apart: bool,
    settings: Vec<(String, String)>,
    ready: ServerReady,
    running: Option<Running>,
}

impl Server {
    /// Starts it on a folder, with free ports.
    pub fn start(dir: &Path) -> anyhow::Result<Self> {
        Self::start_with(dir, Vec::new())
    }

    /// The same, apart from this process's group: Ctrl-C in a terminal does not reach it, so that whoever started it has
    /// to end it.
    pub fn start_apart(dir: &Path) -> anyhow::Result<Self> {
        let mut server = Self::on(dir, Vec::new());
        server.apart = true;
        server.restart()?;
        Ok(server)
    }

    /// The same with settings, as variables of its environment.
    pub fn start_with(dir: &Path, settings: Vec<(String, String)>) -> anyhow::Result<Self> {
        let mut server = Self::on(dir, settings);
        server.restart()?;
        Ok(server)
    }

    fn on(dir: &Path, settings: Vec<(String, String)>) -> Self {
        let any = SocketAddr::from(([127, 0, 0, 1], 0));
        let ready = ServerReady { http: any, mqtt: any };
        Self { dir: dir.to_owned(), apart: false, settings, ready, running: None }
    }

    /// Starts it again on the same folder and ports.
    pub fn restart(&mut self) -> anyhow::Result<()> {
        self.kill();
        fs::create_dir_all(&self.dir).context("make the server's folder")?;
        let mut command = Command::new(program("breakwater-server")?);
        command.envs(self.settings.iter().map(|(name, value)| (name, value)));
        command.arg("run").arg("--json").arg("--data-dir").arg(self.dir.join("data"));
        command.arg("--http").arg(self.ready.http.to_string()).arg("--mqtt").arg(self.ready.mqtt.to_string());
        if self.apart {
            command.process_group(0);
        }
        let log = self.dir.join("server.log");
        let (running, ready) =
            Running::start(command, &log).with_context(|| format!("start the server, see {}", log.display()))?;
        self.running = Some(running);
        self.ready = ready;
        Ok(())
    }

    /// Kills it with -9.
    pub fn kill(&mut self) {
        self.running = None;
    }

    /// Asks it to stop and waits.
    pub fn stop(&mut self) -> anyhow::Result<()> {
        self.running.take().map_or(Ok(()), |mut running| running.stop(Duration::from_secs(30)))
    }

    /// Stops it without its noticing: connections stay open, and nothing moves.
    pub fn freeze(&self) -> anyhow::Result<()> {
        self.running.as_ref().context("the server runs")?.signal(libc::SIGSTOP)
    }

    /// Lets it go on.
    pub fn thaw(&self) -> anyhow::Result<()> {
        self.running.as_ref().context("the server runs")?.signal(libc::SIGCONT)
    }

    /// Whether it runs.
    pub fn is_alive(&mut self) -> bool {
        self.running.as_mut().is_some_and(Running::is_alive)
    }

    /// Its process id, while it runs.
    pub fn pid(&self) -> Option<u32> {
        self.running.as_ref().map(Running::pid)
    }

    /// Its addresses.
    pub fn addresses(&self) -> ServerReady {
        self.ready
    }

    /// A URL of its HTTP API.
    pub fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.ready.http)
    }

    /// Its data folder.
    pub fn data_dir(&self) -> PathBuf {
        self.dir.join("data")
    }

    /// A command of the program with this server's settings, on its ledger.
    pub fn command(&self, words: &[&str]) -> anyhow::Result<Command> {
        let mut command = Command::new(program("breakwater-server")?);
        command.envs(self.settings.iter().map(|(name, value)| (name, value)));
        command.args(words).arg("--data-dir").arg(self.data_dir()).stdin(Stdio::null());
        Ok(command)
    }

    /// Adds a store and returns its claim code.
    pub fn add_store(&self, store_id: &str) -> anyhow::Result<String> {
        #[derive(Deserialize)]
        struct Added {
            claim_code: String,
        }
        let mut command = self.command(&["store", "add", store_id, "--json"])?;
        let output = command.output().context("run breakwater-server store add")?;
        anyhow::ensure!(output.status.success(), "store add failed: {}", String::from_utf8_lossy(&output.stderr));
        let added: Added = serde_json::from_slice(&output.stdout).context("understand what store add printed")?;
        Ok(added.claim_code)
    }
}

/// The agent's ready line.
#[derive(Debug, Clone, Copy, Deserialize)]
pub struct AgentReady {
    /// Its HTTP address.
    pub http: SocketAddr,
}

/// A `breakwater-agent` on a folder.
#[derive(Debug)]
pub struct Agent {
    dir: PathBuf,
    apart: bool,
    /// Lines of its configuration file beside the addresses and the data folder.
    more_config: String,
    /// Lines of its section `http` beside the address.
    http_config: String,
    ready: AgentReady,
    running: Option<Running>,
}

impl Agent {
    /// Prepares a folder without starting anything.
    pub fn new(dir: &Path, more_config: &str) -> Self {
        let ready = AgentReady { http: SocketAddr::from(([127, 0, 0, 1], 0)) };
        Self {
            dir: dir.to_owned(),
            apart: false,
            more_config: more_config.to_owned(),
            http_config: String::new(),
            ready,
            running: None,
        }
    }

    /// The same with lines of the section `http`.
    #[must_use]
    pub fn with_http(self, http_config: &str) -> Self {
        Self { http_config: http_config.to_owned(), ..self }
    }

    /// Starts it apart from this process's group, as [`Server::start_apart`] does.
    pub fn set_apart(&mut self) {
        self.apart = true;
    }

    /// Enrolls it at a server, reaching MQTT at an address that may be a proxy's.
    pub fn enroll(&self, server: &Server, store_id: &str, mqtt: SocketAddr) -> anyhow::Result<()> {
        self.enroll_by(server, store_id, Some(mqtt))
    }

    /// Enrolls it at a server, reaching MQTT where the server says.
    pub fn enroll_as_told(&self, server: &Server, store_id: &str) -> anyhow::Result<()> {
        self.enroll_by(server, store_id, None)
    }

    fn enroll_by(&self, server: &Server, store_id: &str, mqtt: Option<SocketAddr>) -> anyhow::Result<()> {
        let claim_code = server.add_store(store_id)?;
        let mut command = self.command("enroll")?;
        command.arg("--centre").arg(server.url("")).args(["--store", store_id, "--code", &claim_code]);
        if let Some(mqtt) = mqtt {
            command.arg("--mqtt").arg(format!("mqtt://{mqtt}"));
        }
        let output = command.output().context("run breakwater-agent enroll")?;
        anyhow::ensure!(output.status.success(), "enroll failed: {}", String::from_utf8_lossy(&output.stderr));
        Ok(())
    }

    /// Hands it a price book.
    pub fn load_price_book(&self, book: &Path) -> anyhow::Result<()> {
        let output = self.command("price-book")?.arg("load").arg(book).output().context("run price-book load")?;
        anyhow::ensure!(output.status.success(), "price-book load failed: {}", String::from_utf8_lossy(&output.stderr));
        Ok(())
    }

    /// Starts it, on the port that it had before.
    pub fn start(&mut self) -> anyhow::Result<()> {
        self.kill();
        let mut command = self.command("run")?;
        command.arg("--json");
        if self.apart {
            command.process_group(0);
        }
        let log = self.log();
        let (running, ready) =
            Running::start(command, &log).with_context(|| format!("start the agent, see {}", log.display()))?;
        self.running = Some(running);
        self.ready = ready;
        Ok(())
    }

    /// A command of the program on this folder's configuration.
    pub fn command(&self, name: &str) -> anyhow::Result<Command> {
        fs::create_dir_all(&self.dir).context("make the agent's folder")?;
        let config = self.dir.join("agent.toml");
        let mut file = File::create(&config).context("write the agent's configuration")?;
        writeln!(file, "data_dir = {:?}", self.data_dir().display().to_string())?;
        writeln!(file, "{}", self.more_config)?;
        writeln!(file, "[http]\nlisten = \"{}\"\n{}", self.ready.http, self.http_config)?;
        let mut command = Command::new(program("breakwater-agent")?);
        command.arg(name).arg("--config").arg(config);
        Ok(command)
    }

    /// Kills it with -9.
    pub fn kill(&mut self) {
        self.running = None;
    }

    /// Asks it to stop and waits.
    pub fn stop(&mut self) -> anyhow::Result<()> {
        self.running.take().map_or(Ok(()), |mut running| running.stop(Duration::from_secs(30)))
    }

    /// Whether it runs.
    pub fn is_alive(&mut self) -> bool {
        self.running.as_mut().is_some_and(Running::is_alive)
    }

    /// Its process id, while it runs.
    pub fn pid(&self) -> Option<u32> {
        self.running.as_ref().map(Running::pid)
    }

    /// A URL of its HTTP API.
    pub fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.ready.http)
    }

    /// Its data folder.
    pub fn data_dir(&self) -> PathBuf {
        self.dir.join("data")
    }

    /// Its database file.
    pub fn database(&self) -> PathBuf {
        agent::folder::books(&self.data_dir())
    }

    /// What it said on standard error.
    pub fn log(&self) -> PathBuf {
        self.dir.join("agent.log")
    }
}

/// The server of the peer, which is measured beside ours.
#[derive(Debug)]
pub struct Peer {
    ready: crate::peer::PeerReady,
    running: Running,
}

impl Peer {
    /// Starts it on a fresh folder, or on an empty PostgreSQL database.
    pub fn start(dir: &Path, database: Option<&str>) -> anyhow::Result<Self> {
        fs::create_dir_all(dir).context("make the peer's folder")?;
        let mut command = Command::new(program("peer")?);
        command.arg("--data-dir").arg(dir.join("data"));
        command.args(database.iter().flat_map(|url| ["--database", url]));
        let log = dir.join("peer.log");
        let (running, ready) =
            Running::start(command, &log).with_context(|| format!("start the peer, see {}", log.display()))?;
        Ok(Self { ready, running })
    }

    /// A URL of it.
    pub fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.ready.http)
    }

    /// Its process id.
    pub fn pid(&self) -> u32 {
        self.running.pid()
    }
}
