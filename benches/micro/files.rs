//! A file in the page cache, by position, in pieces of 64 KiB: one at a time, and 16.

use std::io::{Seek, Write};

use divan::{Bencher, counter::BytesCount};
use facade_engine::{Callback, File, Handle, Local};

use crate::engine;

const PIECE: usize = 64 << 10;
const LEN: usize = 64 << 20;

#[divan::bench(args = [1, 16])]
fn read_a_cached_file(bencher: Bencher<'_, '_>, depth: usize) {
    /// Reads every `depth`-th piece from `offset` on.
    fn next(handle: &Handle, file: File, offset: usize, depth: usize) {
        if offset >= LEN {
            return;
        }
        let again = file.clone();
        let told = move |local: &Local, bytes: facade_engine::Bytes| {
            assert_eq!(bytes.len(), PIECE);
            next(local, again, offset + depth * PIECE, depth);
        };
        let cb = Callback::new(told, |_, error| panic!("{error}"));
        handle.read_at(&file, offset as u64, PIECE, cb);
    }
    let engine = engine();
    let mut file = tempfile::tempfile().expect("a temporary file");
    file.write_all(&vec![7; LEN]).expect("room for it");
    file.rewind().expect("a regular file");
    let file = engine.attach_file(file).expect("a regular file");
    bencher.counter(BytesCount::new(LEN)).bench_local(|| {
        for lane in 0..depth {
            next(&engine, file.clone(), lane * PIECE, depth);
        }
        engine.run().expect("nothing fails");
    });
}
