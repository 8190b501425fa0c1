//! The listener against clients that keep to the rules, break them, or never heard of them.

mod listener_support;

use std::time::Duration;

use bytes::Bytes;
use listener_support::{Raw, Server, connect, eventually, puback, publish, publish_qos0, store, subscribe, uplink};
use mqtt_protocol_core::mqtt::packet::ReceiveMaximum;
use sync_server::mqtt::{Delivery, DownlinkQos, Goodbye, Limits, Refusal};

fn limits() -> Limits {
    Limits { connects_burst: 10_000, ..Limits::standard() }
}

#[tokio::test]
async fn puback_waits_for_the_service_and_the_ack_follows_it() {
    let (server, mut uplinked) = Server::start(limits(), None, 10).await;
    let mut client = Raw::login(&server, "store-1", "c").await;
    client.subscribe("store-1").await;
    client.publish("store-1", 1, b"sale").await;
    let message = uplinked.recv().await.expect("the batch");
    assert_eq!(
        (message.store.as_str(), message.kind.as_str(), &message.payload[..]),
        ("store-1", "batch", &b"sale"[..])
    );
    // A PUBACK would have come before the answer to this.
    client.ping().await;
    let (topic, payload) = ("bw1/d/store-1", Bytes::from_static(b"ack"));
    let ack = sync_server::mqtt::Downlink { topic, payload: &payload, qos: DownlinkQos::AtMostOnce };
    assert_eq!(message.receipt.accept_with(ack), Delivery::Queued);
    assert_eq!(client.packet().await.expect("a PUBACK"), puback(1, 0));
    assert_eq!(client.packet().await.expect("the ack"), publish_qos0(topic, b"ack"));
    assert_eq!(server.stats.messages_in.get(), 1);
    server.stop().await;
}

#[tokio::test]
async fn answers_keep_the_order_of_the_publishes() {
    let (server, mut uplinked) = Server::start(limits(), None, 3).await;
    let mut client = Raw::login(&server, "store-1", "c").await;
    for packet_id in 1..=3 {
        client.publish("store-1", packet_id, b"sale").await;
    }
    // These two are refused at once, and still wait for their turn.
    client.publish("store-1", 4, b"no room").await;
    client.send(&publish(&uplink("store-2", "batch"), 5, b"not mine")).await;
    client.ping().await;
    let mut receipts = Vec::new();
    for _ in 0..3 {
        receipts.push(uplinked.recv().await.expect("a batch").receipt);
    }
    receipts.pop().expect("three").accept();
    receipts.pop().expect("two").refuse(Refusal::Unreadable);
    client.ping().await;
    receipts.pop().expect("one").accept();
    let expected = [(1, 0), (2, 0x99), (3, 0), (4, 0x97), (5, 0x87)];
    for (packet_id, code) in expected {
        assert_eq!(client.packet().await.expect("a PUBACK"), puback(packet_id, code));
    }
    assert_eq!((server.stats.overload.get(), server.stats.acl_denied.get()), (1, 1));
    server.stop().await;
}

#[tokio::test]
async fn the_byte_budget_is_shared_and_given_back() {
    let limits = Limits { uplink_bytes_max: 10_000, ..limits() };
    let (server, mut uplinked) = Server::start(limits, None, 100).await;
    let mut one = Raw::login(&server, "store-1", "c").await;
    let mut two = Raw::login(&server, "store-2", "c").await;
    one.publish("store-1", 1, &[0; 8_000]).await;
    let held = uplinked.recv().await.expect("the first");
    two.publish("store-2", 1, &[0; 8_000]).await;
    assert_eq!(two.packet().await.expect("a PUBACK"), puback(1, 0x97));
    held.receipt.accept();
    assert_eq!(one.packet().await.expect("a PUBACK"), puback(1, 0));
    two.publish("store-2", 2, &[0; 8_000]).await;
    uplinked.recv().await.expect("the second").receipt.accept();
    assert_eq!(two.packet().await.expect("a PUBACK"), puback(2, 0));
    server.stop().await;
}

