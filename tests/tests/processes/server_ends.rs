//! How the server ends: its exit codes, and what lies in its folder afterwards.

use std::process::Stdio;

use anyhow::{Context, ensure};
use tests::process::{Server, program};

use super::site::{on_processes, said};

/// A wrong configuration.
const WRONG: i32 = 2;
/// Another server works on the folder.
const IN_USE: i32 = 4;

#[test]
fn exit_codes_and_an_empty_log() {
    on_processes("server-ends", async |folder| {
        let mut server = Server::start(&folder.join("server"))?;
        let data_dir = server.data_dir();
        let run = |arguments: &[&str], setting: (&str, &str)| {
            let mut command = std::process::Command::new(program("breakwater-server")?);
            command.args(arguments).arg("--data-dir").arg(&data_dir).env(setting.0, setting.1);
            command.stdin(Stdio::null()).output().context("run breakwater-server")
        };
        let none = ("BREAKWATER_LOG_FILTER", "info");

        let second = run(&["run", "--http", "127.0.0.1:0", "--mqtt", "127.0.0.1:0"], none)?;
        ensure!(second.status.code() == Some(IN_USE), "the second server ended with {}", said(&second));
        let wrong = run(&["check-config"], ("BREAKWATER_MQTT_CONNECTIONS_MAX", "many"))?;
        ensure!(wrong.status.code() == Some(WRONG), "a wrong setting ended with {}", said(&wrong));
        let words = String::from_utf8_lossy(&wrong.stderr).into_owned();
        ensure!(words.contains("BREAKWATER_MQTT_CONNECTIONS_MAX") && words.contains("many"), "its words: {words}");

        server.add_store("HARBOUR")?;
        for arguments in [["totals", "--store", "NOWHERE"], ["parked", "list", "--store"]] {
            let mut arguments = arguments.to_vec();
            if arguments.last() == Some(&"--store") {
                arguments.push("NOWHERE");
            }
            let unknown = run(&arguments, none)?;
            ensure!(unknown.status.code() == Some(1), "{arguments:?} ended with {}", said(&unknown));
        }
        server.stop()?;
        let log = data_dir.join("ledger.db-wal");
        let bytes = log.metadata().map_or(0, |log| log.len());
        ensure!(bytes == 0, "after an orderly end the log has {bytes} bytes");
        Ok(())
    });
}
