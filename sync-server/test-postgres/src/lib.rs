//! A PostgreSQL server for the time of a test: in a folder of its own, on a socket there, gone afterwards.
//!
//! It knows nothing of the ledger and speaks no SQL: databases are made with the programs that come with the server.

use std::io::Write as _;
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// How long a server may take to start or to stop.
const PATIENCE: Duration = Duration::from_secs(60);

/// The user as whom a server runs where tests run as root, which PostgreSQL refuses.
const NOBODY: u32 = 65_534;

/// A running server.
#[derive(Debug)]
pub struct TestServer {
    bin: PathBuf,
    folder: tempfile::TempDir,
    options: Vec<String>,
    process: Mutex<Option<Child>>,
    databases: AtomicU32,
}

/// How much a server takes care that a power cut loses nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Durability {
    /// As in production.
    Full,
    /// Not at all: for tests of what is done, and not of what stays.
    None,
}

impl TestServer {
    /// Starts a server. Fails in words that say what is missing.
    pub fn start(durability: Durability) -> Result<Self, String> {
        Self::start_in(&std::env::temp_dir(), durability, &["shared_buffers=64MB"])
    }

    /// The same with its folder in another one, which every user must be able to enter, and with settings such as
    /// `shared_buffers=64MB`.
    pub fn start_in(base: &Path, durability: Durability, settings: &[&str]) -> Result<Self, String> {
        let bin = programs()?;
        let folder = tempfile::Builder::new().prefix("test-postgres-").tempdir_in(base);
        let folder = folder.map_err(|error| format!("make a folder in {}: {error}", base.display()))?;
        let fsync = if durability == Durability::Full { "on" } else { "off" };
        let options = [
            "-c listen_addresses=".to_owned(),
            format!("-c unix_socket_directories={}", folder.path().display()),
            format!("-c fsync={fsync}"),
            "-c max_connections=60".to_owned(),
            "-c autovacuum_naptime=10s".to_owned(),
        ];
        let settings = settings.iter().map(|setting| format!("-c {setting}"));
        let options: Vec<String> = options.into_iter().chain(settings).collect();
        let options = options.iter().flat_map(|option| option.split(' ').map(str::to_owned)).collect();
        let server = Self { bin, folder, options, process: Mutex::new(None), databases: AtomicU32::new(0) };
        server.init()?;
        server.restart()?;
        Ok(server)
    }

    fn data(&self) -> PathBuf {
        self.folder.path().join("data")
    }

    fn init(&self) -> Result<(), String> {
        let open = |path: &Path| {
            std::fs::set_permissions(path, PermissionsExt::from_mode(0o755))?;
            if is_root() { chown(path, Some(NOBODY), Some(NOBODY)) } else { Ok(()) }
        };
        open(self.folder.path()).map_err(|error| format!("give a folder away: {error}"))?;
        let mut initdb = self.program("initdb");
        initdb.args(["--username=postgres", "--auth=trust", "--encoding=UTF8", "--locale=C", "--no-sync", "-D"]);
        run(initdb.arg(self.data()))
    }

