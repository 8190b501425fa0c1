//! Which printers a job may go to, in order.

use crate::config::PrinterConfig;
use crate::db::PrintJob;

/// The printers with their roles.
#[derive(Debug)]
pub(super) struct Routes {
    printers: Vec<PrinterConfig>,
}

impl Routes {
    pub(super) fn new(printers: Vec<PrinterConfig>) -> Self {
        Self { printers }
    }

    pub(super) fn printers(&self) -> &[PrinterConfig] {
        &self.printers
    }

    /// Those that have the role, as the configuration lists them, each followed by its fallback and that one's. `@name` is the
    /// printer of that name and no other: a test page or an open drawer is of no use elsewhere.
    pub(super) fn of(&self, role: &str) -> Vec<&PrinterConfig> {
        if let Some(name) = role.strip_prefix('@') {
            return self.printers.iter().filter(|printer| printer.name.as_str() == name).collect();
        }
        let mut route: Vec<&PrinterConfig> = Vec::new();
        for first in self.printers.iter().filter(|printer| printer.roles.iter().any(|own| own.as_str() == role)) {
            let mut next = Some(first);
            while let Some(printer) = next.filter(|printer| !route.iter().any(|known| known.name == printer.name)) {
                route.push(printer);
                next = printer
                    .fallback
                    .as_ref()
                    .and_then(|fallback| self.printers.iter().find(|printer| printer.name == *fallback));
            }
        }
        route
    }

    /// Whose turn it is with a job; none if no printer has its role.
    pub(super) fn turn(&self, job: &PrintJob) -> Option<&PrinterConfig> {
        let route = self.of(&job.role);
        // The configuration may have changed since the place was noted.
        let place = job.progress.printer.checked_rem(route.len())?;
        route.get(place).copied()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    fn printer(name: &str, roles: &[&str], fallback: Option<&str>) -> PrinterConfig {
        let tag = |text: &str| text.parse().expect("valid");
        PrinterConfig {
            name: tag(name),
            address: "tcp://192.0.2.7".parse().expect("valid"),
            profile_name: "80mm".to_owned(),
            profile: printing::Profile::USUAL,
            roles: roles.iter().map(|role| tag(role)).collect(),
            fallback: fallback.map(tag),
            answers: false,
            patience: Duration::from_secs(1),
        }
    }

    #[test]
    fn each_printer_of_a_role_is_followed_by_its_fallbacks() {
        let routes = Routes::new(vec![
            printer("counter", &["receipt"], Some("bar")),
            printer("bar", &["label"], Some("office")),
            printer("office", &["receipt", "report"], Some("counter")),
        ]);
        let check = |role: &str, expected: &[&str]| {
            let names: Vec<&str> = routes.of(role).iter().map(|printer| printer.name.as_str()).collect();
            assert_eq!(names, expected, "{role}");
        };
        check("receipt", &["counter", "bar", "office"]);
        check("label", &["bar", "office", "counter"]);
        check("report", &["office", "counter", "bar"]);
        check("kitchen", &[]);
        check("@bar", &["bar"]);
        check("@nobody", &[]);
    }
}
