use proptest::prelude::*;

use super::*;
use crate::replay::mapping::CatalogueFormat;

const MAPPING: &str = r#"
    source = "test"
    [order]
    key = ["shop", "day", "order"]
    till = { column = "till", prefix = "T" }
    operator = { column = "who", none = ["0"] }
    channel = { column = "here", words = { Y = "counter", N = "takeaway" } }
    [time]
    zone = "UTC"
    columns = ["day", "time"]
    format = "%Y-%m-%d %H:%M"
    [item]
    sku = "item"
    quantity = "n"
    unit_price = "price"
    line_amount = "amount"
    [money]
    currency = "USD"
    symbol = "$"
    [prices]
    Scone = "1.80"
    [[leave_out]]
    equals = ["NONE"]
    reason = "no goods"
    [[refuse]]
    column = "here"
    equals = ["?"]
    reason = "from nowhere"
"#;

const HEADER: &str = "shop,day,time,order,till,who,here,item,n,price,amount\n";

fn read_with(mapping: &str, text: &str, picked: &[(&str, &str)]) -> Result<Receipts, ReceiptsError> {
    let mapping = Mapping::parse(mapping).expect("a mapping");
    let mut wanted = Picked::new();
    for &(column, text) in picked {
        wanted.entry(column.to_owned()).or_default().push(text.to_owned());
    }
    read("the file", text, &mapping, &Catalogue::default(), &wanted)
}

fn read_rows(rows: &str, picked: &[(&str, &str)]) -> Receipts {
    read_with(MAPPING, &format!("{HEADER}{rows}"), picked).expect("readable")
}

fn notes(notes: &[RowNote]) -> Vec<(u64, &str)> {
    notes.iter().map(|note| (note.line, note.reason.as_str())).collect()
}

#[test]
fn rows_of_an_order_may_lie_apart() {
    let receipts = read_rows(
        "1,2024-05-01,10:05,7,2,ann,Y,Tea,1,2.50,\n\
         2,2024-05-01,10:00,7,1,0,N,Tea,1,2.50,\n\
         1,2024-05-02,09:00,7,1,,,Tea,1,2.50,\n\
         1,2024-05-01,10:04,7,9,bob,N,Cake,2,$3.00 ,5.50\n",
        &[],
    );
    let seen: Vec<_> = receipts.orders.iter().map(|order| (order.key.join("/"), order.rows.clone())).collect();
    let expected = [("2/2024-05-01/7", vec![3]), ("1/2024-05-01/7", vec![2, 5]), ("1/2024-05-02/7", vec![4])];
    assert_eq!(seen, expected.map(|(key, rows)| (key.to_owned(), rows)));
    // The head is the first row's, the time the earliest.
    let [other, order, bare] = &receipts.orders[..] else { panic!("three orders") };
    assert_eq!(order.till.as_ref().map(TillId::as_str), Some("T2"));
    assert_eq!(order.operator.as_ref().map(OperatorId::as_str), Some("ann"));
    assert_eq!(order.sold_at.utc_ms, 1_714_557_840_000);
    assert_eq!(
        order.lines[1].unit_price.zip(order.lines[1].amount).map(|(a, b)| (a.minor(), b.minor())),
        Some((300, 550))
    );
    assert_eq!((other.operator.as_ref(), other.channel.as_ref().map(Tag::as_str)), (None, Some("takeaway")));
    assert_eq!((bare.operator.as_ref(), bare.channel.as_ref()), (None, None));
}

#[test]
fn what_becomes_of_a_row() {
    #[track_caller]
    fn check(rows: &str, orders: usize, left_out: &[(u64, &str)], refused: &[(u64, &str)]) {
        let receipts = read_rows(rows, &[]);
        assert_eq!(receipts.orders.len(), orders, "{rows}");
        assert_eq!(notes(&receipts.left_out), left_out, "{rows}");
        assert_eq!(notes(&receipts.refused), refused, "{rows}");
    }
    let tea = "1,2024-05-01,10:00,7,1,,,Tea,1,2.50,\n";
    let with = |item: &str, n: &str, price: &str, amount: &str| {
        format!("1,2024-05-01,10:00,7,1,,,{item},{n},{price},{amount}\n")
    };
    check(tea, 1, &[], &[]);
    check(&with("Scone", "1", "", ""), 1, &[], &[]);
    check(&with("NONE", "1", "", ""), 0, &[(2, "no goods")], &[]);
    check(&format!("{tea}{}", with("NONE", "x", "", "")), 1, &[(3, "no goods")], &[]);
    check(&format!("{tea}1,2024-05-01,10:00,7,1,,?,Tea,1,1,\n"), 1, &[], &[(3, "from nowhere")]);
    check(&with("", "1", "1", ""), 0, &[], &[(2, "names no item")]);
    check(&with("Cake", "1", "", ""), 0, &[], &[(2, "there is no price for item \"Cake\"")]);
    check(
        &with("Tea", "0", "1", ""),
        0,
        &[],
        &[(2, "quantity: \"0\" is not more than nothing (a return is not sold again)")],
    );
    check(
        &with("Tea", "two", "1", ""),
        0,
        &[],
        &[(2, "quantity: \"two\" is not a quantity with at most six decimals")],
    );
    check(&with("Tea", "1", "1.005", ""), 0, &[], &[(2, "price: \"1.005\" is not an amount with at most 2 decimals")]);
    check(
        &with("Tea", "1", "1", "-1"),
        0,
        &[],
        &[(2, "amount: \"-1\" is less than nothing (a return is not sold again)")],
    );
    check(&with("T\u{1}", "1", "1", ""), 0, &[], &[(2, "sku \"T\\u{1}\": has a control character")]);
    check("1,2024-05-01\n", 0, &[], &[(2, "has 2 cells where the file has 11 columns")]);
    // One bad row takes its whole order along, wherever the others lie, and no other order.
    check(
        &format!("{tea}{}2,2024-05-01,10:00,7,1,,,Tea,1,2.50,\n{tea}", with("Tea", "x", "1", "")),
        1,
        &[],
        &[
            (2, "belongs to the same order as line 3, which is refused"),
            (3, "quantity: \"x\" is not a quantity with at most six decimals"),
            (5, "belongs to the same order as line 3, which is refused"),
        ],
    );
    let receipts = read_rows("1,2024-05-01,25:00,7,1,,,Tea,1,1,\n", &[]);
    assert!(receipts.refused[0].reason.starts_with("time: \"2024-05-01 25:00\": "), "{:?}", receipts.refused);
}

