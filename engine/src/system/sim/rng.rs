//! [`Rng`]: where everything that happens by chance comes from.

use std::{ops::Range, time::Duration};

/// A generator of random numbers whose sequence depends on its seed alone, on every machine and in
/// every version of this crate: SplitMix64. Not for secrets.
///
/// ```
/// use facade_engine::sim::Rng;
///
/// let (mut one, mut other) = (Rng::new(7), Rng::new(7));
/// assert_eq!(one.next(), other.next());
/// assert!(one.below(6) < 6);
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rng {
    state: u64,
}

impl Rng {
    /// A generator with this seed.
    pub const fn new(seed: u64) -> Self {
        Self { state: seed }
    }

    /// The next number, any of 64 bits.
    pub const fn next(&mut self) -> u64 {
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        scramble(self.state)
    }

    /// A number below `bound`; zero if that is zero.
    pub const fn below(&mut self, bound: u64) -> u64 {
        ((self.next() as u128 * bound as u128) >> 64) as u64
    }

    /// A length or an index below `bound`; zero if that is zero.
    #[expect(clippy::cast_possible_truncation, reason = "below a length")]
    pub const fn index(&mut self, bound: usize) -> usize {
        self.below(bound as u64) as usize
    }

    /// A length from one to `most`; zero if that is zero.
    pub(crate) const fn part_of(&mut self, most: usize) -> usize {
        if most == 0 { 0 } else { 1 + self.index(most) }
    }

    /// Whether something happens that does so in `probability` (0 to 1) of all cases. Draws nothing
    /// if it never does.
    pub fn chance(&mut self, probability: f64) -> bool {
        // 53 bits are what fits in a float without rounding.
        #[expect(clippy::cast_precision_loss, reason = "only 53 bits are left")]
        let drawn = |number: u64| (number >> 11) as f64 / (1_u64 << 53) as f64;
        probability > 0.0 && drawn(self.next()) < probability
    }

    /// A time in `range`: its start if it is empty. Draws nothing then.
    pub fn duration(&mut self, range: &Range<Duration>) -> Duration {
        let width = range.end.saturating_sub(range.start);
        match u64::try_from(width.as_nanos()) {
            Ok(0) => range.start,
            width => range.start + Duration::from_nanos(self.below(width.unwrap_or(u64::MAX))),
        }
    }

    /// One of `items`, or none if there is none.
    pub const fn pick<'a, T>(&mut self, items: &'a [T]) -> Option<&'a T> {
        if items.is_empty() {
            return None;
        }
        Some(&items[self.index(items.len())])
    }

    /// Another generator, which draws from this one only now.
    #[must_use]
    pub const fn fork(&mut self) -> Self {
        Self::new(self.next())
    }
}

/// Makes a number of which every bit depends on every bit of `number`.
pub(crate) const fn scramble(mut number: u64) -> u64 {
    number = (number ^ (number >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    number = (number ^ (number >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    number ^ (number >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_sequence_is_the_published_one() {
        // As Vigna's splitmix64.c prints it for the seed 1234567.
        let mut rng = Rng::new(1_234_567);
        assert_eq!(rng.next(), 6_457_827_717_110_365_317);
        assert_eq!(rng.next(), 3_203_168_211_198_807_973);
    }

    #[test]
    fn draws_stay_in_their_bounds() {
        let mut rng = Rng::new(1);
        let range = Duration::from_millis(2)..Duration::from_millis(5);
        for _ in 0..1000 {
            assert!(rng.below(3) < 3);
            assert!((1..=4).contains(&rng.part_of(4)));
            assert!(range.contains(&rng.duration(&range)));
        }
        assert!(!rng.chance(0.0) && rng.chance(1.0));
        assert_eq!(rng.duration(&(Duration::ZERO..Duration::ZERO)), Duration::ZERO);
    }
}
