//! Places in a list, in words for people.

use std::fmt;

/// A place in a list, counted from one, as people say it: the 1st, the 2nd. Programs count from zero; a number that stands
/// alone in a text would be taken for theirs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Nth(pub usize);

impl fmt::Display for Nth {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ending = match (self.0 % 100, self.0 % 10) {
            (11..=13, _) => "th",
            (_, 1) => "st",
            (_, 2) => "nd",
            (_, 3) => "rd",
            _ => "th",
        };
        write!(f, "{}{ending}", self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_said_as_people_say_them() {
        let check = |place: usize, expected: &str| assert_eq!(Nth(place).to_string(), expected);
        check(1, "1st");
        check(2, "2nd");
        check(3, "3rd");
        check(4, "4th");
        check(11, "11th");
        check(12, "12th");
        check(13, "13th");
        check(20, "20th");
        check(21, "21st");
        check(103, "103rd");
        check(112, "112th");
    }
}
