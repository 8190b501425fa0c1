//! What every crate's manifest leaves to the workspace, and what it states itself.

use toml::{Table, Value};

use crate::repository::Crate;

/// Dependencies that do not say `workspace = true`: versions stand in one place, so that two crates can't differ.
pub(crate) fn own_versions(manifest: &str, text: &str) -> Vec<String> {
    let table: Table = match text.parse() {
        Ok(table) => table,
        Err(error) => return vec![format!("{manifest}: {error}")],
    };
    let targets = table.get("target").and_then(Value::as_table).into_iter().flat_map(Table::values);
    let mut findings = Vec::new();
    for owner in targets.filter_map(Value::as_table).chain([&table]) {
        for section in ["dependencies", "dev-dependencies", "build-dependencies"] {
            for (name, value) in owner.get(section).and_then(Value::as_table).into_iter().flatten() {
                if value.get("workspace").and_then(Value::as_bool) != Some(true) {
                    findings.push(format!("{manifest}: {section}: {name} must say `workspace = true`"));
                }
            }
        }
    }
    findings
}

/// A crate that does not take the workspace's lint table.
pub(crate) fn missing_lints(manifest: &str, text: &str) -> Vec<String> {
    let table: Table = text.parse().unwrap_or_default();
    let inherits = table.get("lints").and_then(|lints| lints.get("workspace")).and_then(Value::as_bool) == Some(true);
    if inherits { Vec::new() } else { vec![format!("{manifest}: needs `[lints] workspace = true`")] }
}

/// A crate without a licence, or with another than its own. The screen is GPL because Slint counts a till as an embedded system.
pub(crate) fn wrong_licence(krate: &Crate) -> Vec<String> {
    let expected = if krate.name == "pos-ui" { "GPL-3.0-only" } else { "Apache-2.0" };
    match krate.licence.as_deref() {
        Some(licence) if licence == expected => Vec::new(),
        Some(licence) => vec![format!("{}: licence is {licence}, expected {expected}", krate.manifest)],
        None => vec![format!("{}: states no licence, expected {expected}", krate.manifest)],
    }
}

#[cfg(test)]
mod cases {
    use super::*;

    #[test]
    fn own_versions_are_found() {
        let check = |text: &str, expected: &[&str]| assert_eq!(own_versions("m", text), expected, "{text}");
        check("[dependencies]\na.workspace = true\nb = { workspace = true, features = [\"x\"] }", &[]);
        check("[dependencies]\na = \"1\"", &["m: dependencies: a must say `workspace = true`"]);
        check("[dev-dependencies]\na = { path = \"../a\" }", &["m: dev-dependencies: a must say `workspace = true`"]);
        check(
            "[build-dependencies]\na = { version = \"1\" }",
            &["m: build-dependencies: a must say `workspace = true`"],
        );
        check("[target.'cfg(unix)'.dependencies]\na = \"1\"", &["m: dependencies: a must say `workspace = true`"]);
        assert_eq!(own_versions("m", "[dependencies").len(), 1);
    }

    #[test]
    fn missing_lints_are_found() {
        assert_eq!(missing_lints("m", "[lints]\nworkspace = true"), [""; 0]);
        assert_eq!(missing_lints("m", "[lints.rust]\nunsafe_code = \"allow\"").len(), 1);
        assert_eq!(missing_lints("m", "").len(), 1);
    }

    #[test]
    fn wrong_licences_are_found() {
        let check = |name: &str, licence: Option<&str>, expected: &[&str]| {
            let krate = Crate {
                name: name.to_owned(),
                manifest: "m".to_owned(),
                licence: licence.map(str::to_owned),
                uses: Vec::new(),
            };
            assert_eq!(wrong_licence(&krate), expected);
        };
        check("agent", Some("Apache-2.0"), &[]);
        check("agent", Some("MIT"), &["m: licence is MIT, expected Apache-2.0"]);
        check("agent", None, &["m: states no licence, expected Apache-2.0"]);
        check("pos-ui", Some("GPL-3.0-only"), &[]);
        check("pos-ui", Some("Apache-2.0"), &["m: licence is Apache-2.0, expected GPL-3.0-only"]);
    }
}