#[tokio::test]
async fn a_flood_without_acknowledgements_leaves_places_for_the_others() {
    let (server, mut uplinked) = Server::start(limits(), None, 100).await;
    let (mut floods, mut sells) =
        (Raw::login(&server, "store-1", "c").await, Raw::login(&server, "store-2", "c").await);
    for _ in 0..200 {
        floods.send(&publish_qos0(&uplink("store-1", "heartbeat"), b"x")).await;
    }
    floods.publish("store-1", 1, b"its batch").await;
    sells.publish("store-2", 1, b"a batch").await;
    let mut of_floods = Vec::new();
    let (mut heartbeats, mut batches) = (0, 0);
    while batches < 2 {
        let message = uplinked.recv().await.expect("a message");
        if message.kind.as_str() == "heartbeat" {
            heartbeats += 1;
            of_floods.push(message.receipt);
        } else {
            batches += 1;
            message.receipt.accept();
        }
    }
    assert_eq!(heartbeats, 16, "as many as one connection may have undecided");
    assert_eq!(floods.packet().await.expect("a PUBACK"), puback(1, 0));
    assert_eq!(sells.packet().await.expect("a PUBACK"), puback(1, 0));
    drop(of_floods);
    floods.send(&publish_qos0(&uplink("store-1", "heartbeat"), b"y")).await;
    assert_eq!(&uplinked.recv().await.expect("room again").payload[..], b"y");
    server.stop().await;
}

#[tokio::test]
async fn a_dropped_receipt_is_no_answer_and_many_end_the_connection() {
    let limits = Limits { receive_maximum: 4, ..limits() };
    let (server, mut uplinked) = Server::start(limits, None, 10).await;
    let mut client = Raw::login(&server, "store-1", "c").await;
    client.publish("store-1", 1, b"lost").await;
    drop(uplinked.recv().await.expect("the first"));
    client.publish("store-1", 2, b"kept").await;
    uplinked.recv().await.expect("the second").receipt.accept();
    assert_eq!(client.packet().await.expect("a PUBACK"), puback(2, 0));
    for packet_id in 3..=4 {
        client.publish("store-1", packet_id, b"lost").await;
        drop(uplinked.recv().await.expect("another"));
    }
    assert_eq!(client.packet().await.expect("a DISCONNECT")[..3], [0xE0, 1, 0x83]);
    assert_eq!(client.packet().await, None);
    eventually("it is counted", || server.stats.unanswered.get() == 1).await;
    server.stop().await;
}

