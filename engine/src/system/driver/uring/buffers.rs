//! [`Buffers`]: the memory that all receptions share, lent to the kernel, to users, and back. See
//! io_uring_register_buf_ring(3).
//!
//! A buffer is always in one of three places: in the kernel's ring, where only the kernel writes to
//! it; filled and not looked at yet; or lent to a user as `Bytes`, from which it comes back when
//! the last reference is dropped, on whichever thread. Only half of them are lent at a time, so
//! whatever users keep, receptions go on.
#![expect(unsafe_code, reason = "the kernel writes to this memory, and users read it")]

use std::{
    io, mem,
    ptr::{self, NonNull},
    slice,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, AtomicU16, Ordering::*},
    },
};

use bytes::Bytes;
use io_uring::types::BufRingEntry;
use rustix::mm::{MapFlags, ProtFlags, mmap_anonymous};

use crate::system::{
    driver::uring::exposed::{set_lent, unmap},
    fork::Process,
};

/// How many buffers there are; a power of two.
const COUNT: u16 = 128;
/// How many of them are in use at first. The kernel takes them in turn, so each soon has memory
/// behind it, and the fewer there are the sooner one is used again, while it is still in cache.
const FIRST: u16 = 32;
/// How much each holds: large messages cost a call in the kernel for each.
pub(super) const LEN: usize = 64 << 10;
/// What is received is lent from this size on. Less is copied: what users keep must not pin much
/// more.
const LENT_MIN: usize = LEN / 4;

/// The buffers and the ring in which the kernel finds them.
pub(super) struct Buffers {
    memory: Arc<Memory>,
    count: u16,
    /// How many are in use, the others wait for [`grow`](Self::grow).
    used: u16,
    /// Where the next buffer goes into the ring.
    tail: u16,
    /// How many users have.
    lent: u16,
}

/// One mapping: the entries of the ring, then the buffers.
struct Memory {
    base: NonNull<u8>,
    /// Where the buffers begin, in bytes.
    offset: usize,
    len: usize,
    /// Whose it is. A child of that one drops copies of what was lent, which nobody waits for.
    process: Process,
    returned: Mutex<Vec<u16>>,
    /// Something is among the returned ones.
    some_returned: AtomicBool,
}

// SAFETY: the pointer is used by `Buffers` alone, which stays on its thread, and by each `Lent` for
// its own buffer, which nobody writes to.
unsafe impl Send for Memory {}
// SAFETY: as above; the rest is behind a mutex.
unsafe impl Sync for Memory {}

/// A filled buffer in users' hands.
struct Lent {
    memory: Arc<Memory>,
    buffer: u16,
    len: usize,
}

impl Buffers {
    pub(super) fn new() -> io::Result<Self> {
        Self::with_count(COUNT, FIRST)
    }

    /// The same with another power of two of buffers, `first` of them in use.
    pub(super) fn with_count(count: u16, first: u16) -> io::Result<Self> {
        assert!(count.is_power_of_two() && (1..=count).contains(&first));
        let offset = (usize::from(count) * size_of::<BufRingEntry>()).next_multiple_of(LEN);
        let len = offset + usize::from(count) * LEN;
        let (access, flags) = (ProtFlags::READ | ProtFlags::WRITE, MapFlags::PRIVATE);
        // SAFETY: a new mapping, wherever the kernel likes.
        let base = unsafe { mmap_anonymous(ptr::null_mut(), len, access, flags)? };
        let base = NonNull::new(base.cast()).expect("a mapping is not at zero");
        let returned = Mutex::new(Vec::with_capacity(count.into()));
        let some_returned = AtomicBool::new(false);
        let process = Process::current();
        let memory = Memory { base, offset, len, process, returned, some_returned };
        let memory = Arc::new(memory);
        let mut buffers = Self { memory, count, used: first, tail: 0, lent: 0 };
        (0..first).for_each(|buffer| buffers.put(buffer));
        buffers.publish();
        Ok(buffers)
    }

    /// The address of the ring and how many entries it has.
    pub(super) fn ring(&self) -> (u64, u16) {
        (self.memory.base.as_ptr() as u64, self.count)
    }

    /// Takes what the kernel has received into a buffer.
    pub(super) fn take(&mut self, buffer: u16, len: usize) -> Bytes {
        assert!(buffer < self.count && len <= LEN, "the kernel reports what it was given");
        if len >= LENT_MIN && (self.lent < self.used / 2 || self.grow()) {
            self.lent += 1;
            set_lent(self.memory.start(buffer), LEN, true);
            return Bytes::from_owner(Lent { memory: Arc::clone(&self.memory), buffer, len });
        }
        // SAFETY: the kernel is done with it, and nobody else has it; it is put back below.
        let copy = Bytes::copy_from_slice(unsafe { self.memory.slice(buffer, len) });
        self.put(buffer);
        copy
    }