#[test]
fn rows_are_picked_by_their_columns() {
    let rows = "1,2024-05-01,10:00,7,1,,Y,Tea,1,1,\n\
                2,2024-05-01,10:00,7,1,,Y,Tea,1,1,\n\
                3,2024-05-01,10:00,7,1,,N,Tea,1,1,\n";
    let picked = |picked: &[(&str, &str)]| {
        let receipts = read_rows(rows, picked);
        assert_eq!(receipts.rows_not_picked, 3 - receipts.orders.len() as u64);
        receipts.orders.iter().map(|order| order.key[0].clone()).collect::<Vec<_>>()
    };
    assert_eq!(picked(&[("shop", "2")]), ["2"]);
    assert_eq!(picked(&[("shop", "2"), ("shop", "3")]), ["2", "3"]);
    assert_eq!(picked(&[("shop", "2"), ("here", "N")]), [""; 0]);
    let error = read_with(MAPPING, HEADER, &[("outlet", "2")]).expect_err("no such column");
    assert_eq!(
        error.to_string(),
        "the file has no column \"outlet\"; it has shop, day, time, order, till, who, here, item, n, price, amount"
    );
}

#[test]
fn files_that_cannot_be_read() {
    #[track_caller]
    fn check(text: &str, expected: &str) {
        let error = read_with(MAPPING, text, &[]).expect_err("unreadable");
        assert!(error.to_string().starts_with(expected), "{error}");
    }
    check("", "has no row");
    check("\n\n", "has no row");
    check("shop,day\n", "the file has no column \"order\"; it has shop, day");
    check(&HEADER.replace("amount", "shop"), "the file has more than one column \"shop\"");
    check(&format!("{HEADER}1,\"2\n"), "line 2: a quote opens a cell here and is never closed");
    check(&format!("{HEADER}\n1,2\"\n"), "line 3: a quote stands inside a cell");
}

#[test]
fn encodings() {
    let decoded = |bytes: &[u8], encoding| decode(bytes.to_vec(), encoding).map_err(|error| error.to_string());
    assert_eq!(decoded(b"\xef\xbb\xbfa", Encoding::Utf8).as_deref(), Ok("a"));
    assert_eq!(decoded(b"caf\xe9", Encoding::Latin1).as_deref(), Ok("caf\u{e9}"));
    let error = decoded(b"a\nb\ncaf\xe9", Encoding::Utf8).expect_err("not UTF-8");
    assert!(error.starts_with("line 3: is not UTF-8"), "{error}");
    assert!(decoded(b"\xff\xfea\0", Encoding::Utf8).expect_err("UTF-16").contains("UTF-16"));
}

#[test]
fn baskets_one_per_row_at_made_up_times() {
    let mapping = r#"
        source = "test"
        file = { header = false, layout = "basket_per_row" }
        order = { till = "T1" }
        time = { zone = "UTC", start = "2024-05-01T08:00:00", step = "30s", orders_per_day = 2 }
        item = { count_repeats = true, fixed_price = "1.00" }
        money = { currency = "EUR" }
        leave_out = [{ equals = ["bag"], reason = "no goods" }]
    "#;
    let receipts = read_with(mapping, "tea,bag, tea \nbag\n\ncake,,tea,scone\nmilk\n,,\n", &[]).expect("readable");
    let seen: Vec<_> = receipts
        .orders
        .iter()
        .map(|order| {
            let skus: Vec<_> = order.lines.iter().map(|line| line.sku.as_str()).collect();
            (order.key.join("/"), order.rows.clone(), order.sold_at.utc_ms - 1_714_550_400_000, skus.join("+"))
        })
        .collect();
    let day = 86_400_000;
    let expected = [
        ("row 1", vec![1], 0, "tea+tea"),
        ("row 3", vec![4], day, "cake+tea+scone"),
        ("row 4", vec![5], day + 30_000, "milk"),
    ];
    assert_eq!(seen, expected.map(|(key, rows, at, skus)| (key.to_owned(), rows, at, skus.to_owned())));
    assert_eq!((receipts.orders_empty, receipts.rows_read), (1, 5));
    assert_eq!(notes(&receipts.left_out), [(2, "no goods")]);
    assert_eq!(notes(&receipts.refused), [(6, "names no item")]);
}

