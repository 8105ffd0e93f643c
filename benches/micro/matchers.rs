//! Where a read ends: what comes at once, and a byte at a time.

use divan::{Bencher, black_box, counter::BytesCount};
use facade_engine::{
    LineGlob, Pattern, Regex,
    matcher::{Any, Delimiter, Line, LineGlobSearch, Matcher, RegexSearch, Scan},
};

const LEN: usize = 64 << 10;

/// Text in lines of 64 bytes without a match.
fn text() -> Vec<u8> {
    let letters = (b'a'..b'x').cycle();
    letters
        .zip(0..LEN)
        .map(|(letter, index)| if index % 64 == 63 { b'\n' } else { letter })
        .collect()
}

fn scan<M: Matcher>(
    bencher: Bencher<'_, '_>,
    text: &[u8],
    piece: usize,
    new: impl Fn() -> M + Sync,
) {
    bencher.counter(BytesCount::new(text.len())).bench(|| {
        let mut matcher = new();
        let ends = (1..=text.len() / piece).map(|count| count * piece);
        for end in ends {
            assert_eq!(black_box(matcher.scan(&text[..end], false)), Scan::NeedMore);
        }
    });
}

const PIECES: [usize; 3] = [LEN, 64, 1];

#[divan::bench(args = PIECES)]
fn delimiter(bencher: Bencher<'_, '_>, piece: usize) {
    scan(bencher, &text(), piece, || Delimiter::new("\r\n\r\n").expect("not empty"));
}

#[divan::bench(args = PIECES)]
fn line(bencher: Bencher<'_, '_>, piece: usize) {
    scan(bencher, &[b'x'; LEN], piece, Line::new);
}

#[divan::bench(args = PIECES)]
fn lineglob(bencher: Bencher<'_, '_>, piece: usize) {
    let glob = LineGlob::new("220 *ready*").expect("a glob");
    scan(bencher, &text(), piece, || LineGlobSearch::new(glob.clone()));
}

#[divan::bench(args = PIECES)]
fn regex(bencher: Bencher<'_, '_>, piece: usize) {
    let regex = Regex::new(r"(?m)^250 [A-Z]+$").expect("a regex");
    scan(bencher, &text(), piece, || RegexSearch::new(regex.clone()));
}

/// That many byte patterns at once.
#[divan::bench(args = [1, 4, 16, 64])]
fn any_of_patterns(bencher: Bencher<'_, '_>, patterns: usize) {
    let new = || {
        let all = (0..patterns).map(|number| Pattern::bytes(format!("PATTERN {number:03}")));
        Any::new(all).expect("none is empty")
    };
    scan(bencher, &text(), LEN, new);
}
