//! [`Drops`]: counts what was dropped, to find what is leaked or dropped twice.

use std::sync::{
    Arc,
    atomic::{AtomicIsize, Ordering::SeqCst},
};

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
