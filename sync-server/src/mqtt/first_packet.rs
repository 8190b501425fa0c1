//! The first packet, collected and checked before the protocol library sees a byte of it.
//!
//! Three reasons to frame it here. A stranger may make the server hold `CONNECT_BYTES_MAX`, not a whole packet. Clients
//! of older versions get the refusal that their version defines. And two properties are rewritten on the way in:
//! - *Topic Alias Maximum*: `mqtt-protocol-core` 0.7.9 panics on the legal value 0; the server sends no aliases anyway.
//! - *Session Expiry Interval*: every session here ends with its connection, and on any other value the library would
//!   keep copies of what was sent for a resumption that never comes.

use mqtt_protocol_core::mqtt::packet::v5_0::Connect;
use mqtt_protocol_core::mqtt::packet::{Property, SessionExpiryInterval, TopicAliasMaximum};

use super::limits::CONNECT_BYTES_MAX;

/// Collects the first packet over as many reads as it takes.
#[derive(Debug, Default)]
pub(crate) struct FirstPacket {
    bytes: Vec<u8>,
}

/// What the first packet turned out to be.
#[derive(Debug)]
pub(crate) enum First {
    /// The packet is not complete.
    Incomplete,
    /// A CONNECT of MQTT 5, safe to hand to the library: well-formed and rewritten, or for the library to refuse.
    Connect(Vec<u8>),
    /// A CONNECT of another version, with the bytes that refuse it.
    OtherVersion(&'static [u8]),
    /// Longer than a CONNECT may be.
    Oversize,
    /// Not a CONNECT at all.
    NotConnect,
}

/// CONNACK of MQTT 3.1.1: session not present, unacceptable protocol version.
const REFUSE_3_1_1: &[u8] = &[0x20, 0x02, 0x00, 0x01];
/// CONNACK of MQTT 5: session not present, unsupported protocol version, no properties.
const REFUSE_NEWER: &[u8] = &[0x20, 0x03, 0x00, 0x84, 0x00];

const CONNECT_HEADER: u8 = 0x10;
const LENGTH_BYTES_MAX: usize = 4;
const NAME: &[u8] = b"\x00\x04MQTT";
const NAME_3_1: &[u8] = b"\x00\x06MQIsdp";
/// Where the connect flags stand: after the name and the version.
const FLAGS_OFFSET: usize = NAME.len() + 1;

impl FirstPacket {
    /// Takes what belongs to the first packet off the front of `input`.
    pub(crate) fn receive(&mut self, input: &mut &[u8]) -> First {
        loop {
            let wanted = match self.missing() {
                Ok(0) => break,
                Ok(wanted) => wanted,
                Err(refusal) => return refusal,
            };
            let (taken, rest) = input.split_at(wanted.min(input.len()));
            self.bytes.extend_from_slice(taken);
            *input = rest;
            if taken.len() < wanted {
                return First::Incomplete;
            }
        }
        self.judge()
    }

    /// How many bytes are certainly still missing; 0 when the packet is complete.
    fn missing(&self) -> Result<usize, First> {
        match self.bytes.first() {
            None => return Ok(2),
            Some(&CONNECT_HEADER) => {}
            Some(_) => return Err(First::NotConnect),
        }
        let Some((header, body)) = self.header() else {
            return if self.bytes.len() > LENGTH_BYTES_MAX { Err(First::NotConnect) } else { Ok(1) };
        };
        let total = header + body;
        if total > CONNECT_BYTES_MAX {
            return Err(First::Oversize);
        }
        Ok(total - self.bytes.len())
    }

    /// The length of the fixed header and of the rest, once both are known.
    fn header(&self) -> Option<(usize, usize)> {
        let mut length = 0;
        for (index, byte) in self.bytes.iter().skip(1).take(LENGTH_BYTES_MAX).enumerate() {
            length |= usize::from(byte & 0x7F) << (7 * index);
            if byte & 0x80 == 0 {
                return Some((2 + index, length));
            }
        }
        None
    }

