//! The session without a socket: the rules of the conversation, and bytes that no client would send.

use bytes::Bytes;
use mqtt_protocol_core::mqtt::packet::v5_0::{
    Auth, Connack, Connect, Pingreq, Puback, Publish, Pubrel, Suback, Subscribe, Unsubscribe,
};
use mqtt_protocol_core::mqtt::packet::{
    AuthenticationMethod, MaximumPacketSize, Property, Qos, ReceiveMaximum, SessionExpiryInterval, SubEntry, SubOpts,
    SubscriptionIdentifier, TopicAlias, TopicAliasMaximum,
};
use mqtt_protocol_core::mqtt::result_code::{
    ConnectReasonCode, DisconnectReasonCode, PubackReasonCode, SubackReasonCode,
};
use pos_model::StoreId;

use super::limits::Limits;
use super::mailbox::DownlinkQos;
use super::session::{Action, Fault, Session};

fn store() -> StoreId {
    StoreId::new("store-1").expect("valid")
}

fn limits() -> Limits {
    Limits { receive_maximum: 4, packet_bytes_max: 4096, ..Limits::standard() }
}

fn connect(keep_alive: u16, properties: Vec<Property>) -> Vec<u8> {
    let builder = Connect::builder().client_id("c").expect("valid").clean_start(true).keep_alive(keep_alive);
    let builder = builder.user_name("store-1").expect("valid").password("secret").expect("valid");
    builder.props(properties).build().expect("valid").to_continuous_buffer()
}

fn publish(topic: &str, qos: Qos, packet_id: Option<u16>, payload: &[u8], properties: Vec<Property>) -> Vec<u8> {
    let builder = Publish::builder().topic_name(topic).expect("valid").qos(qos).packet_id(packet_id);
    builder.payload(payload).props(properties).build().expect("valid").to_continuous_buffer()
}

fn batch(packet_id: u16) -> Vec<u8> {
    publish("bw1/u/10/store-1/batch", Qos::AtLeastOnce, Some(packet_id), b"sale", Vec::new())
}

fn subscribe(filters: &[&str]) -> Vec<u8> {
    let options = SubOpts::new().set_qos(Qos::AtLeastOnce);
    let entries: Vec<_> = filters.iter().map(|filter| SubEntry::new(*filter, options).expect("valid")).collect();
    Subscribe::builder().packet_id(9).entries(entries).build().expect("valid").to_continuous_buffer()
}

/// A session that has logged in, and what it answered.
fn open(keep_alive: u16, properties: Vec<Property>) -> (Session, Connack, u16) {
    let mut session = Session::new(&limits());
    let packet = connect(keep_alive, properties);
    let action = session.receive(&mut &packet[..]).expect("a valid packet");
    assert!(matches!(action, Some(Action::Login(_))), "{action:?}");
    let seconds = session.accept(&store(), None).expect("the login is pending");
    let out = session.out().split();
    let (connack, _) = Connack::parse(&out[2..]).expect("a CONNACK");
    (session, connack, seconds)
}

fn opened() -> Session {
    open(60, Vec::new()).0
}

fn one(session: &mut Session, bytes: &[u8]) -> Result<Action, Fault> {
    let mut input = bytes;
    let action = session.receive(&mut input)?;
    assert!(input.is_empty());
    Ok(action.expect("a whole packet"))
}

#[test]
fn the_connack_says_what_is_available() {
    let (_, connack, seconds) = open(60, vec![SessionExpiryInterval::new(99).expect("valid").into()]);
    assert_eq!((connack.reason_code(), connack.session_present(), seconds), (ConnectReasonCode::Success, false, 60));
    let mut said: Vec<String> = connack.props.iter().map(|property| format!("{property:?}")).collect();
    said.sort();
    let said = said.join("\n");
    for expected in ["ReceiveMaximum", "MaximumPacketSize", "MaximumQos", "RetainAvailable", "SessionExpiryInterval"] {
        assert!(said.contains(expected), "{expected} is missing in\n{said}");
    }
    for expected in ["WildcardSubscription", "SubscriptionIdentifier", "SharedSubscription"] {
        assert!(said.contains(expected), "{expected} is missing in\n{said}");
    }
    assert!(!said.contains("ServerKeepAlive"));
}

