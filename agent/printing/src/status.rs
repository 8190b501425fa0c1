//! Asking a printer how it is, where it answers. Many never do, so nobody asks unless the configuration says that it answers.

/// Asks before a document: can it print? A printer answers at once, also while it stands still (`DLE EOT 2`, `DLE EOT 4`).
pub const ASK_READY: [u8; 6] = [0x10, 0x04, 2, 0x10, 0x04, 4];
/// Bytes that answer [`ASK_READY`].
pub const READY_BYTES: usize = 2;
/// Asks behind a document: is it printed? The question waits its turn behind the lines before it, so its answer means that all of
/// them are on paper (`GS r 1`).
pub const ASK_DONE: [u8; 3] = [0x1D, b'r', 1];
/// Bytes that answer [`ASK_DONE`].
pub const DONE_BYTES: usize = 1;

/// How a printer is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ready {
    /// It can print.
    Yes,
    /// The cover is open.
    CoverOpen,
    /// The paper is out.
    PaperOut,
    /// It has another trouble, such as a jammed knife.
    Fault,
    /// It said something that is no answer.
    Unclear,
}

/// Reads the answer to [`ASK_READY`].
pub fn ready(answer: [u8; READY_BYTES]) -> Ready {
    let [cause, paper] = answer;
    if !is_real_time(cause) || !is_real_time(paper) {
        Ready::Unclear
    } else if cause & 0x04 != 0 {
        Ready::CoverOpen
    } else if paper & 0x60 != 0 || cause & 0x20 != 0 {
        Ready::PaperOut
    } else if cause & 0x40 != 0 {
        Ready::Fault
    } else {
        Ready::Yes
    }
}

/// Reads the answer to [`ASK_DONE`]: whether everything before the question was printed, with paper to the end.
pub fn done(answer: u8) -> bool {
    answer & 0x90 == 0 && answer & 0x0C == 0
}

/// Bits that are fixed in each answer to a real-time question.
fn is_real_time(byte: u8) -> bool {
    byte & 0x93 == 0x12
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_mean_what_the_manual_says() {
        let check = |answer: [u8; 2], expected: Ready| assert_eq!(ready(answer), expected, "{answer:x?}");
        check([0x12, 0x12], Ready::Yes);
        check([0x12, 0x1E], Ready::Yes);
        check([0x16, 0x12], Ready::CoverOpen);
        check([0x32, 0x72], Ready::PaperOut);
        check([0x12, 0x72], Ready::PaperOut);
        check([0x52, 0x12], Ready::Fault);
        check([0x00, 0x12], Ready::Unclear);
        check([0xFF, 0xFF], Ready::Unclear);
        assert!(done(0) && done(3) && !done(0x0C) && !done(0x12));
    }
}