    fn judge(&mut self) -> First {
        let packet = std::mem::take(&mut self.bytes);
        let header = 1 + packet.iter().skip(1).take_while(|byte| **byte & 0x80 != 0).count() + 1;
        let body = packet.get(header..).unwrap_or_default();
        if body.starts_with(NAME_3_1) {
            return First::OtherVersion(REFUSE_3_1_1);
        }
        match body.strip_prefix(NAME).and_then(|rest| rest.first()) {
            None => return First::NotConnect,
            Some(3 | 4) => return First::OtherVersion(REFUSE_3_1_1),
            Some(5) => {}
            Some(_) => return First::OtherVersion(REFUSE_NEWER),
        }
        // The library does not look at these three: the reserved flag, a will of QoS 3, and will options without a will.
        let flags = body.get(FLAGS_OFFSET).copied().unwrap_or_default();
        let will_without_flag = flags & 0b0000_0100 == 0 && flags & 0b0011_1000 != 0;
        if flags & 1 != 0 || flags & 0b0001_1000 == 0b0001_1000 || will_without_flag {
            return First::NotConnect;
        }
        match Connect::parse(body) {
            Ok((connect, consumed)) if consumed == body.len() => First::Connect(rewrite(connect)),
            // The library finds the same fault again, and answers it as the specification says.
            Ok(_) | Err(_) => First::Connect(packet),
        }
    }
}

/// The rewritten values are as long as the ones they replace, so that the lengths in the packet stay right.
fn rewrite(mut connect: Connect) -> Vec<u8> {
    for property in &mut connect.props {
        let replaced = match property {
            Property::TopicAliasMaximum(_) => TopicAliasMaximum::new(1).map(Property::from),
            Property::SessionExpiryInterval(_) => SessionExpiryInterval::new(0).map(Property::from),
            _ => continue,
        };
        if let Ok(replaced) = replaced {
            *property = replaced;
        }
    }
    connect.to_continuous_buffer()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn connect(properties: Vec<Property>) -> Vec<u8> {
        let builder = Connect::builder().client_id("c").expect("valid").props(properties);
        builder.user_name("u").expect("valid").build().expect("valid").to_continuous_buffer()
    }

    #[test]
    fn kinds_of_first_packets() {
        #[track_caller]
        fn check(bytes: &[u8], expected: &str) {
            let first = FirstPacket::default().receive(&mut &bytes[..]);
            assert!(format!("{first:?}").starts_with(expected), "{first:?} for {bytes:02x?}");
        }
        check(b"", "Incomplete");
        check(b"\x10", "Incomplete");
        check(b"\x10\x80\x80", "Incomplete");
        check(b"GET / HTTP/1.1\r\n", "NotConnect");
        check(b"\x16\x03\x01\x02\x00\x01", "NotConnect");
        check(b"\x10\x80\x80\x80\x80\x01", "NotConnect");
        check(b"\x10\xFF\xFF\xFF\xFF", "NotConnect");
        check(b"\x10\xFF\xFF\xFF\x7F", "Oversize");
        check(b"\x10\x00", "NotConnect");
        check(b"\x10\x0C\x00\x04MQTT\x04\x02\x00\x3c\x00\x00", "OtherVersion([32, 2, 0, 1])");
        check(b"\x10\x0C\x00\x06MQIsdp\x03\x02\x00\x00", "OtherVersion([32, 2, 0, 1])");
        check(b"\x10\x0D\x00\x04MQTT\x06\x02\x00\x3c\x00\x00\x00", "OtherVersion([32, 3, 0, 132, 0])");
        check(b"\x10\x0D\x00\x04MQTT\x05\x03\x00\x3c\x00\x00\x00", "NotConnect");
        check(b"\x10\x0D\x00\x04MQTT\x05\x1E\x00\x3c\x00\x00\x00", "NotConnect");
        check(b"\x10\x0D\x00\x04MQTT\x05\x02\x00\x3c\x00\x00\x00", "Connect");
        check(&connect(Vec::new()), "Connect");
    }

    #[test]
    fn two_properties_are_rewritten_and_the_rest_is_kept() {
        let alias = TopicAliasMaximum::new(0).expect("valid").into();
        let expiry = SessionExpiryInterval::new(3600).expect("valid").into();
        let original = connect(vec![alias, expiry]);
        let First::Connect(rewritten) = FirstPacket::default().receive(&mut &original[..]) else {
            panic!("a valid packet");
        };
        let (parsed, _) = Connect::parse(&rewritten[2..]).expect("still valid");
        assert_eq!(parsed.props[0], TopicAliasMaximum::new(1).expect("valid").into());
        assert_eq!(parsed.props[1], SessionExpiryInterval::new(0).expect("valid").into());
        assert_eq!(parsed.user_name(), Some("u"));
        assert_eq!(rewritten.len(), original.len());
    }

    #[test]
    fn the_packet_may_come_byte_by_byte_and_what_follows_is_left() {
        let packet = connect(Vec::new());
        let mut first = FirstPacket::default();
        for byte in &packet[..packet.len() - 1] {
            let mut input = std::slice::from_ref(byte);
            assert!(matches!(first.receive(&mut input), First::Incomplete));
            assert!(input.is_empty());
        }
        let tail = [*packet.last().expect("not empty"), 0xC0, 0x00];
        let mut input = &tail[..];
        assert!(matches!(first.receive(&mut input), First::Connect(_)));
        assert_eq!(input, [0xC0, 0x00]);
    }
}
