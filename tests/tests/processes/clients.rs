//! Standard MQTT clients talk to the built-in listener.

use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::Duration;

use agent::identity::Identity;
use anyhow::{Context, ensure};
use protocol::envelope::{open_downlink, seal_uplink};
use protocol::latest::{Downlink, Uplink};
use protocol::topic::{UplinkKind, downlink, uplink};

use super::hostile::empty_hello;
use super::mqtt::identity;
use super::site::{Site, on_processes, said, until};

/// A number that the answer repeats.
const SESSION: u64 = 20_240_501;

/// How long the clients wait for the answer, in seconds.
const WAIT_S: &str = "30";

/// The system's Python: packages of the distribution are there.
pub(super) fn python() -> PathBuf {
    let system = Path::new("/usr/bin/python3");
    if system.is_file() { system.to_owned() } else { PathBuf::from("python3") }
}

/// A store's login, a message of it in a file, and its topics.
struct Scene {
    identity: Identity,
    host: String,
    port: String,
    message: PathBuf,
    up: String,
    down: String,
}

impl Scene {
    fn new(folder: &Path, site: &Site) -> anyhow::Result<Self> {
        let mut agent = site.store(folder, "HARBOUR")?;
        let identity = identity(&agent)?;
        agent.stop()?;
        let mqtt = site.server.addresses().mqtt;
        let message = folder.join("hello.bin");
        let hello = seal_uplink(&identity.store_id, &Uplink::Hello(empty_hello(SESSION)))?;
        std::fs::write(&message, hello).context("write the message")?;
        let (up, down) = (uplink(&identity.store_id, UplinkKind::Hello), downlink(&identity.store_id));
        Ok(Self { identity, host: mqtt.ip().to_string(), port: mqtt.port().to_string(), message, up, down })
    }

    /// A mosquitto client with the store's login.
    fn mosquitto(&self, program: &str, password: &str, client_id: &str) -> Command {
        let mut command = Command::new(program);
        command.args(["-V", "mqttv5", "-h", &self.host, "-p", &self.port, "-i", client_id]);
        command.args(["-u", self.identity.store_id.as_str(), "-P", password, "-q", "1"]).stdin(Stdio::null());
        command
    }

    fn publish(&self, password: &str) -> anyhow::Result<Output> {
        let mut command = self.mosquitto("mosquitto_pub", password, "pub");
        command.args(["-t", &self.up, "-f"]).arg(&self.message).output().context("run mosquitto_pub")
    }

    /// The answer, printed as hexadecimal digits, is the welcome to the message in the file.
    fn is_welcome(&self, output: &Output) -> anyhow::Result<()> {
        ensure!(output.status.success(), "no answer: {}", said(output));
        let text = String::from_utf8_lossy(&output.stdout);
        let bytes = from_hex(text.trim()).with_context(|| format!("hexadecimal digits in {text:?}"))?;
        let (store, answer) = open_downlink(&bytes).context("open the answer")?;
        ensure!(store == self.identity.store_id, "the answer names {store}");
        match answer {
            Downlink::Welcome(welcome) if welcome.session == SESSION => Ok(()),
            other => anyhow::bail!("the answer is {other:?}"),
        }
    }
}

fn from_hex(text: &str) -> Option<Vec<u8>> {
    let digits = text.as_bytes().chunks(2);
    digits.map(|pair| u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok()).collect()
}

#[test]
fn mosquitto_clients_can_talk() {
    on_processes("mosquitto", async |folder| {
        let site = Site::start(folder)?;
        let scene = Scene::new(folder, &site)?;
        let mut listen = scene.mosquitto("mosquitto_sub", &scene.identity.secret, "sub");
        listen.args(["-t", &scene.down, "-C", "1", "-W", WAIT_S, "-F", "%x"]);
        let mut listening =
            listen.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().context("run mosquitto_sub")?;
        // Nobody says when the subscription stands, so the question is asked until it is answered.
        until("mosquitto_sub has its answer", Duration::from_secs(30), async || {
            let output = scene.publish(&scene.identity.secret)?;
            ensure!(output.status.success(), "mosquitto_pub: {}", said(&output));
            tokio::time::sleep(Duration::from_millis(100)).await;
            ensure!(listening.try_wait()?.is_some(), "nothing was heard");
            Ok(())
        })
        .await?;
        scene.is_welcome(&listening.wait_with_output().context("wait for mosquitto_sub")?)?;

        let refused = scene.publish("wrong")?;
        ensure!(!refused.status.success(), "a wrong password was let in: {}", said(&refused));
        let mut foreign = scene.mosquitto("mosquitto_sub", &scene.identity.secret, "foreign");
        let output =
            foreign.args(["-t", "bw1/d/LAGOON", "-C", "1", "-W", "3"]).output().context("run mosquitto_sub")?;
        // Its exit status does not tell.
        let denied = String::from_utf8_lossy(&output.stderr).contains("denied");
        ensure!(denied && output.stdout.is_empty(), "another store's topic was granted: {}", said(&output));
        Ok(())
    });
}

#[test]
fn python_client_can_talk() {
    on_processes("paho", async |folder| {
        let site = Site::start(folder)?;
        let scene = Scene::new(folder, &site)?;
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("scripts/ask_with_paho.py");
        let mut ask = Command::new(python());
        ask.arg(script).args([&scene.host, &scene.port, scene.identity.store_id.as_str(), WAIT_S]);
        ask.args([&scene.up, &scene.down]).arg(&scene.message).env("STORE_SECRET", &scene.identity.secret);
        scene.is_welcome(&ask.output().context("run the script")?)
    });
}