#[test]
fn keep_alive_is_the_clients_within_the_limit() {
    #[track_caller]
    fn check(asked: u16, expected: u16) {
        let (_, connack, seconds) = open(asked, Vec::new());
        assert_eq!(seconds, expected);
        let told = connack.props.iter().any(|property| matches!(property, Property::ServerKeepAlive(_)));
        assert_eq!(told, asked != expected);
    }
    check(1, 1);
    check(120, 120);
    check(121, 120);
    check(0, 120);
    check(u16::MAX, 120);
}

#[test]
fn a_legal_connect_that_panics_the_library_is_served() {
    let (mut session, ..) = open(60, vec![TopicAliasMaximum::new(0).expect("valid").into()]);
    assert!(matches!(one(&mut session, &batch(1)), Ok(Action::Publish { packet_id: Some(1), .. })));
}

#[test]
fn logins_that_are_refused_before_the_secret_is_asked() {
    #[track_caller]
    fn check(packet: &[u8], fault: Fault, answer: &[u8]) {
        let mut session = Session::new(&limits());
        assert_eq!(session.receive(&mut &packet[..]).map(|_| ()), Err(fault));
        assert_eq!(session.out()[..], *answer);
        assert_eq!(session.receive(&mut &packet[..]).map(|_| ()), Err(Fault::Ended));
    }
    let method = connect(60, vec![AuthenticationMethod::new("SCRAM").expect("valid").into()]);
    check(&method, Fault::Login, &[0x20, 3, 0, 0x8C, 0]);
    let long_id = Connect::builder().client_id("x".repeat(129)).expect("valid").build().expect("valid");
    check(&long_id.to_continuous_buffer(), Fault::Login, &[0x20, 3, 0, 0x85, 0]);
    check(b"\x10\x0C\x00\x04MQTT\x04\x02\x00\x3c\x00\x00", Fault::OtherVersion, &[0x20, 2, 0, 1]);
    check(b"\x30\x00", Fault::NotConnect, &[]);
    check(b"\x10\xFF\xFF\x7F", Fault::Oversize, &[]);
}

#[test]
fn what_ends_a_session() {
    #[track_caller]
    fn check(packets: &[Vec<u8>], fault: Fault, code: DisconnectReasonCode) {
        let mut session = opened();
        let bytes = packets.concat();
        let mut input = &bytes[..];
        let found = loop {
            match session.receive(&mut input) {
                Ok(Some(_)) => {}
                Ok(None) => panic!("the session goes on"),
                Err(found) => break found,
            }
        };
        assert_eq!(found, fault);
        let out = session.out().split();
        assert!(out.ends_with(&[0xE0, 1, code as u8]) || out.ends_with(&[0xE0, 2, code as u8, 0]), "{out:02x?}");
        session.disconnect(DisconnectReasonCode::UnspecifiedError);
        assert!(session.out().is_empty(), "goodbye is said once");
    }
    use DisconnectReasonCode as Code;
    let topic = "bw1/u/10/store-1/batch";
    let forbidden = |code| (Fault::Forbidden(code), code);
    let (fault, code) = forbidden(Code::QosNotSupported);
    check(&[publish(topic, Qos::ExactlyOnce, Some(1), b"", vec![])], fault, code);
    let (fault, code) = forbidden(Code::RetainNotSupported);
    let mut retained = batch(1);
    retained[0] |= 1;
    check(&[retained], fault, code);
    let (fault, code) = forbidden(Code::TopicNameInvalid);
    check(&[publish(&"x".repeat(65), Qos::AtMostOnce, None, b"", vec![])], fault, code);
    let (fault, code) = forbidden(Code::TopicFilterInvalid);
    check(&[subscribe(&[&"x".repeat(65)])], fault, code);
    let (fault, code) = forbidden(Code::ReceiveMaximumExceeded);
    let repeated: Vec<_> = std::iter::repeat_n(batch(1), 5).collect();
    check(&repeated, fault, code);
    let (fault, code) = forbidden(Code::ProtocolError);
    let mut no_id = batch(1);
    let at = no_id.iter().position(|byte| *byte == b'h').expect("the last of `batch`") + 1;
    no_id[at..at + 2].copy_from_slice(&[0, 0]);
    check(&[no_id], fault, code);
    check(&[Pubrel::builder().packet_id(1).build().expect("valid").to_continuous_buffer()], fault, code);
    check(&[Auth::builder().build().expect("valid").to_continuous_buffer()], fault, code);
    let id = SubscriptionIdentifier::new(1).expect("valid").into();
    check(&[publish(topic, Qos::AtMostOnce, None, b"", vec![id])], fault, code);
    // What the library finds itself.
    let protocol = |error| Fault::Protocol(error);
    use mqtt_protocol_core::mqtt::result_code::MqttError;
    let distinct: Vec<_> = (1..=5).map(batch).collect();
    check(&distinct, protocol(MqttError::ReceiveMaximumExceeded), Code::ReceiveMaximumExceeded);
    let alias = TopicAlias::new(1).expect("valid").into();
    check(
        &[publish(topic, Qos::AtMostOnce, None, b"", vec![alias])],
        protocol(MqttError::TopicAliasInvalid),
        Code::TopicAliasInvalid,
    );
    check(&[connect(60, vec![])], protocol(MqttError::ProtocolError), Code::ProtocolError);
    check(&[vec![0x20, 3, 0, 0, 0]], protocol(MqttError::ProtocolError), Code::ProtocolError);
    check(&[vec![0xC1, 0]], protocol(MqttError::MalformedPacket), Code::MalformedPacket);
    check(&[vec![0x80, 2, 0, 7]], protocol(MqttError::MalformedPacket), Code::MalformedPacket);
    check(&[vec![0x40, 2, 0, 7]], protocol(MqttError::ProtocolError), Code::ProtocolError);
    check(&[vec![0x30, 0x80, 0x80, 0x01]], Fault::Oversize, Code::PacketTooLarge);
    check(&[vec![0x30, 0xFF, 0xFF, 0xFF, 0xFF]], protocol(MqttError::MalformedPacket), Code::MalformedPacket);
}

