//! [`Drops`]: counts what was dropped, to find what is leaked or dropped twice. [`Bomb`]: panics as
//! it is.

use std::{
    panic::resume_unwind,
    sync::{
        Arc,
        atomic::{AtomicIsize, Ordering::SeqCst},
    },
};

use facade_engine::Bytes;

/// Hands out [`Token`]s and counts those that live.
#[derive(Debug, Clone, Default)]
pub struct Drops {
    alive: Arc<AtomicIsize>,
}

/// One of those that are counted.
#[derive(Debug)]
pub struct Token {
    alive: Arc<AtomicIsize>,
}

impl Drops {
    /// None is alive.
    pub fn new() -> Self {
        Self::default()
    }

    /// One more.
    pub fn token(&self) -> Token {
        self.alive.fetch_add(1, SeqCst);
        Token { alive: Arc::clone(&self.alive) }
    }

    /// How many live.
    pub fn alive(&self) -> isize {
        self.alive.load(SeqCst)
    }
}

impl Drop for Token {
    fn drop(&mut self) {
        self.alive.fetch_sub(1, SeqCst);
    }
}

/// Panics when it is dropped.
#[derive(Debug)]
pub struct Bomb {
    _token: Token,
    bytes: Vec<u8>,
}

impl Bomb {
    /// How many bytes one holds.
    pub const LEN: usize = 32 << 10;

    /// One that is counted.
    pub fn new(drops: &Drops) -> Self {
        Self { _token: drops.token(), bytes: vec![b'x'; Self::LEN] }
    }

    /// Its bytes, which it goes with.
    pub fn bytes(drops: &Drops) -> Bytes {
        Self::bytes_of(drops, Self::LEN)
    }

    /// So many bytes, which it goes with.
    pub fn bytes_of(drops: &Drops, len: usize) -> Bytes {
        Bytes::from_owner(Self { _token: drops.token(), bytes: vec![b'x'; len] })
    }
}

impl AsRef<[u8]> for Bomb {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

impl Drop for Bomb {
    fn drop(&mut self) {
        // The hook need not say it.
        resume_unwind(Box::new("a bomb"));
    }
}
