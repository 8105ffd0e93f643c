//! [`Delimiter`]: reads up to and with a byte string.

use std::sync::{Arc, OnceLock};

use bytes::Bytes;
use memchr::{memchr, memmem};

use crate::pure::{
    error::{Error, Result},
    matcher::{Matcher, Scan, Steps, looked_at, steps::without_end},
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

#[derive(Debug, Clone)]
enum Needle {
    /// The usual delimiter needs no memory of its own.
    Tiny(Tiny),
    /// Of a short one, as many bytes as it has are looked at again for every piece.
    Short(Bytes),
    /// It goes on where it was.
    Long(Long),
}

/// A delimiter of a few bytes, in place. How far it has been looked for is kept beside it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Tiny {
    bytes: [u8; TINY_MAX],
    len: u8,
}

#[derive(Debug, Clone)]
struct Long {
    searcher: Arc<Searcher>,
    /// How many of the last bytes that were seen may be the front of a delimiter.
    begun: usize,
}

/// Made once for a long needle.
#[derive(Debug)]
struct Searcher {
    finder: memmem::Finder<'static>,
    /// For each front of the needle, how much of its end is a shorter front (the failure function
    /// of Knuth, Morris and Pratt). None until a piece ends with the front of a delimiter.
    borders: OnceLock<Vec<u32>>,
}

impl Delimiter {
    /// Up to and with `delimiter`.
    ///
    /// # Errors
    ///
    /// [`Error::InvalidInput`] if the delimiter is empty, or longer than 16 MiB.
    pub fn new(delimiter: impl AsRef<[u8]>) -> Result<Self> {
        let needle = match *delimiter.as_ref() {
            [] => return Err(Error::invalid("the delimiter is empty")),
            ref bytes if let Some(tiny) = Tiny::new(bytes) => Needle::Tiny(tiny),
            ref bytes if bytes.len() <= SHORT_MAX => Needle::Short(Bytes::copy_from_slice(bytes)),
            ref bytes if bytes.len() <= LENGTH_MAX => {
                let finder = memmem::Finder::new(bytes).into_owned();
                let searcher = Arc::new(Searcher { finder, borders: OnceLock::new() });
                Needle::Long(Long { searcher, begun: 0 })
            }
            ref bytes => {
                return Err(Error::invalid(format_args!(
                    "a delimiter of {} bytes, and {LENGTH_MAX} is the most",
                    bytes.len()
                )));
            }
        };
        Ok(Self { needle, scanned: 0 })
    }

    /// The same without a copy of a short one.
    pub(crate) fn from_bytes(delimiter: Bytes) -> Result<Self> {
        if (TINY_MAX + 1..=SHORT_MAX).contains(&delimiter.len()) {
            return Ok(Self { needle: Needle::Short(delimiter), scanned: 0 });
        }
        Self::new(delimiter)
    }

    /// The delimiter.
    pub(crate) fn needle(&self) -> &[u8] {
        match &self.needle {
            Needle::Tiny(tiny) => tiny.needle(),
            Needle::Short(needle) => needle,
            Needle::Long(long) => long.searcher.finder.needle(),
        }
    }

    /// The same in place, if it is that short. It has not been looked for.
    pub(crate) const fn tiny(&self) -> Option<Tiny> {
        match self.needle {
            Needle::Tiny(tiny) => Some(tiny),
            _ => None,
        }
    }

    /// How long the delimiter is, in bytes.
    pub(crate) fn len(&self) -> usize {
        self.needle().len()
    }

    /// Where the first delimiter ends; `None` if the steps did not do.
    pub(crate) fn find(&mut self, unread: &[u8], steps: &mut Steps) -> Option<Option<usize>> {
        let len = self.len();
        while self.scanned < unread.len() {
            if steps.are_used_up() {
                return None;
            }
            let end = unread.len().min(self.scanned + PIECE_MAX.max(4 * len));
            steps.take((end - self.scanned) / BYTES_A_STEP + 1);
            if let Some(end) = self.find_in(&unread[..end]) {
                return Some(Some(end));
            }
            self.scanned = end;
        }
        Some(None)
    }

    #[inline(always)]
    fn find_in(&mut self, shown: &[u8]) -> Option<usize> {
        match &mut self.needle {
            Needle::Tiny(tiny) => tiny.find(shown, self.scanned),
            Needle::Short(needle) => find(needle, shown, self.scanned),
            Needle::Long(long) => long.find(shown, self.scanned),
        }
    }
}

impl Tiny {
    /// None if it has more bytes than that, or none.
    pub(crate) fn new(delimiter: &[u8]) -> Option<Self> {
        let mut bytes = [0; TINY_MAX];
        bytes.get_mut(..delimiter.len())?.copy_from_slice(delimiter);
        let len = u8::try_from(delimiter.len()).ok().filter(|len| *len > 0)?;
        Some(Self { bytes, len })
    }

