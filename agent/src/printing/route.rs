//! Which printers a job may go to, in order.

use pos_model::TillId;

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

    /// Those of the till that have the role, as the configuration lists them, each followed by its fallback and that one's.
    ///
    /// A printer with tills of its own prints for others only as somebody's fallback. `@name` is the printer of that name and
    /// no other: a test page is of no use elsewhere.
    pub(super) fn of(&self, role: &str, till_id: Option<&TillId>) -> Vec<&PrinterConfig> {
        if let Some(name) = role.strip_prefix('@') {
            return self.printers.iter().filter(|printer| printer.name.as_str() == name).collect();
        }
        let mut route: Vec<&PrinterConfig> = Vec::new();
        let has_role = |printer: &&PrinterConfig| printer.roles.iter().any(|own| own.as_str() == role);
        for first in self.printers.iter().filter(has_role).filter(|printer| printer.serves(till_id)) {
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

    /// The printers that a job may go to, in order.
    pub(super) fn of_job(&self, job: &PrintJob) -> Vec<&PrinterConfig> {
        self.of(&job.role, job.till_id.as_ref())
    }

    /// Whose turn it is with a job; none if no printer of its till has its role.
    pub(super) fn turn(&self, job: &PrintJob) -> Option<&PrinterConfig> {
        let route = self.of_job(job);
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
            tills: Vec::new(),
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
            let names: Vec<&str> = routes.of(role, None).iter().map(|printer| printer.name.as_str()).collect();
            assert_eq!(names, expected, "{role}");
        };
        check("receipt", &["counter", "bar", "office"]);
        check("label", &["bar", "office", "counter"]);
        check("report", &["office", "counter", "bar"]);
        check("kitchen", &[]);
        check("@bar", &["bar"]);
        check("@nobody", &[]);
    }

    #[test]
    fn each_till_has_its_own_printer() {
        let at = |tills: &[&str], printer: PrinterConfig| PrinterConfig {
            tills: tills.iter().map(|till| till.parse().expect("valid")).collect(),
            ..printer
        };
        let routes = Routes::new(vec![
            at(&["T1"], printer("left", &["receipt"], Some("right"))),
            at(&["T2", "T3"], printer("right", &["receipt"], None)),
            printer("office", &["report"], None),
        ]);
        let check = |role: &str, till: &str, expected: &[&str]| {
            let route = routes.of(role, Some(&till.parse().expect("valid")));
            let names: Vec<&str> = route.iter().map(|printer| printer.name.as_str()).collect();
            assert_eq!(names, expected, "{role} of {till}");
        };
        check("receipt", "T1", &["left", "right"]);
        check("receipt", "T2", &["right"]);
        check("receipt", "T3", &["right"]);
        check("receipt", "T4", &[]);
        check("report", "T4", &["office"]);
        check("@left", "T2", &["left"]);
    }
}
