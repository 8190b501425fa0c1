use proptest::prelude::*;

use super::*;
use crate::context::sample;
use crate::document::{Document, DrawerPin, Item, PLAIN, Style, Text};
use crate::encode;
use crate::template::{Kind, Template};

fn profile(name: &str) -> Profile {
    Profile::named(name).expect("known")
}

fn printed(kind: Kind, profile: &Profile) -> Paper {
    let document = Template::built_in(kind).render(&sample(kind)).expect("renders");
    interpret(&encode(&document, profile), profile)
}

#[test]
fn what_is_sent_is_understood_on_every_printer() {
    for (name, _) in Profile::names() {
        for kind in Kind::ALL {
            let paper = printed(kind, &profile(name));
            assert_eq!((paper.unknown, paper.complete), (0, true), "{kind:?} on {name}");
            assert_eq!(paper.bitmap.used_width() > 0, kind != Kind::Drawer, "{kind:?} on {name}");
        }
    }
}

#[test]
fn a_picture_of_a_line_is_dot_for_dot_what_the_printers_letters_would_be() {
    // The first profile has the printer's own letters where the second one sends pictures.
    let check = |letters: &str, pictures: &str| {
        for kind in [Kind::Receipt, Kind::Refund, Kind::KitchenTicket, Kind::Report] {
            let (own, sent) = (printed(kind, &profile(letters)), printed(kind, &profile(pictures)));
            assert!(own.text.len() > sent.text.len(), "{kind:?}: the profiles do not differ");
            assert!(own.bitmap == sent.bitmap, "{kind:?} differs between {letters} and {pictures}");
            assert_eq!(own.marks, sent.marks);
        }
    };
    check("80mm-gb18030", "80mm-plain");
    check("58mm-gb18030", "58mm-plain");
}

#[test]
fn a_receipt_says_what_was_sold() {
    let lines = printed(Kind::Receipt, &profile("80mm-gb18030")).text;
    let said = |left: &str, right: &str, columns: usize| {
        let gap = columns - font::text_columns(left) - right.len();
        let expected = format!("{left}{}{right}", " ".repeat(gap));
        assert!(lines.contains(&expected), "{expected:?} in {lines:#?}");
    };
    said("Harbour Tea 海港茶", "", 18);
    said("2 x Jasmine Milk Tea 茉莉奶茶", "44.00", 48);
    said("    Second cup half price", "-11.00", 48);
    said("0.125 x Oolong leaves, loose", "31.25", 48);
    said("TOTAL", "89.98", 24);
    said("Change", "30.02", 48);
}

#[test]
fn a_drawer_slip_opens_the_drawer_and_uses_no_paper() {
    let paper = printed(Kind::Drawer, &profile("80mm"));
    assert_eq!(paper.marks, [Mark::Drawer { pin: 0 }]);
    assert_eq!(paper.bitmap.height(), 0);
}

#[test]
fn long_receipts_are_whole() {
    // T35: a receipt of 70 lines.
    let mut data = sample(Kind::Receipt);
    let line = data["lines"][1].clone();
    data["lines"] = std::iter::repeat_n(line, 70).collect();
    let document = Template::built_in(Kind::Receipt).render(&data).expect("renders");
    let paper = interpret(&encode(&document, &profile("80mm")), &profile("80mm"));
    assert!(paper.complete);
    assert_eq!(paper.text.iter().filter(|line| line.contains("Crème brûlée")).count(), 70);
}

