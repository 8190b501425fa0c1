//! The document: what is read, what is refused, what is found wrong with it.

use crate::support::tea;
use pricing::book::{BookError, PriceBook, Severity};
use serde_json::{Value, json};

fn sample() -> Value {
    serde_json::from_slice(&tea().book().canonical()).expect("the canonical form is JSON")
}

/// The sample with something else at a place.
fn with(pointer: &str, value: Value) -> Value {
    let mut book = sample();
    let (parent, field) = pointer.rsplit_once('/').expect("a pointer");
    match book.pointer_mut(parent).expect(pointer) {
        Value::Object(fields) => drop(fields.insert(field.to_owned(), value)),
        Value::Array(places) => places[field.parse::<usize>().expect("a place")] = value,
        other => unreachable!("{other} has no parts"),
    }
    book
}

fn read(book: &Value) -> Result<PriceBook, BookError> {
    PriceBook::from_json(&serde_json::to_vec(book).expect("encodes"))
}

/// `BREAKWATER_BLESS=1` writes it anew.
#[test]
fn the_published_schema_is_that_of_the_types() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../packaging/price-books/price-book.schema.json");
    let schema = format!("{}\n", serde_json::to_string_pretty(&PriceBook::json_schema()).expect("encodes"));
    if std::env::var_os("BREAKWATER_BLESS").is_some() {
        std::fs::write(path, &schema).expect("writes");
    }
    let published = std::fs::read_to_string(path).expect("is part of the project");
    assert_eq!(published, schema, "run it with BREAKWATER_BLESS=1");
}

#[test]
fn what_cannot_be_read_is_named_with_its_place() {
    #[track_caller]
    fn check(pointer: &str, value: Value, error: &str) {
        let found = read(&with(pointer, value)).expect_err(pointer).to_string();
        assert!(found.contains(error), "{pointer}: {found}");
    }
    check("/schema", json!(2), "its schema is 2");
    check("/engine_level", json!(9), "engine level 9");
    check("/colour", json!("red"), "unknown field `colour`");
    check("/items/latte/flavour", json!(1), "items.latte.flavour: unknown field `flavour`");
    check("/items/latte/variants/0/price_minor", json!("x"), "items.latte.variants[0].price_minor");
    check("/promotions/0/benefit/of_ppm", json!(1), "promotions[0].benefit: unknown field `of_ppm`");
    check("/promotions/0/scope/times/0", json!("25:00-26:00"), "promotions[0].scope.times[0]");
    assert!(PriceBook::from_json(b"[1,").is_err());
    assert!(PriceBook::from_json(b"").is_err());
}

#[test]
fn the_hash_names_the_content_and_not_the_layout() {
    let book = tea();
    let reread = PriceBook::from_json(&serde_json::to_vec_pretty(&sample()).expect("encodes")).expect("reads");
    assert_eq!((reread.hash(), &reread), (book.hash(), book.book()));
    let dearer = read(&with("/items/latte/variants/0/price_minor", json!(1_701))).expect("reads");
    assert_ne!(dearer.hash(), book.hash());
}

#[test]
fn the_sample_has_nothing_wrong() {
    let errors: Vec<_> =
        tea().book().check().into_iter().filter(|finding| finding.severity == Severity::Error).collect();
    assert_eq!(errors, []);
}

#[test]
fn what_is_wrong_is_found() {
    #[track_caller]
    fn check(pointer: &str, value: Value, path: &str, problem: &str) {
        let book = read(&with(pointer, value)).expect(pointer);
        let findings = book.check();
        let found = findings.iter().any(|finding| finding.path == path && finding.problem.contains(problem));
        assert!(found, "{pointer}: {findings:#?}");
    }
    check("/items/latte/tax_group", json!("x"), "items.latte.tax_group", "no tax group x");
    check("/items/latte/station", json!("x"), "items.latte.station", "no station x");
    check("/items/latte/option_groups/0", json!("x"), "items.latte.option_groups[0]", "no option group x");
    check("/items/latte/variants/0/sku", json!("mocha-m"), "items.mocha.variants[0].sku", "sold as latte too");
    check("/items/latte/variants", json!([]), "items.latte.variants", "cannot be sold");
    check("/items/latte/variants/0/price_minor", json!(-1), "items.latte.variants[0].price_minor", "not between");
    check(
        "/items/latte/variants/0/recipe/0/item",
        json!("x"),
        "items.latte.variants[0].recipe[0].item",
        "no ingredient x",
    );
    check("/option_groups/ice/min", json!(2), "option_groups.ice", "nobody can satisfy it");
    check("/items/latte/name", json!("x".repeat(129)), "items.latte.variants[0].name", "longer than 128");
    check("/items/latte/name", json!("Latte\u{1b}"), "items.latte.variants[0].name", "control character");
    check("/option_groups/ice/options/0/name", json!("a\nb"), "option_groups.ice.options[0].name", "control character");
    check(
        "/option_groups/ice/defaults",
        json!(["ice-full", "ice-full"]),
        "option_groups.ice.defaults[1]",
        "chosen by default too",
    );
    check("/option_groups/ice/defaults/0", json!("x"), "option_groups.ice.defaults[0]", "no option x");
    check("/option_groups/ice/options/0/code", json!("sugar-50"), "option_groups.sugar.options[2].code", "too");
    check("/price_lists/0/prices/x", json!(1), "price_lists[0].prices.x", "no such article");
    check("/promotions/0/id", json!("staff"), "promotions[8].id", "another promotion staff");
    check(
        "/promotions/0/benefit/select/categories/0",
        json!("x"),
        "promotions[0].benefit.select.categories[0]",
        "no category x",
    );
    check("/promotions/0/benefit/select/items", json!(["latte"]), "promotions[0].benefit.select", "no article fits");
    check("/promotions/12/scope/from", json!("2026-12-09"), "promotions[12].scope", "never holds");
    check("/promotions/0/stage", json!("points"), "promotions[0].stage", "does not belong");
    check("/promotions/0/benefit/off_ppm", json!(0), "promotions[0].benefit", "not between 1");
    check("/promotions/2/benefit/every", json!(1), "promotions[2].benefit.every", "less than two");
    check("/promotions/10/coupon", json!("x"), "promotions[10].coupon", "no coupon class x");
    check("/promotions/6/benefit/off_minor", json!(6_000), "promotions[6].benefit", "saves more than is spent");
    check("/promotions/8/caps/per_order", json!(0), "promotions[8].caps", "may never be used");
    check("/promotions/8/benefit/off_ppm", json!(1_000_000), "promotions", "staff can bring a unit to nothing");
}