#[tokio::test]
async fn strangers_are_refused_with_what_their_version_understands() {
    let server = Server::start_echo(limits(), None).await;
    let check = async |bytes: &[u8], answer: &[u8]| {
        let mut client = Raw::dial(&server).await;
        client.send(bytes).await;
        let found = client.packet().await.unwrap_or_default();
        assert_eq!(found, answer, "{bytes:02x?}");
        if !found.is_empty() {
            assert_eq!(client.packet().await, None);
        }
    };
    check(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n", &[]).await;
    check(b"\x16\x03\x01\x00\xa5\x01\x00\x00\xa1", &[]).await;
    check(&[0; 300], &[]).await;
    check(&[0xFF; 5000], &[]).await;
    check(b"\x10\xFF\xFF\xFF\x7F", &[]).await;
    check(b"\x10\x0C\x00\x04MQTT\x04\x02\x00\x3c\x00\x00", &[0x20, 2, 0, 1]).await;
    check(b"\x10\x0E\x00\x06MQIsdp\x03\x02\x00\x3c\x00\x00", &[0x20, 2, 0, 1]).await;
    check(b"\x10\x0D\x00\x04MQTT\x06\x02\x00\x3c\x00\x00\x00", &[0x20, 3, 0, 0x84, 0]).await;
    check(&connect("store-1", "wrong", "c", 60, vec![]), &[0x20, 3, 0, 0x86, 0]).await;
    check(&connect("no/store", "secret-no/store", "c", 60, vec![]), &[0x20, 3, 0, 0x86, 0]).await;
    check(&connect("revoked", "secret-revoked", "c", 60, vec![]), &[0x20, 3, 0, 0x87, 0]).await;
    check(b"\x10\x0D\x00\x04MQTT\x05\x02\x00\x3c\x00\x00\x00", &[0x20, 3, 0, 0x86, 0]).await;
    let stats = &server.stats;
    eventually("all are gone", || stats.connections_open.get() == 0).await;
    assert_eq!((stats.refused_password.get(), stats.refused_version.get(), stats.oversize.get()), (4, 3, 1));
    assert_eq!((stats.protocol_errors.get(), stats.logins.get(), stats.panics.get()), (4, 0, 0));
    server.stop().await;
}

#[tokio::test]
async fn breaking_the_rules_after_login_ends_only_that_connection() {
    let server = Server::start_echo(limits(), None).await;
    let mut bystander = Raw::login(&server, "store-2", "c").await;
    let check = async |bytes: &[u8], code: u8| {
        let mut client = Raw::login(&server, "store-1", "c").await;
        client.try_send(bytes).await;
        let last = client.packet().await.expect("a DISCONNECT");
        assert_eq!((last[0], last[2]), (0xE0, code), "{bytes:02x?}");
        assert_eq!(client.packet().await, None);
    };
    check(&publish(&uplink("store-1", "batch"), 1, &vec![0; 200_000]), 0x95).await;
    check(&[0x00, 0x00], 0x81).await;
    check(&[0x30, 0x02, 0xFF, 0xFF], 0x81).await;
    check(&publish(&"x".repeat(65), 1, b""), 0x90).await;
    check(&subscribe(&[&"x".repeat(65)]), 0x8F).await;
    check(&connect("store-1", "secret-store-1", "c", 60, vec![]), 0x82).await;
    bystander.ping().await;
    let stats = &server.stats;
    eventually("they are gone", || stats.connections_open.get() == 1).await;
    assert_eq!((stats.oversize.get(), stats.protocol_errors.get()), (1, 5));
    server.stop().await;
}

#[tokio::test]
async fn half_open_connections_end() {
    let limits = Limits { connect_timeout: Duration::from_millis(200), ..limits() };
    let server = Server::start_echo(limits, None).await;
    let mut silent = Raw::dial(&server).await;
    let mut halting = Raw::dial(&server).await;
    halting.send(&connect("store-1", "secret-store-1", "c", 60, vec![])[..20]).await;
    assert_eq!((silent.packet().await, halting.packet().await), (None, None));
    eventually("both are counted", || server.stats.connect_timeouts.get() == 2).await;
    eventually("both are gone", || server.stats.connections_connecting.get() == 0).await;
    server.stop().await;
}

#[tokio::test]
async fn silence_ends_after_one_and_a_half_keep_alives() {
    let server = Server::start_echo(limits(), None).await;
    let started = std::time::Instant::now();
    let mut client = Raw::login_with(&server, "store-1", "c", 1, vec![]).await;
    // Bytes of a packet that never ends are no sign of life.
    client.send(&[0x30, 0x7F]).await;
    let last = loop {
        match tokio::time::timeout(Duration::from_millis(200), client.packet()).await {
            Ok(last) => break last,
            Err(_) => client.send(&[0]).await,
        }
        assert!(started.elapsed() < listener_support::DEADLINE, "the trickle keeps it alive");
    };
    assert_eq!(last.expect("a DISCONNECT")[..3], [0xE0, 1, 0x8D]);
    assert!(started.elapsed() >= Duration::from_millis(1500), "{:?}", started.elapsed());
    eventually("it is counted", || server.stats.keep_alive_timeouts.get() == 1).await;
    server.stop().await;
}

#[tokio::test]
async fn a_flood_of_connects_is_refused_and_others_notice_nothing() {
    let limits = Limits { connects_burst: 20, connects_per_second: 1, connecting_max: 10, ..Limits::standard() };
    let server = Server::start_echo(limits, None).await;
    let mut client = Raw::login(&server, "store-1", "c").await;
    client.subscribe("store-1").await;
    let mut flood = Vec::new();
    for _ in 0..100 {
        flood.push(Raw::dial(&server).await);
        client.publish("store-1", 1, b"x").await;
        assert_eq!(client.packet().await.expect("a PUBACK"), puback(1, 0));
        let echo = client.packet().await.expect("the echo");
        client.send(&[0x40, 2, echo[17], echo[18]]).await;
    }
    let stats = &server.stats;
    eventually("all are judged", || stats.connects.get() == 101).await;
    assert!(stats.refused_rate.get() >= 70, "{}", stats.refused_rate.get());
    assert!(stats.refused_full.get() >= 5, "{}", stats.refused_full.get());
    assert_eq!(stats.connections_connecting.get(), 10);
    server.stop().await;
}

#[tokio::test]
async fn takeover_is_by_client_id_and_a_copied_box_may_be_there_too() {
    let server = Server::start_echo(Limits { connections_per_store_max: 3, ..limits() }, None).await;
    let mut first = Raw::login(&server, "store-1", "a").await;
    let mut copy = Raw::login(&server, "store-1", "b").await;
    let mut other = Raw::login(&server, "store-2", "a").await;
    let mut second = Raw::login(&server, "store-1", "a").await;
    assert_eq!(first.packet().await.expect("a DISCONNECT")[..3], [0xE0, 1, 0x8E]);
    assert_eq!(first.packet().await, None);
    for client in [&mut copy, &mut other, &mut second] {
        client.ping().await;
    }
    assert_eq!((server.router.connections(), server.router.connected(&store("store-1"))), (3, true));

    // No id of its own: it is given one, and takes nobody's place.
    let mut anonymous = Raw::dial(&server).await;
    anonymous.send(&connect("store-1", "secret-store-1", "", 60, vec![])).await;
    let connack = anonymous.packet().await.expect("a CONNACK");
    assert!(connack.windows(9).any(|part| part == b"assigned-"), "{connack:02x?}");
    let mut fourth = Raw::dial(&server).await;
    fourth.send(&connect("store-1", "secret-store-1", "d", 60, vec![])).await;
    assert_eq!(fourth.packet().await.expect("a CONNACK"), [0x20, 3, 0, 0x97, 0]);
    eventually("they are counted", || server.stats.refused_store_full.get() == 1).await;
    assert_eq!(server.stats.takeovers.get(), 1);
    server.stop().await;
}

#[tokio::test]
async fn the_router_reaches_who_subscribed() {
    let server = Server::start_echo(limits(), None).await;
    let mut one = Raw::login(&server, "store-1", "a").await;
    let mut two = Raw::login(&server, "store-2", "a").await;
    let payload = Bytes::from_static(b"news");
    let qos = DownlinkQos::AtMostOnce;
    assert_eq!(server.router.send_to_store(&store("store-1"), &payload, qos), 0, "nobody has subscribed");
    one.subscribe("store-1").await;
    two.subscribe("store-2").await;
    assert_eq!(server.router.send_to_store(&store("store-1"), &payload, qos), 1);
    assert_eq!(one.packet().await.expect("own"), publish_qos0("bw1/d/store-1", b"news"));

    assert_eq!(server.router.disconnect_store(&store("store-1"), Goodbye::Revoked), 1);
    assert_eq!(one.packet().await.expect("a DISCONNECT")[..3], [0xE0, 1, 0x87]);
    assert_eq!(one.packet().await, None);
    drop(one);
    eventually("it is gone", || !server.router.connected(&store("store-1"))).await;
    assert_eq!((server.stats.revoked.get(), server.router.connections()), (1, 1));
    // The address the client used last stays unknown to the others.
    two.ping().await;
    server.stop().await;
}

#[tokio::test]
async fn a_store_that_acknowledges_nothing_overflows_its_queue() {
    let server = Server::start_echo(Limits { downlink_messages_max: 5, ..limits() }, None).await;
    let window = ReceiveMaximum::new(2).expect("valid").into();
    let mut client = Raw::login_with(&server, "store-1", "a", 60, vec![window]).await;
    client.subscribe("store-1").await;
    let payload = Bytes::from_static(b"grant");
    let send = || server.router.send_to_store(&store("store-1"), &payload, DownlinkQos::AtLeastOnce);
    assert_eq!((send(), send()), (1, 1));
    assert!(client.packet().await.is_some() && client.packet().await.is_some());
    assert_eq!((0..6).map(|_| send()).sum::<usize>(), 5, "five wait, the sixth is one too many");
    assert_eq!(client.packet().await.expect("a DISCONNECT")[..3], [0xE0, 1, 0x97]);
    eventually("it is counted", || server.stats.slow_readers.get() == 1).await;
    drop(client);
    eventually("nothing is kept", || server.router.waiting_bytes() == 0).await;
    server.stop().await;
}

#[tokio::test]
async fn a_store_that_does_not_read_is_cut() {
    let limits = Limits { write_timeout: Duration::from_millis(300), downlink_messages_max: 1000, ..limits() };
    let server = Server::start_echo(limits, None).await;
    let mut client = Raw::login(&server, "store-1", "a").await;
    client.subscribe("store-1").await;
    let payload = Bytes::from(vec![0; 100_000]);
    // More than the socket buffers of both ends can hold.
    for _ in 0..500 {
        server.router.send_to_store(&store("store-1"), &payload, DownlinkQos::AtMostOnce);
    }
    eventually("it is cut", || server.stats.slow_readers.get() == 1).await;
    eventually("nothing is kept", || server.router.waiting_bytes() == 0).await;
    assert_eq!(server.router.connections(), 0);
    drop(client);
    server.stop().await;
}

#[tokio::test]
async fn shutdown_tells_everybody() {
    let server = Server::start_echo(limits(), None).await;
    let mut client = Raw::login(&server, "store-1", "a").await;
    let mut halting = Raw::dial(&server).await;
    halting.send(&[0x10]).await;
    eventually("both are there", || server.stats.connections_open.get() == 2).await;
    let stats = std::sync::Arc::clone(&server.stats);
    let (last, ()) = tokio::join!(client.packet(), server.stop());
    assert_eq!(last.expect("a DISCONNECT")[..3], [0xE0, 1, 0x8B]);
    assert_eq!(halting.packet().await, None);
    assert_eq!(stats.connections_open.get(), 0);
}
