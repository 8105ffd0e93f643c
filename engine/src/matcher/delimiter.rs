//! [`Delimiter`]: reads up to and with a byte string.

use bytes::Bytes;
use memchr::{memchr, memmem};

use crate::{
    error::{Error, Result},
    matcher::{Matcher, Scan, looked_at},
    mutants::{self, Mutant},
};

/// Takes the bytes up to and with a delimiter, which can be any byte string.
///
/// # Examples
///
/// ```
/// use facade_engine::matcher::{Delimiter, Matcher, Scan};
///
/// let mut delimiter = Delimiter::new("\r\n\r\n")?;
/// assert_eq!(delimiter.scan(b"Host: here\r\n\r", false), Scan::NeedMore);
/// assert_eq!(delimiter.scan(b"Host: here\r\n\r\nbody", false), Scan::Found { end: 14 });
/// # Ok::<(), facade_engine::Error>(())
/// ```
#[derive(Debug, Clone)]
pub struct Delimiter {
    needle: Needle,
    /// No delimiter ends within this many bytes.
    scanned: usize,
}

/// One byte, the usual delimiter, needs neither an allocation nor an overlap.
#[derive(Debug, Clone)]
enum Needle {
    Byte(u8),
    Bytes(Box<[u8]>),
}

impl Delimiter {
    /// Up to and with `delimiter`.
    ///
    /// # Errors
    ///
    /// [`Error::InvalidInput`] if the delimiter is empty.
    pub fn new(delimiter: impl AsRef<[u8]>) -> Result<Self> {
        let needle = match *delimiter.as_ref() {
            [] => return Err(Error::invalid("the delimiter is empty")),
            [byte] => Needle::Byte(byte),
            ref bytes => Needle::Bytes(bytes.into()),
        };
        Ok(Self { needle, scanned: 0 })
    }

    /// How long the delimiter is, in bytes.
    pub(crate) fn len(&self) -> usize {
        match &self.needle {
            Needle::Byte(_) => 1,
            Needle::Bytes(needle) => needle.len(),
        }
    }

    /// Where the first delimiter ends.
    pub(crate) fn find(&mut self, unread: &[u8]) -> Option<usize> {
        // The front of a delimiter may have been the last that was seen.
        let late = usize::from(mutants::is_active(Mutant::RescanOffByOne) && self.len() > 1);
        let from = self.scanned.saturating_sub(self.len() - 1 - late);
        let fresh = &unread[from..];
        let found = match &self.needle {
            Needle::Byte(byte) => memchr(*byte, fresh),
            Needle::Bytes(needle) => memmem::find(fresh, needle),
        };
        let end = found.map(|start| from + start + self.len());
        looked_at(end.unwrap_or(unread.len()) - from);
        if end.is_none() {
            self.scanned = unread.len();
        }
        end
    }
}

impl Matcher for Delimiter {
    type Output = Bytes;

    fn scan(&mut self, unread: &[u8], _ended: bool) -> Scan {
        match self.find(unread) {
            Some(end) => Scan::Found { end },
            None => Scan::NeedMore,
        }
    }

    fn restart(&mut self) {
        self.scanned = 0;
    }

    fn output(&mut self, taken: Bytes) -> Result<Bytes> {
        Ok(taken)
    }
}