#[test]
fn letters_stand_where_the_manual_puts_them() {
    let check = |bytes: &[u8], expected: (usize, usize, usize)| {
        let paper = interpret(bytes, &profile("58mm"));
        let dots = (0..384).flat_map(|x| (0..paper.bitmap.height()).map(move |y| (x, y)));
        let black: Vec<_> = dots.filter(|&(x, y)| paper.bitmap.get(x, y)).collect();
        let left = black.iter().map(|dot| dot.0).min().unwrap_or(0) / 12;
        let top = black.iter().map(|dot| dot.1).min().unwrap_or(0) / 30;
        assert_eq!((left, top, paper.bitmap.height()), expected, "{bytes:x?}");
    };
    check(b"a\n", (0, 0, 30));
    check(b"\n a\n", (1, 1, 60));
    check(b"\x1ba\x02a\n", (31, 0, 30));
    check(b"\x1bd\x03a\n", (0, 3, 120));
    check(b"\x1b3\x3ca\n", (0, 0, 60));
    check(b"\x1d!\x33a\n", (0, 1, 96));
    // The line is full after 32 letters, and the printer goes on in the next one.
    check(&[b" ".repeat(33), b"a\n".to_vec()].concat(), (1, 1, 60));
    // Without a line end nothing is printed.
    check(b"a", (0, 0, 0));
}

#[test]
fn commands_that_are_not_known_are_counted() {
    let check = |bytes: &[u8], unknown: usize| assert_eq!(interpret(bytes, &profile("80mm")).unknown, unknown);
    check(b"\x1bZ", 1);
    check(b"\x1bt\xff", 1);
    check(b"\x1ba\x09", 1);
    check(b"\x1b", 1);
    check(b"\x1dv0\0\x01\0\x05\0\xff", 1);
    check(b"\x10\x04\x02\x10\x04\x04\x1dr\x01", 0);
}

#[test]
fn endless_paper_ends() {
    let paper = interpret(&b"\x1bd\xff".repeat(100), &profile("80mm"));
    assert!(!paper.complete);
    assert_eq!(paper.bitmap.height(), crate::bitmap::HEIGHT_MAX);
}

proptest! {
    #[test]
    fn no_bytes_make_it_panic(
        parts in proptest::collection::vec(
            prop_oneof![
                proptest::collection::vec(any::<u8>(), 0..8),
                Just(vec![0x1D, b'v', b'0', 0]),
                Just(vec![0x1D, b'(', b'k']),
                Just(vec![0x1D, b'(', b'k', 3, 0, 49, 81, 48]),
                Just(vec![0x1B, b'd', 255]),
                Just(vec![0x1C, b'&', 0xB2, 0xE8]),
                Just(vec![0x1D, b'!', 0x77, b'x', b'\n']),
            ],
            0..40,
        ),
        name in prop_oneof![Just("80mm"), Just("58mm-gb18030"), Just("label-50mm")],
    ) {
        let bytes = parts.concat();
        let paper = interpret(&bytes, &profile(name));
        prop_assert!(crate::png::preview(&paper).starts_with(b"\x89PNG"));
    }

    /// What is cut off in the middle prints the beginning and nothing else.
    #[test]
    fn a_part_of_the_bytes_prints_a_part_of_the_paper(keep in 0_usize..3_000) {
        let profile = profile("80mm-gb18030");
        let document = Template::built_in(Kind::Receipt).render(&sample(Kind::Receipt)).expect("renders");
        let bytes = encode(&document, &profile);
        let part = interpret(bytes.get(..keep.min(bytes.len())).unwrap_or_default(), &profile);
        let whole = interpret(&bytes, &profile);
        prop_assert!(whole.text.starts_with(&part.text));
    }

    #[test]
    fn any_text_prints_on_any_printer(
        left in "\\PC{0,30}", right in proptest::option::of("\\PC{0,12}"), width in 1_u8..4, height in 1_u8..4, bold: bool,
    ) {
        let mut document = Document::new();
        let style = Style { bold, width, height };
        let text = Text { left, right, align: Align::Left, style };
        document.push(Item::Text(text)).expect("fits");
        document.push(Item::Drawer(DrawerPin::Two)).expect("fits");
        let after = Text { left: "after".to_owned(), right: None, align: Align::Left, style: PLAIN };
        document.push(Item::Text(after)).expect("fits");
        for (name, _) in Profile::names() {
            let paper = interpret(&encode(&document, &profile(name)), &profile(name));
            prop_assert_eq!(paper.unknown, 0, "on {}", name);
            prop_assert_eq!(paper.text.last().map(String::as_str), Some("after"));
            prop_assert_eq!(&paper.marks, &[Mark::Drawer { pin: 0 }]);
        }
    }
}
