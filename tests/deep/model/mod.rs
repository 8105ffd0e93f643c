//! The reference model: random programs on a simulated engine in bad surroundings, every outcome
//! held against books that are kept independently of it.
//!
//! A program submits reads, writes, accepts, connects, chains, datagrams, repeating operations,
//! copies and closes, between turns and inside callbacks; cancels them, lets their deadlines pass,
//! pauses them, takes, drops and keeps claims, panics. Its peers send, read, end, reset. The network
//! cuts, delays, loses, doubles and breaks; the machine is late, runs out of descriptors, takes and
//! gives only parts. In the end all of that heals, and nothing may be
//! pending, unread, uncounted or open; or the engine is dropped in the middle of it.
//!
//! Each subject has a file, and its first line says which promises are checked there.

mod cancels_and_deadlines;
mod chains;
mod claims;
mod closing;
mod connections;
pub(crate) mod copies;
mod datagram_ledger;
mod datagrams;
pub(crate) mod ending;
pub(crate) mod expect;
mod futures;
pub(crate) mod interruptions;
mod ledger;
mod occasions;
mod outcomes;
mod peers;
mod program;
mod reads;
mod repeats;
mod submit;
pub(crate) mod turns;
pub(crate) mod world;
mod writes;

pub(crate) use program::run;

/// Seeds that found something once, always run again: a deadline behind another read's bytes, a
/// reset that left the other end waiting, a rest for want of descriptors at a deadline, a deadline
/// behind a claim, a matcher of the user's that was shown too little before its deadline, a close
/// that was cancelled when its time was up, bytes that were given back just before the engine went,
/// more bytes than one turn brings behind a claim, more connections at a deadline than one look
/// brings, reads of a stream that is not read ahead behind claims and a matcher of the user's, a
/// chain's read that is the first of its stream at its deadline, a deadline behind reads that look
/// for long, a failure behind a cut write whose rest was taken, time that passed while callbacks
/// ran, a deadline behind a claim that is cancelled.
const CORPUS: [u64; 25] = [
    7,
    27,
    281,
    324,
    615,
    623,
    1074,
    2214,
    6622,
    7843,
    8800,
    10696,
    16045,
    19520,
    28059,
    32943,
    217_812,
    1_091_407,
    7_214_538,
    40_085_911,
    50_083_353,
    50_290_437,
    770_179_200,
    770_312_154,
    910_476_126,
];

/// The same of programs with datagrams, repeating operations and copies: a read that waited for
/// writes behind a copy that waited for the read, and another; a deadline behind a copy that ended in
/// the same turn; a guard that was dropped where its operation stood behind others; and in the
/// simulated network datagrams that were under way when their sender was closed.
const CORPUS_OF_ALL_KINDS: [u64; 8] = [323, 5319, 2755, 33573, 921, 597_583, 457_689, 773_130];

#[test]
fn programs_by_seed() {
    let corpus = [&CORPUS[..], &CORPUS_OF_ALL_KINDS].concat();
    crate::seeds::check(&corpus, 500, run);
}
