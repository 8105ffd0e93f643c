//! The line service without its sockets: the answer to what arrived, and the unfinished rest.

use memchr::{memchr, memchr_iter};

/// A line has more than [`LONGEST`] bytes: its connection is to be closed.
#[derive(Debug)]
pub(crate) struct TooLong;

/// Appends the answer to `arrived`: each line with CRLF. `rest` is the line that is not finished.
pub(crate) fn answer(
    arrived: &[u8],
    rest: &mut Vec<u8>,
    answer: &mut Vec<u8>,
) -> Result<(), TooLong> {
    let mut start = 0;
    if !rest.is_empty() {
        let end = memchr(b'\n', arrived);
        rest.extend_from_slice(&arrived[..end.unwrap_or(arrived.len())]);
        if rest.len() > LONGEST {
            return Err(TooLong);
        }
        let Some(end) = end else { return Ok(()) };
        push(answer, &std::mem::take(rest));
        start = end + 1;
    }
    let arrived = &arrived[start..];
    let mut start = 0;
    for end in memchr_iter(b'\n', arrived) {
        push(answer, &arrived[start..end]);
        start = end + 1;
    }
    rest.extend_from_slice(&arrived[start..]);
    Ok(())
}

fn push(answer: &mut Vec<u8>, line: &[u8]) {
    answer.extend_from_slice(line.strip_suffix(b"\r").unwrap_or(line));
    answer.extend_from_slice(b"\r\n");
}

const LONGEST: usize = 1024 * 1024;

#[cfg(test)]
mod tests {
    use super::*;

    /// The answer to `pieces`, arriving one after the other, and the rest.
    fn answer_to<'a>(pieces: impl IntoIterator<Item = &'a [u8]>) -> (Vec<u8>, Vec<u8>) {
        let (mut rest, mut out) = (Vec::new(), Vec::new());
        for piece in pieces {
            answer(piece, &mut rest, &mut out).unwrap();
        }
        (out, rest)
    }

    #[test]
    fn all_lines_that_arrived_are_answered() {
        let (out, rest) = answer_to([&b"one\n\ntwo\r\nthr"[..]]);
        assert_eq!(out, b"one\r\n\r\ntwo\r\n");
        assert_eq!(rest, b"thr");
    }

    #[test]
    fn the_answer_does_not_depend_on_the_pieces() {
        let text = b"one\ntwo\r\n\nthree\r\n\rfour\nfi";
        let whole = answer_to([&text[..]]);
        for size in 1..text.len() {
            assert_eq!(answer_to(text.chunks(size)), whole, "in pieces of {size}");
        }
    }

    #[test]
    fn a_line_without_end_is_an_error() {
        let (mut rest, mut out) = (Vec::new(), Vec::new());
        let piece = [b'x'; 1024];
        let pieces = (0..).take_while(|_| answer(&piece, &mut rest, &mut out).is_ok()).count();
        assert_eq!(pieces, LONGEST / piece.len());
        assert_eq!(out, b"");
    }
}
