//! `AI_*` and `EAI_ADDRFAMILY` of getaddrinfo(3), as C libraries number them.

use dns_lookup::{AddrInfo, AddrInfoHints, LookupError};

pub(crate) const PASSIVE: i32 = 1;
pub(crate) const CANONICAL_NAME: i32 = 2;
pub(crate) const NUMERIC_HOST: i32 = 4;

/// glibc and musl.
#[cfg(target_os = "linux")]
mod numbers {
    pub(crate) const V4_MAPPED: i32 = 0x8;
    pub(crate) const ADDR_CONFIG: i32 = 0x20;
    pub(crate) const NO_SUCH_FAMILY: i32 = -9;
}

/// The BSDs, macOS, Android.
#[cfg(not(target_os = "linux"))]
mod numbers {
    pub(crate) const V4_MAPPED: i32 = 0x800;
    pub(crate) const ADDR_CONFIG: i32 = 0x400;
    pub(crate) const NO_SUCH_FAMILY: i32 = 1;
}

pub(crate) use self::numbers::*;

/// What the system answers.
pub(crate) type Answer = Result<Vec<AddrInfo>, LookupError>;
/// Who is told.
pub(crate) type Told = Box<dyn FnOnce(Answer) + Send>;

/// There is none.
#[derive(Debug)]
pub(crate) enum Lookup {}

impl Lookup {
    /// Never asked for.
    pub(crate) const fn let_go(self) {
        match self {}
    }
}

/// C libraries ask on the thread that calls them: nobody is told.
pub(crate) fn begin(
    _host: Option<&str>,
    _service: &str,
    _hints: AddrInfoHints,
    _told: Told,
) -> Option<Lookup> {
    None
}