#[test]
fn publishes_are_sorted_by_right() {
    let mut session = opened();
    match one(&mut session, &batch(7)).expect("valid") {
        Action::Publish { packet_id, kind, payload } => {
            assert_eq!((packet_id, kind.as_str(), &payload[..]), (Some(7), "batch", &b"sale"[..]));
        }
        other => panic!("{other:?}"),
    }
    let foreign = publish("bw1/u/48/store-2/batch", Qos::AtLeastOnce, Some(8), b"x", vec![]);
    assert!(matches!(one(&mut session, &foreign), Ok(Action::Denied { packet_id: Some(8) })));
    session.puback(7, PubackReasonCode::Success).expect("sent");
    session.puback(8, PubackReasonCode::NotAuthorized).expect("sent");
    let out = session.out().split();
    assert!(out.starts_with(&[0x40, 2, 0, 7, 0x40]), "{out:02x?}");
    let (refusal, _) = Puback::parse(&out[6..]).expect("a PUBACK");
    assert_eq!((refusal.packet_id(), refusal.reason_code()), (8, Some(PubackReasonCode::NotAuthorized)));
}

#[test]
fn answered_publishes_make_room_and_abandoned_ones_do_not() {
    let mut session = opened();
    for round in 1..50 {
        assert!(matches!(one(&mut session, &batch(round)), Ok(Action::Publish { .. })));
        session.puback(round, PubackReasonCode::Success).expect("sent");
    }
    session.out().clear();
    assert_eq!((session.abandon(), session.abandon()), (Ok(()), Ok(())));
    assert_eq!(session.abandon(), Err(Fault::Unanswered));
    assert_eq!(session.out()[0], 0xE0);
}