#[test]
fn a_made_up_time_does_not_depend_on_what_is_picked() {
    let mapping = MAPPING
        .replace("columns = [\"day\", \"time\"]", "start = \"2024-05-01T08:00:00\"")
        .replace("format = \"%Y-%m-%d %H:%M\"", "step = \"1m\"");
    let rows = format!("{HEADER}1,d,,1,1,,,Tea,1,1,\n2,d,,1,1,,,Tea,1,1,\n1,d,,1,1,,,Tea,1,1,\n2,d,,2,1,,,Tea,1,1,\n");
    let all = read_with(&mapping, &rows, &[]).expect("readable").orders;
    let picked = read_with(&mapping, &rows, &[("shop", "2")]).expect("readable").orders;
    assert_eq!(all.len(), 3);
    assert_eq!(all[1..], picked[..]);
}

#[test]
fn names_and_prices_from_a_second_file() {
    let mapping = Mapping::parse(MAPPING).expect("a mapping");
    let format = CatalogueFormat {
        file: "articles.csv".to_owned(),
        key: "id".to_owned(),
        name: Some("name".to_owned()),
        price: Some("price".to_owned()),
    };
    let read_catalogue = |text: &str| Catalogue::read(text, &format, &mapping);
    let catalogue = read_catalogue("id,name,price\nTea,Green tea,$2.20 \nCake,,\n").expect("readable");
    let rows = format!(
        "{HEADER}1,2024-05-01,10:00,7,1,,,Tea,1,,\n1,2024-05-01,10:00,7,1,,,Tea,1,9,\n1,2024-05-01,10:00,7,1,,,Scone,1,,\n"
    );
    let receipts = read("the file", &rows, &mapping, &catalogue, &Picked::new()).expect("readable");
    let seen: Vec<_> =
        receipts.orders[0].lines.iter().map(|line| (line.name.as_deref(), line.unit_price.map(Money::minor))).collect();
    assert_eq!(seen, [(Some("Green tea"), Some(220)), (Some("Green tea"), Some(900)), (None, Some(180))]);

    for (text, expected) in [
        ("", "has no row"),
        ("id,name\n", "articles.csv has no column \"price\"; it has id, name"),
        ("id,name,price\nTea,x\n", "line 2 of the catalogue has 2 cells, and its header 3"),
        ("id,name,price\nTea,x,free\n", "line 2 of the catalogue"),
        ("id,name,price\nTea,x,1\nTea,y,1\n", "line 3 of the catalogue names \"Tea\" again"),
    ] {
        assert_eq!(read_catalogue(text).expect_err("unusable").to_string(), expected);
    }
}

proptest! {
    /// Whatever stands in the file, there is an answer, and every row has exactly one place in it.
    #[test]
    fn every_row_is_accounted_for(
        rows in prop::collection::vec(
            (0..3u8, 0..4u8, prop::sample::select(vec!["1", "2", "x", "", "0"]),
             prop::sample::select(vec!["Tea", "NONE", "Cake", ""]),
             prop::sample::select(vec!["1.00", "", "-1", "zz"]),
             prop::sample::select(vec!["", "?", "Y"]),
             prop::sample::select(vec!["10:00", "late"]), any::<bool>()),
            0..30),
    ) {
        let mut text = String::new();
        for (shop, order, n, item, price, here, time, whole) in &rows {
            text += &if *whole {
                format!("{shop},2024-05-01,{time},{order},1,,{here},{item},{n},{price},\n")
            } else {
                format!("{shop},2024-05-01,{time},{order},1\n")
            };
        }
        let receipts = read_rows(&text, &[("shop", "1"), ("shop", "2")]);
        let mut places: Vec<u64> = receipts.orders.iter().flat_map(|order| order.rows.clone()).collect();
        places.extend(receipts.left_out.iter().chain(&receipts.refused).map(|note| note.line));
        places.sort_unstable();
        let all = places.len() as u64 + receipts.rows_not_picked;
        places.dedup();
        prop_assert_eq!(all, rows.len() as u64);
        prop_assert_eq!(places.len() as u64 + receipts.rows_not_picked, rows.len() as u64);
        prop_assert_eq!(receipts.rows_read, rows.len() as u64);
    }
}
