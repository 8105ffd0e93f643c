//! The system's clock. What an engine does goes by its own, see
//! [`Core::now`](crate::core::Core::now): that of a simulated one is its network's.

use std::time::Instant;

/// The time now.
#[expect(clippy::disallowed_methods, reason = "the one place that reads the clock")]
pub(crate) fn now() -> Instant {
    Instant::now()
}