#[test]
fn subscriptions() {
    let mut session = opened();
    let filters = ["bw1/d/store-1", "bw1/d/store-2", "#", "bw1/b/all", "bw1/d/store-1"];
    assert!(matches!(one(&mut session, &subscribe(&filters)), Ok(Action::Subscriptions { denied: 2 })));
    let out = session.out().split();
    let (suback, _) = Suback::parse(&out[2..]).expect("a SUBACK");
    let (yes, no) = (SubackReasonCode::GrantedQos1, SubackReasonCode::NotAuthorized);
    assert_eq!(suback.reason_codes(), [yes, no, no, yes, yes]);
    let held: Vec<_> = session.subscriptions().iter().map(|held| held.topic.to_string()).collect();
    assert_eq!(held, ["bw1/d/store-1", "bw1/b/all"]);

    let groups: Vec<String> = (0..8).map(|n| format!("bw1/b/g{n}")).collect();
    let groups: Vec<&str> = groups.iter().map(String::as_str).collect();
    one(&mut session, &subscribe(&groups)).expect("valid");
    let out = session.out().split();
    let (suback, _) = Suback::parse(&out[2..]).expect("a SUBACK");
    assert_eq!(suback.reason_codes()[5..], [yes, SubackReasonCode::QuotaExceeded, SubackReasonCode::QuotaExceeded]);

    let unsubscribe = Unsubscribe::builder().packet_id(3).entries(["bw1/b/all", "nothing"]).expect("valid");
    one(&mut session, &unsubscribe.build().expect("valid").to_continuous_buffer()).expect("valid");
    assert_eq!(session.out().split()[..], [0xB0, 5, 0, 3, 0, 0x00, 0x11]);
    assert_eq!(session.subscriptions().len(), 7);
}

#[test]
fn messages_keep_to_the_clients_limits() {
    let window = ReceiveMaximum::new(2).expect("valid").into();
    let size = MaximumPacketSize::new(100).expect("valid").into();
    let (mut session, ..) = open(60, vec![window, size]);
    let qos = DownlinkQos::AtLeastOnce;
    assert_eq!(session.room(), 2);
    assert_eq!(session.publish("bw1/d/store-1", &[0; 200], qos), Ok(false));
    assert_eq!(session.publish("bw1/d/store-1", &[0; 200], DownlinkQos::AtMostOnce), Ok(false));
    assert!(session.out().is_empty());
    assert_eq!(session.publish("bw1/d/store-1", b"a", qos), Ok(true));
    assert_eq!(session.publish("bw1/d/store-1", b"b", qos), Ok(true));
    assert_eq!(session.room(), 0);
    assert_eq!(session.publish("bw1/d/store-1", b"c", DownlinkQos::AtMostOnce), Ok(true));
    session.out().clear();
    let ack = Puback::builder().packet_id(1).build().expect("valid").to_continuous_buffer();
    assert!(matches!(one(&mut session, &ack), Ok(Action::Nothing)));
    assert_eq!(session.room(), 1);
    assert_eq!(opened().room(), super::limits::DOWNLINK_UNACKED_MAX);
}

#[test]
fn pings_are_answered() {
    let mut session = opened();
    let before = session.packets();
    let ping = Pingreq::builder().build().expect("valid").to_continuous_buffer();
    assert!(matches!(one(&mut session, &ping), Ok(Action::Nothing)));
    assert_eq!(session.out()[..], [0xD0, 0x00]);
    assert_eq!(session.packets(), before + 1);
}

/// A small generator, so that a failing case is a seed.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ (mixed >> 31)
    }

    fn below(&mut self, bound: usize) -> usize {
        usize::try_from(self.next() % bound.max(1) as u64).expect("below a usize")
    }

    fn byte(&mut self) -> u8 {
        self.next().to_le_bytes()[0]
    }
}

/// Drives a session as a connection does, with answers to everything, until the bytes or the session end. Returns how
/// many packets it took.
fn survive(random: &mut Random, bytes: &[u8]) -> u64 {
    let mut session = Session::new(&limits());
    let mut rest = bytes;
    let mut written = 0;
    while !rest.is_empty() {
        let (chunk, after) = rest.split_at(1 + random.below(rest.len()));
        rest = after;
        let mut input = chunk;
        loop {
            let action = match session.receive(&mut input) {
                Ok(Some(action)) => action,
                Ok(None) => break,
                Err(_) => {
                    session.disconnect(DisconnectReasonCode::UnspecifiedError);
                    assert!(written + session.out().len() <= 64 + 4 * bytes.len(), "answers are bounded by questions");
                    return session.packets();
                }
            };
            let result = match action {
                Action::Login(_) => session.accept(&store(), Some("assigned")).map(|_| ()),
                Action::Publish { packet_id: Some(id), payload, .. } => {
                    assert!(payload.len() <= bytes.len());
                    session.puback(id, PubackReasonCode::Success)
                }
                Action::Denied { packet_id: Some(id) } => session.puback(id, PubackReasonCode::NotAuthorized),
                Action::Subscriptions { .. } if session.room() > 0 => {
                    session.publish("bw1/d/store-1", b"x", DownlinkQos::AtLeastOnce).map(|_| ())
                }
                Action::Left => return session.packets(),
                _ => Ok(()),
            };
            written += session.out().split().len();
            if result.is_err() {
                return session.packets();
            }
        }
    }
    session.packets()
}