    fn needle(&self) -> &[u8] {
        &self.bytes[..usize::from(self.len)]
    }

    /// Looks for its first end, of which there is none within `scanned` bytes.
    #[inline]
    pub(crate) fn scan(&self, unread: &[u8], scanned: &mut usize) -> Scan {
        match self.find(unread, *scanned) {
            Some(end) => Scan::Found { end },
            None => {
                *scanned = unread.len();
                Scan::NeedMore
            }
        }
    }

    #[inline(always)]
    fn find(&self, shown: &[u8], scanned: usize) -> Option<usize> {
        find(self.needle(), shown, scanned)
    }
}

/// Where the first delimiter ends, of which none does within the first `scanned` bytes.
#[inline(always)]
fn find(needle: &[u8], shown: &[u8], scanned: usize) -> Option<usize> {
    // The front of a delimiter may have been the last that was seen.
    let late = usize::from(mutants::is_active(Mutant::RescanOffByOne) && needle.len() > 1);
    let from = scanned.saturating_sub(needle.len() - 1 - late);
    let found = match needle {
        [byte] => memchr(*byte, &shown[from..]),
        _ => memmem::find(&shown[from..], needle),
    };
    let end = found.map(|start| from + start + needle.len());
    looked_at(end.unwrap_or(shown.len()) - from);
    end
}

impl Long {
    /// Where the first delimiter ends, of which none does within the first `scanned` bytes.
    fn find(&mut self, shown: &[u8], scanned: usize) -> Option<usize> {
        let finder = &self.searcher.finder;
        let len = finder.needle().len();
        if shown.len() - scanned < len {
            return self.step(shown, scanned);
        }
        let from = scanned - self.begun;
        if let Some(start) = finder.find(&shown[from..]) {
            looked_at(start + len);
            return Some(from + start + len);
        }
        looked_at(shown.len() - from);
        self.begun = 0;
        // Too few for a whole one.
        self.step(shown, shown.len() - (len - 1))
    }

    /// Goes on byte by byte from `from`, to where one ends.
    fn step(&mut self, shown: &[u8], from: usize) -> Option<usize> {
        let Searcher { finder, borders: known } = &*self.searcher;
        let needle = finder.needle();
        let borders = known.get_or_init(|| borders(needle));
        let mut begun = self.begun;
        for (index, &byte) in shown[from..].iter().enumerate() {
            looked_at(1);
            begun = longer(needle, borders, begun, byte);
            if begun == needle.len() {
                return Some(from + index + 1);
            }
        }
        self.begun = begun;
        None
    }
}

/// How many of the last bytes are a front of `needle` if `begun` were and this follows.
#[inline]
fn longer(needle: &[u8], borders: &[u32], mut begun: usize, byte: u8) -> usize {
    while begun > 0 && needle[begun] != byte {
        begun = borders[begun - 1] as usize;
    }
    begun + usize::from(needle[begun] == byte)
}

/// For each front of `needle`, how much of its end is a shorter front.
fn borders(needle: &[u8]) -> Vec<u32> {
    let mut borders = vec![0; needle.len()];
    for at in 1..needle.len() {
        let border = longer(needle, &borders, borders[at - 1] as usize, needle[at]);
        borders[at] = u32::try_from(border).expect("a delimiter is not that long");
    }
    borders
}

impl Matcher for Delimiter {
    type Output = Bytes;

    fn scan(&mut self, unread: &[u8], ended: bool) -> Scan {
        without_end(|steps| self.scan_within(unread, ended, steps))
    }

    fn scan_within(&mut self, unread: &[u8], _ended: bool, steps: &mut Steps) -> Option<Scan> {
        Some(match self.find(unread, steps)? {
            Some(end) => Scan::Found { end },
            None => Scan::NeedMore,
        })
    }

    fn restart(&mut self) {
        self.scanned = 0;
        if let Needle::Long(long) = &mut self.needle {
            long.begun = 0;
        }
    }

    fn output(&mut self, taken: Bytes) -> Result<Bytes> {
        Ok(taken)
    }
}

/// How long a delimiter is that is kept in place: what a read has room for beside its kind.
const TINY_MAX: usize = 6;

/// How long a delimiter is whose searcher costs more than what it saves.
const SHORT_MAX: usize = 32;

/// The longest delimiter, in bytes.
const LENGTH_MAX: usize = 16 << 20;

/// How many bytes are looked at before the steps are looked at again, if the delimiter is not long.
const PIECE_MAX: usize = 64 << 10;

/// How many bytes take a step: they are compared many at a time.
const BYTES_A_STEP: usize = 4;