    /// Starts the server that was stopped or killed, on what it left.
    pub fn restart(&self) -> Result<(), String> {
        let mut process = self.process.lock().unwrap_or_else(PoisonError::into_inner);
        let log = std::fs::File::options().create(true).append(true).open(self.folder.path().join("log"));
        let log = log.map_err(|error| format!("open the server's log: {error}"))?;
        let mut postgres = self.program("postgres");
        postgres.arg("-D").arg(self.data()).args(&self.options).stdout(Stdio::null()).stderr(log);
        *process = Some(postgres.spawn().map_err(|error| format!("start postgres: {error}"))?);
        drop(process);
        let deadline = Instant::now() + PATIENCE;
        loop {
            let mut ready = self.program("pg_isready");
            ready.arg("-q").arg("-h").arg(self.folder.path());
            if ready.status().is_ok_and(|status| status.success()) {
                return Ok(());
            }
            if Instant::now() > deadline {
                let log = std::fs::read_to_string(self.folder.path().join("log")).unwrap_or_default();
                return Err(format!("the server does not start: {log}"));
            }
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// Kills the server with all its connections, as a power cut would.
    pub fn kill(&self) {
        self.end("QUIT");
    }

    /// Stops the server in order; connections are cut.
    pub fn stop(&self) {
        self.end("INT");
    }

    fn end(&self, signal: &str) {
        let process = self.process.lock().unwrap_or_else(PoisonError::into_inner).take();
        let Some(mut process) = process else { return };
        // The library has no other signal than SIGKILL, which leaves orphans. The number is the child's until it was waited
        // for.
        let _ = Command::new("sh").args(["-c", &format!("kill -{signal} {}", process.id())]).status();
        // It is gone in any case when it was waited for.
        let _ = process.wait();
    }

    /// The process id of the server, while it runs. Each connection has a child of it.
    pub fn pid(&self) -> Option<u32> {
        self.process.lock().unwrap_or_else(PoisonError::into_inner).as_ref().map(Child::id)
    }

    /// Makes an empty database and gives its connection string.
    pub fn database(&self) -> String {
        let name = self.next_name();
        self.make(&name, "template0")
    }

    /// Makes a copy of a database to which nobody is connected, given by its connection string.
    pub fn copy_of(&self, url: &str) -> String {
        let template = name_of(url).to_owned();
        let name = self.next_name();
        self.make(&name, &template)
    }

    /// Its folder, in which the server itself may write.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Runs statements, each in a transaction of its own unless they begin one. Stops at the first that fails.
    pub fn script(&self, url: &str, statements: &str) -> Result<(), String> {
        let mut psql = self.psql(url);
        psql.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::piped());
        let mut running = psql.spawn().map_err(|error| format!("start psql: {error}"))?;
        if let Some(mut stdin) = running.stdin.take() {
            // If psql ended early, its own words say why.
            let _ = stdin.write_all(statements.as_bytes());
        }
        let output = running.wait_with_output().map_err(|error| format!("wait for psql: {error}"))?;
        if output.status.success() {
            return Ok(());
        }
        Err(String::from_utf8_lossy(&output.stderr).into_owned())
    }

    fn psql(&self, url: &str) -> Command {
        let mut psql = self.program("psql");
        psql.args(["-X", "-q", "-A", "-t", "-F", " ", "-v", "ON_ERROR_STOP=1", "-U", "postgres", "-h"]);
        psql.arg(self.folder.path()).args(["-d", name_of(url)]);
        psql
    }

    /// Runs a statement and gives its rows, columns separated by a space.
    pub fn query(&self, url: &str, sql: &str) -> Vec<String> {
        let output =
            self.psql(url).args(["-c", sql]).output().unwrap_or_else(|error| panic(&format!("start psql: {error}")));
        if !output.status.success() {
            panic(&format!("{sql}: {}", String::from_utf8_lossy(&output.stderr)));
        }
        String::from_utf8_lossy(&output.stdout).lines().map(str::to_owned).collect()
    }

    fn next_name(&self) -> String {
        format!("test_{}", self.databases.fetch_add(1, Ordering::Relaxed))
    }

    fn make(&self, name: &str, template: &str) -> String {
        let mut createdb = self.program("createdb");
        createdb.args(["-U", "postgres", "-h"]).arg(self.folder.path()).args(["-T", template, name]);
        run(&mut createdb).unwrap_or_else(|error| panic(&error));
        let socket = self.folder.path().display().to_string().replace('/', "%2F");
        format!("postgres://postgres@{socket}/{name}")
    }

    fn program(&self, name: &str) -> Command {
        let mut command = Command::new(self.bin.join(name));
        command.current_dir(self.folder.path());
        if is_root() {
            command.uid(NOBODY).gid(NOBODY);
        }
        command
    }
}

impl Drop for TestServer {
    fn drop(&mut self) {
        self.kill();
    }
}

fn name_of(url: &str) -> &str {
    url.rsplit('/').next().unwrap_or_default()
}

fn is_root() -> bool {
    std::fs::metadata("/proc/self").is_ok_and(|process| process.uid() == 0)
}

/// The folder with the server's programs: the newest that Debian installs, or wherever `initdb` is found.
fn programs() -> Result<PathBuf, String> {
    let installed = std::fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten();
    let mut folders: Vec<(u32, PathBuf)> = installed
        .filter_map(|entry| Some((entry.file_name().to_str()?.parse().ok()?, entry.path().join("bin"))))
        .filter(|(_, bin)| bin.join("initdb").exists())
        .collect();
    folders.sort();
    if let Some((_, newest)) = folders.pop() {
        return Ok(newest);
    }
    let path = std::env::var_os("PATH").unwrap_or_default();
    let found = std::env::split_paths(&path).find(|folder| folder.join("initdb").exists());
    found.ok_or_else(|| "PostgreSQL is not there: install the Debian package postgresql".to_owned())
}

fn run(command: &mut Command) -> Result<(), String> {
    let output = command.output().map_err(|error| format!("{command:?}: {error}"))?;
    if output.status.success() {
        return Ok(());
    }
    Err(format!("{command:?}: {}", String::from_utf8_lossy(&output.stderr)))
}

#[expect(clippy::panic, reason = "a test that cannot begin has failed")]
fn panic(text: &str) -> ! {
    panic!("{text}")
}