/// Packets that a session takes, the login first, and packets that end it.
fn conversation() -> (Vec<Vec<u8>>, Vec<Vec<u8>>) {
    let properties = vec![
        TopicAliasMaximum::new(5).expect("valid").into(),
        SessionExpiryInterval::new(77).expect("valid").into(),
        ReceiveMaximum::new(3).expect("valid").into(),
        MaximumPacketSize::new(1000).expect("valid").into(),
    ];
    let will = Connect::builder().client_id("w").expect("valid").will_message("a/b", "gone", Qos::AtLeastOnce, true);
    let will = will.expect("valid").user_name("u").expect("valid").password("p").expect("valid");
    let welcome = vec![
        connect(60, properties),
        subscribe(&["bw1/d/store-1", "bw1/b/all"]),
        batch(1),
        publish("bw1/u/10/store-1/heartbeat", Qos::AtMostOnce, None, &[7; 300], vec![]),
        publish("other", Qos::AtLeastOnce, Some(2), b"x", vec![]),
        vec![0xC0, 0],
        vec![0xA2, 9, 0, 3, 0, 0, 4, b'a', b'/', b'b', b'c'],
    ];
    let unwelcome = vec![
        will.build().expect("valid").to_continuous_buffer(),
        publish("other", Qos::AtLeastOnce, Some(2), b"x", vec![TopicAlias::new(1).expect("valid").into()]),
        vec![0x40, 2, 0, 1],
        vec![0x50, 2, 0, 1],
        vec![0x62, 2, 0, 1],
        vec![0x70, 2, 0, 1],
        vec![0xF0, 0],
        vec![0xE0, 0],
    ];
    (welcome, unwelcome)
}

#[test]
fn no_bytes_panic_the_session() {
    // More on request: BREAKWATER_FUZZ_ROUNDS=1000000.
    let rounds = std::env::var("BREAKWATER_FUZZ_ROUNDS").ok().and_then(|text| text.parse().ok()).unwrap_or(30_000);
    let (welcome, unwelcome) = conversation();
    let survives = |seed: u64| {
        let mut random = Random(seed);
        let mut bytes = Vec::new();
        if random.below(8) == 0 {
            bytes.extend((0..random.below(200)).map(|_| random.byte()));
        } else {
            if random.below(8) > 0 {
                bytes.extend_from_slice(&welcome[0]);
            }
            for _ in 0..random.below(12) {
                let packet = if random.below(12) == 0 {
                    &unwelcome[random.below(unwelcome.len())]
                } else {
                    &welcome[1 + random.below(welcome.len() - 1)]
                };
                bytes.extend_from_slice(packet);
            }
        }
        // Half of the time the login stays whole, so that the mutation meets an open session.
        let spared = if random.below(2) == 0 { welcome[0].len().min(bytes.len()) } else { 0 };
        for _ in 0..random.below(6) {
            let at = spared + random.below(bytes.len() - spared);
            if at >= bytes.len() {
                break;
            }
            match random.below(5) {
                0 => bytes[at] = random.byte(),
                1 => bytes[at] ^= 1 << random.below(8),
                2 => bytes.truncate(at),
                3 => bytes.insert(at, random.byte()),
                _ => {
                    let end = at + random.below(bytes.len() - at);
                    let copy = Bytes::copy_from_slice(&bytes[at..end]);
                    bytes.splice(at..at, copy);
                }
            }
        }
        survive(&mut random, &bytes)
    };
    let mut deep = 0;
    for seed in 0..rounds {
        let packets = std::panic::catch_unwind(|| survives(seed)).unwrap_or_else(|_| panic!("seed {seed} panicked"));
        deep += u64::from(packets >= 3);
    }
    assert!(deep > rounds / 4, "only {deep} of {rounds} got past the login and two packets more");
}
