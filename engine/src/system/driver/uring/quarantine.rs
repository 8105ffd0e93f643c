//! [`Exposed`], as a trap: a test tool, for `--cfg facade_quarantine`.
//!
//! AddressSanitizer and valgrind do not see what the kernel does to a process's memory for an entry
//! of a ring. So here each piece of memory that an entry points to is copied to pages of its own,
//! and when its operation has ended these become inaccessible and are kept so, until
//! [`PAGES`] others have followed. A kernel that still uses them fails, deterministically, with
//! EFAULT, which no report may say (`ring.rs` asserts that); and no byte of the socket is consumed.
//!
//! The shared buffers are treated alike: see `buffers.rs`.
#![expect(unsafe_code, reason = "the kernel reads and writes these pages")]

use std::{
    collections::VecDeque,
    ffi::c_void,
    ptr::{self, NonNull},
    slice,
    sync::{Mutex, PoisonError},
};

use rustix::mm::{MapFlags, MprotectFlags, ProtFlags, mmap_anonymous, mprotect, munmap};
use socket2::SockAddr;

/// How many pages stay inaccessible before the first of them are given back to the system.
const PAGES: usize = 8192;
/// What the system protects at a time.
const PAGE: usize = 4096;

/// The pages of one operation.
#[derive(Default)]
pub(super) struct Exposed {
    pages: Vec<Pages>,
}

impl Exposed {
    /// A copy of bytes that the kernel reads.
    pub(super) fn bytes(&mut self, bytes: &[u8]) -> *const u8 {
        self.copy(bytes)
    }

    /// Where the kernel writes what goes into `block`.
    pub(super) fn block(&mut self, block: &mut [u8]) -> *mut u8 {
        self.copy(block)
    }

    pub(super) fn address(&mut self, address: &SockAddr) -> *const libc::sockaddr {
        let len = address.len() as usize;
        // SAFETY: the address is as long as it says, and plain bytes.
        let bytes = unsafe { slice::from_raw_parts(address.as_ptr().cast::<u8>(), len) };
        self.copy(bytes).cast()
    }

    pub(super) fn slices(&mut self, slices: &[libc::iovec]) -> *const libc::iovec {
        let copied: Vec<_> = slices.iter().map(|slice| self.slice(slice)).collect();
        // SAFETY: plain numbers and pointers without padding.
        let bytes = unsafe {
            slice::from_raw_parts(copied.as_ptr().cast::<u8>(), size_of_val(copied.as_slice()))
        };
        self.copy(bytes).cast()
    }

    pub(super) fn message(
        &mut self,
        header: &libc::msghdr,
        slices: &[libc::iovec],
    ) -> *const libc::msghdr {
        let mut header = *header;
        header.msg_iov = self.slices(slices).cast_mut();
        // SAFETY: the header was zeroed when it was made, padding and all.
        let bytes = unsafe {
            slice::from_raw_parts((&raw const header).cast::<u8>(), size_of::<libc::msghdr>())
        };
        self.copy(bytes).cast()
    }

    /// The operation has ended: what the kernel has written is copied to its block, and from here
    /// on its pages trap.
    pub(super) fn end(&mut self, block: &mut [u8]) {
        if let Some(pages) = self.pages.first() {
            // SAFETY: the pages are at least as long as the block that they are a copy of, and the
            // kernel is done with them (D3).
            let written = unsafe { slice::from_raw_parts(pages.base.as_ptr(), block.len()) };
            block.copy_from_slice(written);
        }
    }

    fn slice(&mut self, slice: &libc::iovec) -> libc::iovec {
        // SAFETY: made of a slice that the operation owns, and nobody writes to.
        let bytes =
            unsafe { slice::from_raw_parts(slice.iov_base.cast_const().cast(), slice.iov_len) };
        libc::iovec { iov_base: self.copy(bytes).cast(), iov_len: slice.iov_len }
    }

    fn copy(&mut self, bytes: &[u8]) -> *mut u8 {
        let pages = Pages::of(bytes);
        let start = pages.base.as_ptr();
        self.pages.push(pages);
        start
    }
}

/// A mapping of its own.
struct Pages {
    base: NonNull<u8>,
    len: usize,
}

impl Pages {
    fn of(bytes: &[u8]) -> Self {
        let len = bytes.len().next_multiple_of(PAGE).max(PAGE);
        let (access, flags) = (ProtFlags::READ | ProtFlags::WRITE, MapFlags::PRIVATE);
        // SAFETY: a new mapping, wherever the kernel likes.
        let base = unsafe { mmap_anonymous(ptr::null_mut(), len, access, flags) };
        let base = base.expect("a test tool has memory").cast::<u8>();
        // SAFETY: new, writable, long enough, and nobody else's.
        unsafe { ptr::copy_nonoverlapping(bytes.as_ptr(), base, bytes.len()) };
        Self { base: NonNull::new(base).expect("a mapping is not at zero"), len }
    }
}

impl Drop for Pages {
    fn drop(&mut self) {
        // SAFETY: mapped by `of`, and the kernel is done with it (D3), or is caught.
        unsafe { unmap(self.base, self.len) };
    }
}

/// Says of a shared buffer whether users have it. Then nobody writes to it: whoever does, the
/// kernel too, is caught.
pub(super) fn set_lent(start: *mut u8, len: usize, is_lent: bool) {
    let write = if is_lent { MprotectFlags::empty() } else { MprotectFlags::WRITE };
    protect(start, len, MprotectFlags::READ | write);
}

