//! Where a read ends: what comes at once, and a byte at a time.

use divan::{Bencher, black_box, counter::BytesCount};
use facade_benches::hard::{HARD, noise};
use facade_engine::{
    Bytes, LineGlob, Pattern, Patterns, Regex,
    matcher::{Any, Delimiter, Line, LineGlobSearch, Matcher, RegexSearch, Scan},
};
use regex_automata::{
    hybrid,
    nfa::thompson::{self, pikevm::PikeVM},
    util::syntax,
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
#[divan::bench(args = COUNTS)]
fn any_of_patterns(bencher: Bencher<'_, '_>, patterns: usize) {
    scan(bencher, &text(), LEN, || Any::new(byte_strings(patterns)).expect("none is empty"));
}

/// The same, made once for all reads.
#[divan::bench(args = COUNTS)]
fn any_of_patterns_compiled(bencher: Bencher<'_, '_>, patterns: usize) {
    let patterns = Patterns::new(byte_strings(patterns)).expect("none is empty");
    scan(bencher, &text(), LEN, || Any::new(&patterns).expect("there are some"));
}

/// That many regexes at once, which have been compiled one by one.
#[divan::bench(args = COUNTS)]
fn any_of_regexes(bencher: Bencher<'_, '_>, patterns: usize) {
    let patterns = regexes(patterns);
    scan(bencher, &text(), LEN, || Any::new(patterns.clone()).expect("there are some"));
}

/// The same, made one automaton once for all reads.
#[divan::bench(args = COUNTS)]
fn any_of_regexes_compiled(bencher: Bencher<'_, '_>, patterns: usize) {
    let patterns = Patterns::new(regexes(patterns)).expect("there are some");
    scan(bencher, &text(), LEN, || Any::new(&patterns).expect("there are some"));
}

/// A read that finds one of so many prompts, the last, in what comes at once.
#[divan::bench(args = FEW)]
fn any_short_read(bencher: Bencher<'_, '_>, patterns: usize) {
    let patterns = prompts(patterns);
    bencher.bench(|| read(Any::new(patterns.iter().cloned())));
}

/// The same, made once for all reads.
#[divan::bench(args = FEW)]
fn any_short_read_compiled(bencher: Bencher<'_, '_>, patterns: usize) {
    let patterns = Patterns::new(prompts(patterns)).expect("there are some");
    bencher.bench(|| read(Any::new(&patterns)));
}

/// A short read that finds the last of so many regexes.
#[divan::bench(args = FEW)]
fn any_short_read_of_regexes(bencher: Bencher<'_, '_>, patterns: usize) {
    let patterns = prompt_regexes(patterns);
    bencher.bench(|| read(Any::new(patterns.iter().cloned())));
}

/// The same, made one automaton once for all reads.
#[divan::bench(args = FEW)]
fn any_short_read_of_regexes_compiled(bencher: Bencher<'_, '_>, patterns: usize) {
    let patterns = Patterns::new(prompt_regexes(patterns)).expect("there are some");
    bencher.bench(|| read(Any::new(&patterns)));
}

const COUNTS: [usize; 5] = [1, 4, 16, 64, 1000];

const FEW: [usize; 5] = [1, 2, 3, 8, 16];

fn byte_strings(count: usize) -> impl Iterator<Item = Pattern> {
    (0..count).map(|number| Pattern::bytes(format!("PATTERN {number:03}")))
}

fn regexes(count: usize) -> Vec<Pattern> {
    let regex = |number| Regex::new(&format!("250 [A-Z]+ {number:04}")).expect("a regex");
    (0..count).map(|number| Pattern::regex(regex(number))).collect()
}

/// The last of them is the one that comes.
fn prompts(count: usize) -> Vec<Pattern> {
    (1..=count).rev().map(|number| Pattern::bytes(format!("login {number}: "))).collect()
}

fn prompt_regexes(count: usize) -> Vec<Pattern> {
    let regex = |number| Regex::new(&format!("login +{number}: ")).expect("a regex");
    (1..=count).rev().map(|number| Pattern::regex(regex(number))).collect()
}

fn read(any: facade_engine::Result<Any>) -> facade_engine::AnyMatch {
    let mut any = any.expect("there are some patterns");
    let unread = Bytes::from_static(b"Welcome to the machine!\r\nlogin 1: ");
    assert_eq!(black_box(any.scan(&unread, false)), Scan::Found { end: unread.len() });
    any.output(unread).expect("no output of patterns fails")
}

const NUMBERS: std::ops::Range<usize> = 0..HARD.len();

fn nfa(pattern: &str) -> thompson::NFA {
    thompson::Compiler::new()
        .syntax(syntax::Config::new().unicode(false).utf8(false))
        .configure(thompson::Config::new().utf8(false))
        .build(pattern)
        .expect("a regex")
}

/// Our matcher. The pattern is compiled anew each time, so that nothing is left of the run before.
#[divan::bench(args = NUMBERS)]
fn hard_regex(bencher: Bencher<'_, '_>, number: usize) {
    let (pattern, alphabet) = HARD[number];
    let text = noise(alphabet, LEN);
    let new = || RegexSearch::new(Regex::new(pattern).expect("a regex"));
    bencher
        .counter(BytesCount::new(LEN))
        .with_inputs(new)
        .bench_local_values(|mut search| assert_eq!(search.scan(&text, false), Scan::NeedMore));
}

/// The same patterns and texts with the Pike VM of `regex-automata`, asked for the end only.
#[divan::bench(args = NUMBERS)]
fn hard_regex_by_pike_vm(bencher: Bencher<'_, '_>, number: usize) {
    let (pattern, alphabet) = HARD[number];
    let text = noise(alphabet, LEN);
    let vm = PikeVM::new_from_nfa(nfa(pattern)).expect("a regex");
    bencher
        .counter(BytesCount::new(LEN))
        .with_inputs(|| vm.create_cache())
        .bench_local_values(|mut cache| assert!(!vm.is_match(&mut cache, &text)));
}

/// And with its lazy DFA.
#[divan::bench(args = NUMBERS)]
fn hard_regex_by_lazy_dfa(bencher: Bencher<'_, '_>, number: usize) {
    let (pattern, alphabet) = HARD[number];
    let text = noise(alphabet, LEN);
    let config = hybrid::dfa::Config::new().skip_cache_capacity_check(true);
    let mut builder = hybrid::dfa::Builder::new();
    let dfa = builder.configure(config).build_from_nfa(nfa(pattern)).expect("a regex");
    let input = regex_automata::Input::new(&text);
    bencher.counter(BytesCount::new(LEN)).with_inputs(|| dfa.create_cache()).bench_local_values(
        |mut cache| {
            assert_eq!(dfa.try_search_fwd(&mut cache, &input).expect("no quits"), None);
        },
    );
}
