use serde_json::json;

use super::*;
use crate::document::{Align, Item, PLAIN, Text};

fn words(document: &Document) -> Vec<String> {
    let word = |item: &Item| match item {
        Item::Text(Text { left, right: None, .. }) => left.clone(),
        Item::Text(Text { left, right: Some(right), .. }) => format!("{left}>{right}"),
        other => format!("{other:?}"),
    };
    document.items().iter().map(word).collect()
}

#[track_caller]
fn check(source: &str, data: &Value, expected: &[&str]) {
    let document = Template::parse("t", source).and_then(|template| template.render(data)).expect("renders");
    assert_eq!(words(&document), expected, "{source:?}");
}

#[test]
fn tags_on_lines_of_their_own_print_no_line() {
    let data = json!({ "a": [1, 2], "yes": true, "name": "tea" });
    check("{% for n in a %}\n{{ n }}\n{% endfor %}\nend\n", &data, &["1", "2", "end"]);
    check("  {% if yes %}\n  in\n  {% endif %}\nout", &data, &["  in", "out"]);
    check("x{% if yes %} y{% endif %}\nz", &data, &["x y", "z"]);
    check("{{ name }}\n\n{# remark #}\nz\n", &data, &["tea", "", "z"]);
    check("{% if yes %}a{% endif %}\nb", &data, &["a", "b"]);
}

#[test]
fn values_are_printed_as_they_are() {
    let data = json!({
        "name": "[cut] --- || <b> \\[x] \u{1b}p", "two": "a\nb", "nothing": null, "currency": { "exponent": 2 },
        "amount": -1_205, "some": 1_500_000,
    });
    check("{{ name }} || {{ amount|money }}", &data, &["[cut] --- || <b> \\[x] p>-12.05"]);
    check("[{{ nothing }}bold]x", &data, &["x"]);
    check("{{ two }}", &data, &["a b"]);
    check("{{ some|quantity }}{{ nothing }}x", &data, &["1.5x"]);
    check("{{ name|upper }}", &json!({ "name": "---" }), &["---"]);
}

#[test]
fn data_can_be_neither_markup_nor_a_command() {
    // The words in brackets are the template's only if the template itself has them.
    let evil = json!({ "name": "[drawer]" });
    let document = Template::parse("t", "{{ name }}").and_then(|template| template.render(&evil)).expect("renders");
    let expected = Item::Text(Text { left: "[drawer]".to_owned(), right: None, align: Align::Left, style: PLAIN });
    assert_eq!(document.items(), [expected]);
}

#[test]
fn a_mistake_is_told_with_template_line_and_reason() {
    let check = |source: &str, line: usize, part: &str| {
        let error = Template::checked(Kind::Receipt, source).expect_err("must be refused");
        assert_eq!((error.template.as_str(), error.line), ("receipt", line), "{error}");
        assert!(error.reason.contains(part), "{part:?} in {error}");
    };
    check("a\n{% if x", 2, "begins and ends on one line");
    check("a\n{% fro x in y %}\n", 2, "fro");
    check("a\nb\n{{ nmae }}\n", 3, "`nmae` is undefined");
    check("{{ store.nmae }}", 1, "nmae");
    check("a\n{{ total_minor|mony }}", 2, "mony");
    check("a\n\n{{ lines }}", 3, "cannot be printed");
    check("{{ store.name|money }}", 1, "whole number");
    check("{% for line in lines %}\nx\n[bald]{{ line.name }}\n{% endfor %}", 3, "`bald` is not known");
    check("a\nb\n[cut]x", 3, "alone");
    check("{% for i in range(9999) %}\n{% for j in range(9999) %}\n{% endfor %}\n{% endfor %}", 2, "too long");
    check("{% if true %}\na\n", 2, "");
    check(&"x".repeat(SOURCE_BYTES_MAX + 1), 0, "at most");
}

#[test]
fn every_built_in_template_prints_its_sample() {
    for kind in Kind::ALL {
        let document = Template::built_in(kind).render(&sample(kind)).expect("renders");
        assert_eq!(document.is_visible(), kind != Kind::Drawer, "{kind:?}");
        assert_eq!(Kind::named(kind.name()), Some(kind));
    }
}

#[test]
fn samples_have_the_shape_that_the_agent_fills_in() {
    fn round_trip<T: serde::Serialize + serde::de::DeserializeOwned>(kind: Kind) {
        let data = sample(kind);
        let typed: T = serde_json::from_value(data.clone()).expect("has the shape");
        assert_eq!(serde_json::to_value(typed).expect("serializes"), data, "{kind:?}");
    }
    use crate::context;
    round_trip::<context::Receipt>(Kind::Receipt);
    round_trip::<context::Receipt>(Kind::Refund);
    round_trip::<context::CupLabel>(Kind::CupLabel);
    round_trip::<context::KitchenTicket>(Kind::KitchenTicket);
    round_trip::<context::Report>(Kind::Report);
    round_trip::<context::Drawer>(Kind::Drawer);
    round_trip::<context::TestPage>(Kind::Test);
}
