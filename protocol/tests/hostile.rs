//! Bytes from the network and from newer or broken peers: nothing panics, and the reason is named.

use pos_model::{Epoch, Seq, StoreId};
use proptest::prelude::*;
use protocol::envelope::{
    ENVELOPE_VERSION, OpenError, PLAIN_BYTES_MAX, WIRE_BYTES_MAX, open_downlink, open_uplink, seal_uplink,
};
use protocol::latest::*;
use serde::Serialize;
use serde_bytes::ByteBuf;

fn store() -> StoreId {
    StoreId::new("s1").expect("valid")
}

fn batch(events: usize) -> Uplink {
    Uplink::Batch(Batch {
        epoch: Epoch::new(1),
        first_seq: Seq::FIRST,
        prev_hash: pos_model::ChainHash::GENESIS,
        events: (0..events).map(|number| ByteBuf::from(number.to_be_bytes().repeat(20))).collect(),
    })
}

fn sealed(events: usize) -> Vec<u8> {
    seal_uplink(&store(), &batch(events)).expect("seals")
}

#[test]
fn refusals_name_their_reason() {
    #[track_caller]
    fn check(bytes: &[u8], reason: &str) {
        let error = open_uplink(bytes).expect_err("refused").to_string();
        assert!(error.contains(reason), "{error:?} does not contain {reason:?}");
    }
    check(&[], "too short");
    check(&[ENVELOPE_VERSION], "too short");
    check(&[0x10, 0, 0x80], "version 0x10");
    check(&[ENVELOPE_VERSION, 9, 0x80], "packing 9");
    check(&[ENVELOPE_VERSION, 2, 0x80], "too short");
    check(&[ENVELOPE_VERSION, 0, 0x80], "missing field `body`");
    check(&[ENVELOPE_VERSION, 1, 1, 2, 3], "damaged compression");
    check(&vec![ENVELOPE_VERSION; WIRE_BYTES_MAX + 1], "larger than");
    let mut cut = sealed(100);
    cut.truncate(cut.len() - 5);
    check(&cut, "damaged compression");
}

#[test]
fn a_small_message_cannot_unpack_into_a_large_one() {
    let bomb = zstd::bulk::compress(&vec![0; PLAIN_BYTES_MAX + 1], 1).expect("compresses");
    let mut bytes = vec![ENVELOPE_VERSION, 1];
    bytes.extend_from_slice(&bomb);
    assert!(bytes.len() < 1024);
    assert!(matches!(open_uplink(&bytes), Err(OpenError::TooLarge { limit: PLAIN_BYTES_MAX })));
}

#[derive(Serialize)]
struct Newer<B> {
    added_at_the_front: Vec<u8>,
    store: &'static str,
    kind: &'static str,
    body: B,
    added_at_the_end: Option<u8>,
}

fn newer<B: Serialize>(kind: &'static str, body: B) -> Vec<u8> {
    let message = Newer { added_at_the_front: vec![1, 2], store: "s1", kind, body, added_at_the_end: None };
    let mut bytes = vec![ENVELOPE_VERSION, 0];
    bytes.extend(rmp_serde::to_vec_named(&message).expect("encodes"));
    bytes
}

#[test]
fn fields_of_a_newer_peer_are_skipped() {
    #[derive(Serialize)]
    struct NewerAckless {
        mood: &'static str,
        epoch: u64,
        first_seq: u64,
        prev_hash: pos_model::ChainHash,
        events: Vec<ByteBuf>,
        nested: Vec<Vec<u64>>,
    }
    let body = NewerAckless {
        mood: "calm",
        epoch: 1,
        first_seq: 1,
        prev_hash: pos_model::ChainHash::GENESIS,
        events: vec![],
        nested: vec![vec![1], vec![2, 3]],
    };
    assert_eq!(open_uplink(&newer("batch", body)).expect("opens"), (store(), batch(0)));
}

#[test]
fn a_kind_of_a_newer_peer_is_named() {
    let error = open_uplink(&newer("price_check", 1)).expect_err("unknown");
    assert!(matches!(error, OpenError::UnknownKind(kind) if kind == "price_check"));
    let event = rmp_serde::to_vec_named(&serde_json::json!({"id": 1, "kind": "queue_joined", "body": {"a": [1, 2]}}));
    // An id of another form is malformed, but a well-formed event of a newer kind is only unknown.
    assert!(matches!(decode_event(&event.expect("encodes")), Err(DecodeError::Malformed(_))));
    #[derive(Serialize)]
    struct NewerEvent {
        id: pos_model::EventId,
        at: pos_model::Stamp,
        kind: &'static str,
        body: Vec<u8>,
    }
    let id = pos_model::EventId::new(uuid::Uuid::from_u128(5));
    let at = pos_model::Stamp { utc_ms: 1, offset_s: 0 };
    let event = rmp_serde::to_vec_named(&NewerEvent { id, at, kind: "queue_joined", body: vec![1] }).expect("encodes");
    assert!(matches!(decode_event(&event), Err(DecodeError::UnknownKind(kind)) if kind == "queue_joined"));
}

/// Programs before these messages know none of their kinds: to them they are what a kind that nobody knows is to this one.
#[test]
fn what_is_compared_is_a_kind_without_a_name_to_an_older_peer() {
    let as_older = |bytes: &[u8], kind: &str| {
        let at = bytes.windows(kind.len()).position(|part| part == kind.as_bytes()).expect("the kind stands in it");
        let mut bytes = bytes.to_vec();
        bytes[at] = b'x';
        let older = format!("x{}", &kind[1..]);
        (bytes, older)
    };
    for (sample, kind) in [
        (&include_bytes!("../golden/v1/compare.bin")[..], "compare"),
        (include_bytes!("../golden/v1/recall.bin"), "recall"),
    ] {
        assert!(open_downlink(sample).is_ok());
        let (bytes, older) = as_older(sample, kind);
        let error = open_downlink(&bytes).expect_err("unknown");
        assert!(matches!(&error, OpenError::UnknownKind(kind) if *kind == older), "{error:?}");
    }
    for (sample, kind) in [
        (&include_bytes!("../golden/v1/digests.bin")[..], "digests"),
        (include_bytes!("../golden/v1/recalled_nothing.bin"), "recalled"),
    ] {
        assert!(open_uplink(sample).is_ok());
        let (bytes, older) = as_older(sample, kind);
        let error = open_uplink(&bytes).expect_err("unknown");
        assert!(matches!(&error, OpenError::UnknownKind(kind) if *kind == older), "{error:?}");
    }
}

#[test]
fn a_full_batch_of_sales_fits_the_wire() {
    assert!(sealed(500).len() < protocol::envelope::WIRE_BYTES_TARGET);
}

proptest! {
    #[test]
    fn any_bytes(bytes in proptest::collection::vec(any::<u8>(), 0..400)) {
        let _ = open_uplink(&bytes);
        let _ = open_downlink(&bytes);
        let _ = decode_event(&bytes);
        let mut plain = vec![ENVELOPE_VERSION, 0];
        plain.extend_from_slice(&bytes);
        let _ = open_uplink(&plain);
    }

    #[test]
    fn damaged_messages(events in 0..60usize, flips in proptest::collection::vec((any::<usize>(), any::<u8>()), 1..8)) {
        let mut bytes = sealed(events);
        for (at, value) in flips {
            let length = bytes.len();
            bytes[at % length] ^= value;
        }
        let _ = open_uplink(&bytes);
    }

    #[test]
    fn round_trip(events in 0..200usize) {
        prop_assert_eq!(open_uplink(&sealed(events)).expect("opens"), (store(), batch(events)));
    }
}
