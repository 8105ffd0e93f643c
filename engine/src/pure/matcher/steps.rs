//! [`Steps`]: how much work a scan may do.

/// A budget of work for [`scan_within`](crate::pure::matcher::Matcher::scan_within).
///
/// A step is what a byte costs that is looked at once, a nanosecond or two. Whoever does more for a
/// byte takes more of them, so that steps are a measure of time that does not depend on the
/// machine.
///
/// # Examples
///
/// ```
/// use facade_engine::matcher::Steps;
///
/// let mut steps = Steps::new(100);
/// steps.take(99);
/// assert_eq!(steps.left(), 1);
/// // Work comes in pieces, and the last one may be larger than what is left.
/// steps.take(10);
/// assert!(steps.are_used_up());
/// ```
#[derive(Debug, Clone)]
pub struct Steps {
    left: usize,
}

impl Steps {
    /// So many.
    #[must_use]
    pub const fn new(steps: usize) -> Self {
        Self { left: steps }
    }

    /// How many are left.
    #[must_use]
    pub const fn left(&self) -> usize {
        self.left
    }

    /// Whether none is left: whoever has more to do says so and stops.
    #[must_use]
    pub const fn are_used_up(&self) -> bool {
        self.left == 0
    }

    /// Uses some, or all if fewer are left.
    #[inline]
    pub const fn take(&mut self, steps: usize) {
        self.left = self.left.saturating_sub(steps);
    }
}

/// Scans until there is an answer.
pub(super) fn without_end<T>(mut scan: impl FnMut(&mut Steps) -> Option<T>) -> T {
    loop {
        if let Some(answer) = scan(&mut Steps::new(usize::MAX)) {
            return answer;
        }
    }
}