    /// Takes as many buffers again into use, for those that are have all been wanted at once.
    /// Returns whether there were more.
    pub(super) fn grow(&mut self) -> bool {
        let used = self.used;
        self.used = (used * 2).min(self.count);
        (used..self.used).for_each(|buffer| self.put(buffer));
        self.used > used
    }

    /// Puts a buffer that holds nothing back.
    pub(super) fn put(&mut self, buffer: u16) {
        set_lent(self.memory.start(buffer), LEN, false);
        let index = usize::from(self.tail & (self.count - 1));
        // SAFETY: within the ring.
        let mut entry = unsafe { self.memory.base.cast::<BufRingEntry>().add(index) };
        // SAFETY: mapped, aligned, and plain numbers, which the kernel does not look at before the
        // tail is published.
        let entry = unsafe { entry.as_mut() };
        entry.set_addr(self.memory.start(buffer) as u64);
        entry.set_len(u32::try_from(LEN).expect("a small constant"));
        entry.set_bid(buffer);
        self.tail = self.tail.wrapping_add(1);
    }

    /// Puts back what users have returned.
    pub(super) fn put_returned(&mut self) {
        if !self.memory.some_returned.swap(false, Acquire) {
            return;
        }
        let memory = Arc::clone(&self.memory);
        let mut returned = memory.returned.lock().unwrap_or_else(PoisonError::into_inner);
        for buffer in returned.drain(..) {
            self.lent -= 1;
            self.put(buffer);
        }
    }

    /// Leaves the memory to the kernel for ever.
    pub(super) fn leak(&self) {
        mem::forget(Arc::clone(&self.memory));
    }

    /// Shows the kernel what was put back.
    pub(super) fn publish(&mut self) {
        let ring = self.memory.base.cast::<BufRingEntry>().as_ptr();
        // SAFETY: the mapping begins with the ring's first entry.
        let tail = unsafe { BufRingEntry::tail(ring) };
        // SAFETY: aligned and mapped; the kernel only reads it, and by an atomic access.
        unsafe { AtomicU16::from_ptr(tail.cast_mut()) }.store(self.tail, Release);
    }
}

impl Memory {
    fn start(&self, buffer: u16) -> *mut u8 {
        // SAFETY: within the mapping, for every buffer there is.
        unsafe { self.base.as_ptr().add(self.offset + usize::from(buffer) * LEN) }
    }

    /// # Safety
    ///
    /// The buffer is not in the kernel's ring, and is not put there while the slice lives.
    unsafe fn slice(&self, buffer: u16, len: usize) -> &[u8] {
        // SAFETY: the caller's promise; mapped memory is initialised.
        unsafe { slice::from_raw_parts(self.start(buffer), len) }
    }
}

impl AsRef<[u8]> for Lent {
    fn as_ref(&self) -> &[u8] {
        // SAFETY: it goes back to the ring only after this was dropped.
        unsafe { self.memory.slice(self.buffer, self.len) }
    }
}

impl Drop for Lent {
    fn drop(&mut self) {
        if self.memory.process != Process::current() {
            // Nor is the lock here for anybody to let go of.
            return;
        }
        let returned = &self.memory.returned;
        returned.lock().unwrap_or_else(PoisonError::into_inner).push(self.buffer);
        self.memory.some_returned.store(true, Release);
    }
}

impl Drop for Memory {
    fn drop(&mut self) {
        // SAFETY: the mapping made in `with_count`. The kernel's ring is closed by now: `Uring`
        // holds a reference until then (D8); and no user has a buffer, or would hold one, too.
        unsafe { unmap(self.base, self.len) };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn more_come_into_use_as_they_are_wanted_and_half_of_them_is_lent_at_most() {
        let mut buffers = Buffers::with_count(8, 2).unwrap();
        assert_eq!(buffers.tail, 2, "in the ring");
        let kept: Vec<Bytes> = (0..8).map(|buffer| buffers.take(buffer, LEN)).collect();
        assert_eq!((buffers.used, buffers.lent), (8, 4));
        assert!(!buffers.grow(), "there are no more");
        drop(kept);
        buffers.put_returned();
        assert_eq!((buffers.used, buffers.lent), (8, 0));
        assert_eq!(buffers.tail, 8 + 8, "each was put in once, and back once");
    }
}
