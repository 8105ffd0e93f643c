//! [`List`]: operations that wait at a resource, in order, linked through their table.

use crate::pure::table::{Id, Table};

/// The first and the last of a chain of linked values. Takes no memory of its own, however many
/// connections wait with one read each.
#[derive(Debug, Clone, Copy)]
pub(crate) struct List {
    head: Id,
    tail: Id,
}

/// The neighbours of a value in its queue.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Links {
    before: Id,
    behind: Id,
}

/// A value that can be in one queue.
pub(crate) trait Linked {
    fn links(&mut self) -> &mut Links;
}

impl Links {
    pub(crate) const NONE: Self = Self { before: Id::NONE, behind: Id::NONE };
}

impl List {
    pub(crate) const EMPTY: Self = Self { head: Id::NONE, tail: Id::NONE };

    pub(crate) fn head(&self) -> Option<Id> {
        (self.head != Id::NONE).then_some(self.head)
    }

    /// The only one, if there is one and no other.
    #[inline]
    pub(crate) fn sole(&self) -> Option<Id> {
        (self.head != Id::NONE && self.head == self.tail).then_some(self.head)
    }

    #[inline]
    pub(crate) const fn is_empty(&self) -> bool {
        self.head.is_none()
    }

    /// The one behind `id`.
    pub(crate) fn behind<T: Linked>(&self, table: &mut Table<T>, id: Id) -> Option<Id> {
        let behind = table.get_mut(id)?.links().behind;
        (behind != Id::NONE).then_some(behind)
    }

    pub(crate) fn push_back<T: Linked>(&mut self, table: &mut Table<T>, id: Id) {
        if self.is_empty() {
            // Fresh values have no links, and leave with none.
            *self = Self { head: id, tail: id };
            return;
        }
        let links = Links { before: self.tail, behind: Id::NONE };
        *table.get_mut(id).expect("queued while alive").links() = links;
        match table.get_mut(self.tail) {
            Some(tail) => tail.links().behind = id,
            None => self.head = id,
        }
        self.tail = id;
    }

    /// Takes a value out, wherever in the queue it is.
    pub(crate) fn remove<T: Linked>(&mut self, table: &mut Table<T>, id: Id) {
        if self.sole() == Some(id) {
            *self = Self::EMPTY;
            return;
        }
        let value = table.get_mut(id).expect("in a queue while alive");
        let Links { before, behind } = std::mem::replace(value.links(), Links::NONE);
        match table.get_mut(before) {
            Some(before) => before.links().behind = behind,
            None => self.head = behind,
        }
        match table.get_mut(behind) {
            Some(behind) => behind.links().before = before,
            None => self.tail = before,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    impl Linked for Links {
        fn links(&mut self) -> &mut Links {
            self
        }
    }

    #[test]
    fn values_leave_from_anywhere_and_the_rest_keep_their_order() {
        for leaver in 0..3 {
            let (mut table, mut queue) = (Table::new(), List::EMPTY);
            let ids = [(); 3].map(|()| table.insert(Links::NONE));
            ids.iter().for_each(|&id| queue.push_back(&mut table, id));
            queue.remove(&mut table, ids[leaver]);
            queue.push_back(&mut table, ids[leaver]);
            let mut order = Vec::new();
            while let Some(id) = queue.head() {
                queue.remove(&mut table, id);
                order.push(ids.iter().position(|&other| other == id).unwrap());
            }
            let mut expected: Vec<_> = (0..3).filter(|&n| n != leaver).collect();
            expected.push(leaver);
            assert_eq!(order, expected);
            assert!(queue.is_empty());
        }
    }
}
