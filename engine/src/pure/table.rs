//! [`Table`]: values under ids that are never confused, although places are used again.
//! [`SideTable`]: more about them, kept elsewhere.

use slab::Slab;

/// Names one value of a [`Table`]. An id outlives its value harmlessly: it then finds nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Id {
    index: u32,
    generation: u32,
}

impl Id {
    /// An id that no table gives out.
    pub(crate) const NONE: Self = Self { index: u32::MAX, generation: 0 };

    /// Whether it is the id that no table gives out.
    pub(crate) const fn is_none(self) -> bool {
        self.index == u32::MAX
    }

    /// The place in the table, shared over time by many ids.
    pub(crate) const fn index(self) -> usize {
        self.index as usize
    }

    /// The id as one number, never zero, e.g. for an event token.
    pub(crate) const fn to_bits(self) -> u64 {
        ((self.generation as u64) << 32) | self.index as u64
    }

    /// The id that [`to_bits`](Self::to_bits) made into a number.
    #[expect(clippy::cast_possible_truncation, reason = "takes the number apart again")]
    pub(crate) const fn from_bits(bits: u64) -> Self {
        Self { index: bits as u32, generation: (bits >> 32) as u32 }
    }
}

/// A slab whose ids carry a generation, so that a late completion, cancel or timer of something
/// that has ended finds nothing instead of its successor.
#[derive(Debug)]
pub(crate) struct Table<T> {
    slots: Slab<(u32, T)>,
    generation: u32,
}

impl<T> Table<T> {
    pub(crate) const fn new() -> Self {
        Self { slots: Slab::new(), generation: 0 }
    }

    #[inline]
    pub(crate) fn insert(&mut self, value: T) -> Id {
        // Generation zero is never given out, so that an id is never all zeros. 31 bits, so that a
        // `Cancel` has one bit to spare.
        self.generation = if self.generation == u32::MAX >> 1 { 1 } else { self.generation + 1 };
        let index = self.slots.insert((self.generation, value));
        let index = u32::try_from(index).expect("fewer than 2^32 values");
        Id { index, generation: self.generation }
    }

    #[inline]
    pub(crate) fn get(&self, id: Id) -> Option<&T> {
        match self.slots.get(id.index()) {
            Some((generation, value)) if *generation == id.generation => Some(value),
            _ => None,
        }
    }

    #[inline]
    pub(crate) fn get_mut(&mut self, id: Id) -> Option<&mut T> {
        match self.slots.get_mut(id.index()) {
            Some((generation, value)) if *generation == id.generation => Some(value),
            _ => None,
        }
    }

    #[inline]
    pub(crate) fn remove(&mut self, id: Id) -> Option<T> {
        self.get(id)?;
        Some(self.slots.remove(id.index()).1)
    }

    pub(crate) fn len(&self) -> usize {
        self.slots.len()
    }

    /// The ids of all values, in the order of their places.
    pub(crate) fn ids(&self) -> Vec<Id> {
        let id = |(index, slot): (usize, &(u32, T))| Id {
            index: u32::try_from(index).expect("fewer than 2^32 values"),
            generation: slot.0,
        };
        self.slots.iter().map(id).collect()
    }
}

/// More about the values of a [`Table`], kept elsewhere under their ids.
///
/// The place is the index of the id, so that only the generation is kept with the value.
#[derive(Debug)]
pub(crate) struct SideTable<T>(Vec<Option<(u32, T)>>);

impl<T> SideTable<T> {
    pub(crate) const fn new() -> Self {
        Self(Vec::new())
    }

    /// Puts a value under this id, in the place of what was under an earlier id of that place.
    pub(crate) fn insert(&mut self, id: Id, value: T) {
        if self.0.len() <= id.index() {
            self.0.resize_with(id.index() + 1, || None);
        }
        self.0[id.index()] = Some((id.generation, value));
    }

    #[inline]
    pub(crate) fn get(&self, id: Id) -> Option<&T> {
        match self.0.get(id.index()) {
            Some(Some((generation, value))) if *generation == id.generation => Some(value),
            _ => None,
        }
    }

    #[inline]
    pub(crate) fn get_mut(&mut self, id: Id) -> Option<&mut T> {
        match self.0.get_mut(id.index()) {
            Some(Some((generation, value))) if *generation == id.generation => Some(value),
            _ => None,
        }
    }

    pub(crate) fn remove(&mut self, id: Id) -> Option<T> {
        self.get(id)?;
        self.0[id.index()].take().map(|(_, value)| value)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stale_id_finds_nothing_although_its_place_is_used_again() {
        let mut table = Table::new();
        let old = table.insert("old");
        assert_eq!(table.remove(old), Some("old"));
        let new = table.insert("new");
        assert_eq!(old.index(), new.index());
        assert_eq!(table.get(old), None);
        assert_eq!(table.remove(old), None);
        assert_eq!(table.get(new), Some(&"new"));
        assert_eq!(Id::from_bits(new.to_bits()), new);
    }
}
