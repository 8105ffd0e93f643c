//! Reads whose end is a number of bytes or the end of the stream: [`Chunk`], [`Exact`], [`All`].

use bytes::Bytes;

use crate::pure::{
    error::{Error, Result},
    matcher::{Matcher, Scan},
    mutants::{self, Mutant},
};

/// Takes what there is, as soon as there is anything: 1 to `size` bytes.
///
/// The only matcher that depends on how the network cut the bytes up: it promises *some* prefix.
///
/// # Examples
///
/// ```
/// use facade_engine::matcher::{Chunk, Matcher, Scan};
///
/// let mut chunk = Chunk::new(4)?;
/// assert_eq!(chunk.scan(b"", false), Scan::NeedMore);
/// assert_eq!(chunk.scan(b"ab", false), Scan::Found { end: 2 });
/// assert_eq!(chunk.scan(b"abcdef", false), Scan::Found { end: 4 });
/// # Ok::<(), facade_engine::Error>(())
/// ```
#[derive(Debug, Clone)]
pub struct Chunk {
    size: usize,
}

impl Chunk {
    /// At most `size` bytes.
    ///
    /// # Errors
    ///
    /// [`Error::InvalidInput`] if `size` is zero.
    pub fn new(size: usize) -> Result<Self> {
        if size == 0 {
            return Err(Error::invalid("a chunk of at most 0 bytes can never have any"));
        }
        Ok(Self { size })
    }
}

impl Matcher for Chunk {
    type Output = Bytes;

    #[inline]
    fn scan(&mut self, unread: &[u8], _ended: bool) -> Scan {
        match unread.len().min(self.size) {
            0 => Scan::NeedMore,
            end => Scan::Found { end },
        }
    }

    fn restart(&mut self) {}

    fn output(&mut self, taken: Bytes) -> Result<Bytes> {
        Ok(taken)
    }
}

/// Takes exactly `size` bytes; of zero it needs none, not even the end.
///
/// # Examples
///
/// ```
/// use facade_engine::matcher::{Exact, Matcher, Scan};
///
/// let mut exact = Exact::new(4);
/// assert_eq!(exact.scan(b"abc", true), Scan::NeedMore);
/// assert_eq!(exact.scan(b"abcde", false), Scan::Found { end: 4 });
/// assert_eq!(Exact::new(0).scan(b"", false), Scan::Found { end: 0 });
/// ```
#[derive(Debug, Clone)]
pub struct Exact {
    size: usize,
}

impl Exact {
    /// Exactly `size` bytes.
    #[must_use]
    pub const fn new(size: usize) -> Self {
        Self { size }
    }

    /// As [`scan`](Matcher::scan): how many bytes there are is all that counts.
    #[inline]
    pub(crate) fn scan_len(&self, unread: usize) -> Scan {
        if unread == 0 && mutants::is_active(Mutant::NothingAwaited) {
            return Scan::NeedMore;
        }
        if unread < self.size { Scan::NeedMore } else { Scan::Found { end: self.size } }
    }
}

impl Matcher for Exact {
    type Output = Bytes;

    #[inline]
    fn scan(&mut self, unread: &[u8], _ended: bool) -> Scan {
        self.scan_len(unread.len())
    }

    fn restart(&mut self) {}

    fn output(&mut self, taken: Bytes) -> Result<Bytes> {
        Ok(taken)
    }
}

/// Takes everything up to the end of the stream; nothing, if nothing is left.
///
/// # Examples
///
/// ```
/// use facade_engine::matcher::{All, Matcher, Scan};
///
/// let mut all = All::new();
/// assert_eq!(all.scan(b"abc", false), Scan::NeedMore);
/// assert_eq!(all.scan(b"abc", true), Scan::Found { end: 3 });
/// ```
#[derive(Debug, Clone, Default)]
#[non_exhaustive]
pub struct All {}

impl All {
    /// Everything up to the end.
    #[must_use]
    pub const fn new() -> Self {
        Self {}
    }
}

impl Matcher for All {
    type Output = Bytes;

    #[inline]
    fn scan(&mut self, unread: &[u8], ended: bool) -> Scan {
        if ended { Scan::Found { end: unread.len() } } else { Scan::NeedMore }
    }

    fn restart(&mut self) {}

    fn output(&mut self, taken: Bytes) -> Result<Bytes> {
        Ok(taken)
    }

    /// The end may come right behind as many bytes as the limit allows.
    fn lookahead(&self) -> usize {
        1
    }
}