/// Makes a mapping inaccessible, and unmaps it when enough others have followed.
///
/// # Safety
///
/// It is mapped, and nobody uses it any more.
pub(super) unsafe fn unmap(base: NonNull<u8>, len: usize) {
    static KEPT: Mutex<Kept> = Mutex::new(Kept::EMPTY);
    // SAFETY: the promise of whoever calls this.
    unsafe { KEPT.lock().unwrap_or_else(PoisonError::into_inner).unmap(base, len) };
}

/// The mappings that nobody may touch, in the order that they came.
struct Kept {
    mappings: VecDeque<(usize, usize)>,
    pages: usize,
}

impl Kept {
    const EMPTY: Self = Self { mappings: VecDeque::new(), pages: 0 };

    /// As the function of this name.
    unsafe fn unmap(&mut self, base: NonNull<u8>, len: usize) {
        protect(base.as_ptr(), len, MprotectFlags::empty());
        self.mappings.push_back((base.as_ptr().expose_provenance(), len));
        self.pages += len / PAGE;
        while self.pages > PAGES
            && let Some((start, len)) = self.mappings.pop_front()
        {
            self.pages -= len / PAGE;
            // SAFETY: the promise of who brought it here, and it leaves the list once.
            let _ = unsafe { munmap(ptr::with_exposed_provenance_mut::<c_void>(start), len) };
        }
    }
}

/// Says who may do what to whole pages.
fn protect(start: *mut u8, len: usize, access: MprotectFlags) {
    // SAFETY: the caller has these pages mapped; whoever breaks a rule by touching them then is
    // what this is for.
    unsafe { mprotect(start.cast::<c_void>(), len, access) }.expect("the pages are mapped");
}

#[cfg(test)]
mod tests {
    use std::{
        io::{Read, Write},
        mem::ManuallyDrop,
        os::{fd::AsRawFd, unix::net::UnixStream},
    };

    use io_uring::{IoUring, opcode, types::Fd};
    use rustix::io::Errno;

    use super::*;

    /// Receives into a block, lets go of that before anything has come, and returns what the kernel
    /// says then, and what is left in the socket.
    fn receive_into_what_is_gone() -> (i32, [u8; 4]) {
        let mut ring = IoUring::new(4).unwrap();
        let (mut peer, mut ours) = UnixStream::pair().unwrap();
        let mut exposed = Exposed::default();
        let start = exposed.block(&mut [0; 64]);
        let entry = opcode::Recv::new(Fd(ours.as_raw_fd()), start, 64).build();
        // SAFETY: not sound, on purpose: the pages are inaccessible before the kernel writes to
        // them. It then fails, and nothing else has that address.
        unsafe { ring.submission().push(&entry) }.unwrap();
        ring.submit().unwrap();
        drop(exposed);
        peer.write_all(b"data").unwrap();
        ring.submit_and_wait(1).unwrap();
        let result = ring.completion().next().unwrap().result();
        let mut left = [0; 4];
        ours.read_exact(&mut left).unwrap();
        (result, left)
    }

    #[test]
    fn a_kernel_that_writes_to_what_is_gone_fails_and_takes_no_byte() {
        let fault = -Errno::FAULT.raw_os_error();
        assert_eq!(receive_into_what_is_gone(), (fault, *b"data"));
    }

    #[test]
    fn memory_stays_inaccessible_while_thousands_of_pages_follow() {
        // Its own, since other tests bring thousands of pages as well.
        let mut kept = Kept::EMPTY;
        let mut keep = |bytes: &[u8]| {
            let Pages { base, len } = *ManuallyDrop::new(Pages::of(bytes));
            // SAFETY: just mapped, and nobody uses it.
            unsafe { kept.unmap(base, len) };
            base.as_ptr()
        };
        let start = keep(b"first");
        for _ in 0..4096 {
            keep(b"another");
        }
        let (mut peer, ours) = UnixStream::pair().unwrap();
        peer.write_all(b"data").unwrap();
        let mut ring = IoUring::new(4).unwrap();
        let entry = opcode::Recv::new(Fd(ours.as_raw_fd()), start, 4).build();
        // SAFETY: as above.
        unsafe { ring.submission().push(&entry) }.unwrap();
        ring.submit_and_wait(1).unwrap();
        let result = ring.completion().next().unwrap().result();
        assert_eq!(result, -Errno::FAULT.raw_os_error());
    }

    #[test]
    fn what_was_received_is_copied_back() {
        let (mut peer, ours) = UnixStream::pair().unwrap();
        peer.write_all(b"data").unwrap();
        let mut ring = IoUring::new(4).unwrap();
        let (mut exposed, mut block) = (Exposed::default(), [0; 8]);
        let start = exposed.block(&mut block);
        let entry = opcode::Recv::new(Fd(ours.as_raw_fd()), start, 8).build();
        // SAFETY: the pages live until the report has come.
        unsafe { ring.submission().push(&entry) }.unwrap();
        ring.submit_and_wait(1).unwrap();
        assert_eq!(ring.completion().next().unwrap().result(), 4);
        exposed.end(&mut block);
        assert_eq!(&block, b"data\0\0\0\0");
    }
}
