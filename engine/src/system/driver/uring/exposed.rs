//! [`Exposed`]: what an operation shows the kernel. Here, its memory as it is; with
//! `--cfg facade_quarantine`, `quarantine.rs` takes the place of this file and shows copies that
//! trap.

#![expect(unsafe_code, reason = "the shared buffers are mapped by hand")]

use std::ptr::NonNull;

use rustix::mm::munmap;
use socket2::SockAddr;

/// The memory of one operation that the kernel may touch until its last report.
#[derive(Default)]
pub(super) struct Exposed(());

#[expect(clippy::unused_self, reason = "the other one keeps what it has copied")]
impl Exposed {
    /// Bytes that the kernel reads.
    pub(super) const fn bytes(&mut self, bytes: &[u8]) -> *const u8 {
        bytes.as_ptr()
    }

    /// Bytes that the kernel writes.
    pub(super) const fn block(&mut self, block: &mut [u8]) -> *mut u8 {
        block.as_mut_ptr()
    }

    pub(super) fn address(&mut self, address: &SockAddr) -> *const libc::sockaddr {
        address.as_ptr().cast()
    }

    pub(super) const fn slices(&mut self, slices: &[libc::iovec]) -> *const libc::iovec {
        slices.as_ptr()
    }

    pub(super) const fn message(
        &mut self,
        header: &libc::msghdr,
        _slices: &[libc::iovec],
    ) -> *const libc::msghdr {
        header
    }

    /// The operation has ended: what was written to the block is in it.
    pub(super) const fn end(&mut self, _block: &mut [u8]) {}
}

/// Says of a shared buffer whether users have it.
pub(super) const fn set_lent(_start: *mut u8, _len: usize, _is_lent: bool) {}

/// Unmaps the shared buffers.
///
/// # Safety
///
/// They are mapped, and nobody uses them any more.
pub(super) unsafe fn unmap(base: NonNull<u8>, len: usize) {
    // SAFETY: the caller's promise.
    let _ = unsafe { munmap(base.as_ptr().cast(), len) };
}
