//! What costs a search for a regex most.

/// Patterns whose cost is that of their NFA: a table of what it can be in does not pay, because a
/// text leads to something new all the time. With a text for each that does its worst.
pub const HARD: [(&str, &str); 6] = [
    ("a.{200}c", "abdefghijklmnopqrstuvwxyz"),
    ("(a|b)*a(a|b){12}c", "ab"),
    (r"\b\w{1,100}\b.{1,100}\b!!$", "abc  ,"),
    ("x[a-z]{0,4000}!", "abcdefghijklmnopqrstuvwxyz"),
    // The same with half of all bytes an `x`, and with thousands of states at every byte.
    ("x[a-z]{0,4000}!", "xy"),
    ("(?:a?){300}b", "a"),
];

/// Letters of an alphabet in no order, without an end of a match.
pub fn noise(alphabet: &str, len: usize) -> Vec<u8> {
    let mut random = 1_u64;
    let mut letter = || {
        random =
            random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        alphabet.as_bytes()[(random >> 33) as usize % alphabet.len()]
    };
    (0..len).map(|_| letter()).collect()
}
