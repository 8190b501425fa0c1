//! The listener and clients that others wrote: rumqttc, which the agent uses, and Mosquitto's command line.

mod listener_support;

use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use listener_support::{DEADLINE, Raw, Server, eventually, store, uplink};
use rumqttc::v5::mqttbytes::QoS;
use rumqttc::v5::mqttbytes::v5::{ConnectReturnCode, Packet, PubAckReason, SubscribeReasonCode};
use rumqttc::v5::{AsyncClient, ConnectionError, Event, EventLoop, MqttOptions};
use rumqttc::{TlsConfiguration, Transport};
use sync_server::mqtt::{DownlinkQos, Limits, load_tls};
use tokio::task::JoinHandle;
use tokio::time::timeout;

fn limits() -> Limits {
    Limits { connects_burst: 10_000, ..Limits::standard() }
}

fn options(server: &Server, id: &str, secret: &str) -> MqttOptions {
    let mut options = MqttOptions::new(format!("agent-{id}"), "localhost", server.address.port());
    options.set_credentials(id, secret).set_keep_alive(Duration::from_secs(30)).set_max_packet_size(Some(131_072));
    options
}

/// Polls until the packet that is waited for has come.
async fn wait_for<T>(events: &mut EventLoop, mut wanted: impl FnMut(Packet) -> Option<T>) -> T {
    let found = timeout(DEADLINE, async {
        loop {
            if let Event::Incoming(packet) = events.poll().await.expect("the connection holds")
                && let Some(found) = wanted(packet)
            {
                return found;
            }
        }
    });
    found.await.expect("in time")
}

async fn sell_a_thousand(options: MqttOptions) {
    let (client, mut events) = AsyncClient::new(options, 64);
    client.try_subscribe("bw1/d/store-1", QoS::AtLeastOnce).expect("room");
    let granted = wait_for(&mut events, |packet| match packet {
        Packet::SubAck(suback) => Some(suback.return_codes),
        _ => None,
    });
    assert_eq!(granted.await, [SubscribeReasonCode::Success(QoS::AtLeastOnce)]);
    let (mut sent, mut acknowledged, mut echoed) = (0_u32, 0, 0);
    while echoed < 1000 {
        while sent < 1000 && sent - echoed < 8 {
            let publish =
                client.try_publish(uplink("store-1", "batch"), QoS::AtLeastOnce, false, sent.to_be_bytes().to_vec());
            publish.expect("room");
            sent += 1;
        }
        wait_for(&mut events, |packet| match packet {
            Packet::PubAck(puback) => {
                assert_eq!(puback.reason, PubAckReason::Success);
                acknowledged += 1;
                Some(())
            }
            Packet::Publish(publish) => {
                assert_eq!(publish.payload, echoed.to_be_bytes().to_vec(), "in order");
                echoed += 1;
                Some(())
            }
            _ => None,
        })
        .await;
    }
    assert_eq!(acknowledged, 1000);
    client.try_disconnect().expect("room");
}

#[tokio::test]
async fn rumqttc_sells() {
    let server = Server::start_echo(limits(), None).await;
    sell_a_thousand(options(&server, "store-1", "secret-store-1")).await;
    assert_eq!((server.stats.messages_in.get(), server.stats.messages_out.get()), (1000, 1000));
    assert_eq!(server.stats.protocol_errors.get(), 0);
    server.stop().await;
}

#[tokio::test]
async fn rumqttc_sees_why_it_is_refused() {
    let server = Server::start_echo(limits(), None).await;
    let (_client, mut events) = AsyncClient::new(options(&server, "store-1", "wrong"), 8);
    let refused = timeout(DEADLINE, events.poll()).await.expect("in time").expect_err("a wrong secret");
    assert!(matches!(refused, ConnectionError::ConnectionRefused(ConnectReturnCode::BadUserNamePassword)), "{refused}");

    let (client, mut events) = AsyncClient::new(options(&server, "store-1", "secret-store-1"), 8);
    client.try_subscribe("bw1/#", QoS::AtLeastOnce).expect("room");
    let denied = wait_for(&mut events, |packet| match packet {
        Packet::SubAck(suback) => Some(suback.return_codes),
        _ => None,
    });
    assert_eq!(denied.await, [SubscribeReasonCode::NotAuthorized]);
    client.try_publish(uplink("store-2", "batch"), QoS::AtLeastOnce, false, "x").expect("room");
    let denied = wait_for(&mut events, |packet| match packet {
        Packet::PubAck(puback) => Some(puback.reason),
        _ => None,
    });
    assert_eq!(denied.await, PubAckReason::NotAuthorized);
    assert_eq!(server.stats.acl_denied.get(), 2);
    server.stop().await;
}

#[tokio::test]
async fn the_same_over_tls() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let (chain, key) = (folder.path().join("chain.pem"), folder.path().join("key.pem"));
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).expect("a certificate");
    std::fs::write(&chain, made.cert.pem()).expect("written");
    std::fs::write(&key, made.signing_key.serialize_pem()).expect("written");
    let limits = Limits { connect_timeout: Duration::from_secs(1), ..limits() };
    let server = Server::start_echo(limits, Some(load_tls(&chain, &key).expect("fits"))).await;

    // One that stops in the middle of the handshake, and one that speaks plain MQTT.
    let mut halting = Raw::dial(&server).await;
    halting.send(b"\x16\x03\x01\x00\xa5").await;
    let mut plain = Raw::dial(&server).await;
    plain.send(&listener_support::connect("store-1", "secret-store-1", "c", 60, vec![])).await;

    let mut roots = rustls::RootCertStore::empty();
    roots.add(made.cert.der().clone()).expect("a certificate");
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = rustls::ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
    let config = config.expect("versions").with_root_certificates(roots).with_no_client_auth();
    let mut options = options(&server, "store-1", "secret-store-1");
    options.set_transport(Transport::Tls(TlsConfiguration::Rustls(Arc::new(config))));
    sell_a_thousand(options).await;

    assert_ne!(plain.packet().await.map(|packet| packet[0]), Some(0x20), "no CONNACK");
    assert_eq!(halting.packet().await, None);
    let stats = &server.stats;
    eventually("both are counted", || stats.refused_tls.get() == 1 && stats.connect_timeouts.get() == 1).await;
    server.stop().await;
}

/// Runs one of Mosquitto's programs to its end; returns whether it was content, and what it said.
fn mosquitto(program: &'static str, server: &Server, arguments: &[&str]) -> JoinHandle<(bool, String)> {
    let mut command = Command::new(program);
    command.args(["-h", "127.0.0.1", "-p", &server.address.port().to_string(), "-u", "store-1"]).args(arguments);
    command.stdin(Stdio::null());
    tokio::task::spawn_blocking(move || {
        let output = command.output();
        let missing = |error| format!("{program}: {error}; install the package `mosquitto-clients`");
        let output = output.map_err(missing).expect("the program can be run");
        let text = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
        (output.status.success(), text)
    })
}

async fn ended(program: JoinHandle<(bool, String)>) -> (bool, String) {
    timeout(DEADLINE, program).await.expect("in time").expect("it could be run")
}

#[tokio::test]
async fn mosquitto_clients_talk_to_it() {
    let server = Server::start_echo(limits(), None).await;
    let (topic, secret) = (uplink("store-1", "batch"), ["-P", "secret-store-1"]);
    let listen = ["-V", "5", "-i", "sub", "-q", "1", "-t", "bw1/d/store-1", "-C", "1", "-W", "20", "-v"];
    let subscriber = mosquitto("mosquitto_sub", &server, &[&listen[..], &secret].concat());
    eventually("the subscriber is there", || server.stats.logins.get() == 1 || subscriber.is_finished()).await;
    // It logs in before it subscribes, so the message is repeated until it got one.
    let news = bytes::Bytes::from_static(b"tea");
    eventually("the subscriber has it", || {
        server.router.send_to_store(&store("store-1"), &news, DownlinkQos::AtLeastOnce);
        subscriber.is_finished()
    })
    .await;
    assert_eq!(ended(subscriber).await, (true, "bw1/d/store-1 tea\n".to_owned()));

    let publish = ["-V", "5", "-i", "pub", "-d", "-q", "1", "-m", "tea", "-t"];
    let check = async |arguments: &[&str], expected: &str| {
        let (_, text) = ended(mosquitto("mosquitto_pub", &server, arguments)).await;
        assert!(text.contains(expected), "{text}");
    };
    check(&[&publish[..], &[&topic], &secret].concat(), "RC:0").await;
    check(&[&publish[..], &[&topic, "-P", "wrong"]].concat(), "CONNACK (134)").await;
    check(&[&publish[..], &[&uplink("store-2", "batch")], &secret].concat(), "RC:135").await;
    check(&["-V", "311", "-d", "-m", "x", "-t", &topic, "-P", "secret-store-1"], "unacceptable protocol version").await;
    check(
        &["-V", "31", "-i", "x", "-d", "-m", "x", "-t", &topic, "-P", "secret-store-1"],
        "unacceptable protocol version",
    )
    .await;
    server.stop().await;
}
