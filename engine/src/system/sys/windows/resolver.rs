//! `AI_*` and `EAI_*` of GetAddrInfo, from ws2tcpip.h; and lookups that the system does by itself,
//! by GetAddrInfoExW.
//!
//! What a lookup works with has two owners: the system, until it has called [`ended`], and whoever
//! may let go of the lookup. So nothing is freed that the system touches, whoever goes first.
//!
//! Unsafe, because these are calls of the system.

#![expect(unsafe_code, reason = "calls of the system, and memory that it has in hand")]

use std::{
    cell::UnsafeCell,
    fmt, iter, mem, ptr,
    sync::{
        Arc, Condvar, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
    thread::{self, ThreadId},
};

use dns_lookup::{AddrInfo, AddrInfoHints, LookupError};
use socket2::{SockAddr, SockAddrStorage};
use windows_sys::{
    Win32::{
        Foundation::HANDLE,
        Networking::WinSock::{
            self as winsock, ADDRINFOEXW, FreeAddrInfoExW, GetAddrInfoExCancel, GetAddrInfoExW,
            NS_ALL, WSA_IO_PENDING,
        },
        System::IO::OVERLAPPED,
    },
    core::PWSTR,
};

use crate::{pure::panics::Panics, system::sys::owned};

pub(crate) const PASSIVE: i32 = winsock::AI_PASSIVE.cast_signed();
pub(crate) const CANONICAL_NAME: i32 = winsock::AI_CANONNAME.cast_signed();
pub(crate) const NUMERIC_HOST: i32 = winsock::AI_NUMERICHOST.cast_signed();
pub(crate) const V4_MAPPED: i32 = winsock::AI_V4MAPPED.cast_signed();
pub(crate) const ADDR_CONFIG: i32 = winsock::AI_ADDRCONFIG.cast_signed();
/// The host has no address of the family that is asked for.
pub(crate) const NO_SUCH_FAMILY: i32 = winsock::WSANO_DATA;

/// What the system answers.
pub(crate) type Answer = Result<Vec<AddrInfo>, LookupError>;
/// Who is told, on a thread of the system's.
pub(crate) type Told = Box<dyn FnOnce(Answer) + Send>;

/// How many lookups the system has in hand at most, of all engines. Those that were let go of count
/// until they have ended. Threads ask the rest, and these have a queue with an end.
const AT_ONCE: usize = 64;
static UNDER_WAY: AtomicUsize = AtomicUsize::new(0);

/// A lookup that the system has in hand. Its end is told in any case.
pub(crate) struct Lookup(Arc<Question>);

/// What a lookup works with.
#[repr(C)]
struct Question {
    /// First, so that its address is that of all of it.
    overlapped: UnsafeCell<OVERLAPPED>,
    answer: UnsafeCell<*mut ADDRINFOEXW>,
    /// What it is cancelled by; null if the system knows no such thing.
    name: UnsafeCell<HANDLE>,
    host: Option<Vec<u16>>,
    service: Vec<u16>,
    hints: ADDRINFOEXW,
    told: Mutex<Option<Told>>,
    stage: Mutex<Stage>,
    /// Nobody asks any more that it be ended.
    asked: Condvar,
}

// SAFETY: what the pointers lead to is the system's until it says that the lookup has ended, and
// then that of the one thread that it says so on. Everything else is locked, or never changed.
unsafe impl Send for Question {}
// SAFETY: as above.
unsafe impl Sync for Question {}

/// What becomes of a lookup. Its name is another's, or nobody's, once it has ended: so it must not
/// end while somebody asks by that name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    UnderWay,
    /// This thread asks the system to end it.
    Cancelling(ThreadId),
    Ended,
}

/// Has the system look up a name by itself. None if it does not, or has enough in hand: then nobody
/// is told, and a thread can ask.
pub(crate) fn begin(
    host: Option<&str>,
    service: &str,
    hints: AddrInfoHints,
    told: Told,
) -> Option<Lookup> {
    // Sees to it that Winsock is there.
    owned::null().ok()?;
    if UNDER_WAY.fetch_add(1, Relaxed) >= AT_ONCE {
        UNDER_WAY.fetch_sub(1, Relaxed);
        return None;
    }
    let question = Arc::new(Question {
        overlapped: UnsafeCell::default(),
        answer: UnsafeCell::new(ptr::null_mut()),
        name: UnsafeCell::new(ptr::null_mut()),
        host: host.map(wide),
        service: wide(service),
        hints: ADDRINFOEXW {
            ai_flags: hints.flags,
            ai_family: hints.address,
            ai_socktype: hints.socktype,
            ai_protocol: hints.protocol,
            ..ADDRINFOEXW::default()
        },
        told: Mutex::new(Some(told)),
        stage: Mutex::new(Stage::UnderWay),
        asked: Condvar::new(),
    });
    // The system's.
    let address = Arc::into_raw(Arc::clone(&question));
    // SAFETY: all that is pointed to lives as long as the system's share of it, which is given back
    // by `ended`, or below if that is not called.
    let begun = unsafe {
        GetAddrInfoExW(
            question.host.as_ref().map_or(ptr::null(), |host| host.as_ptr()),
            question.service.as_ptr(),
            NS_ALL,
            ptr::null(),
            &raw const question.hints,
            question.answer.get(),
            ptr::null(),
            address.cast(),
            Some(ended),
            question.name.get(),
        )
    };
    match begun {
        WSA_IO_PENDING => return Some(Lookup(question)),
        // Answered at once, and nobody else says so.
        0 => question.tell(0),
        // A thread is told the same, or fares better where the system cannot do this by itself.
        _ => drop(question.end()),
    }
    // SAFETY: the system has not taken its share.
    drop(unsafe { Arc::from_raw(address) });
    (begun == 0).then_some(Lookup(question))
}

/// A lookup has ended, the system says, on a thread of its own.
unsafe extern "system" fn ended(error: u32, _: u32, overlapped: *const OVERLAPPED) {
    // SAFETY: the address that it was begun with is that of the system's share, which comes back
    // this once.
    let question = unsafe { Arc::from_raw(overlapped.cast::<Question>()) };
    question.tell(error.cast_signed());
}

impl Question {
    /// It has ended: nobody asks by its name any more.
    fn end(&self) -> Option<Told> {
        let asks = |stage: &mut Stage| match *stage {
            Stage::Cancelling(thread) => thread != thread::current().id(),
            Stage::UnderWay | Stage::Ended => false,
        };
        let stage = self.asked.wait_while(self.lock(), asks);
        *stage.unwrap_or_else(PoisonError::into_inner) = Stage::Ended;
        UNDER_WAY.fetch_sub(1, Relaxed);
        self.told.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    /// Tells what has become of it.
    fn tell(&self, error: i32) {
        let told = self.end();
        // SAFETY: the system has ended, and so nobody else has it.
        let answer = Found(mem::replace(unsafe { &mut *self.answer.get() }, ptr::null_mut()));
        let answer = LookupError::match_gai_error(error).map(|()| answer.infos());
        // Nothing may unwind into the system.
        let mut panics = Panics::default();
        panics.contain(|| told.map(|told| told(answer)));
        panics.forget();
    }

    fn lock(&self) -> MutexGuard<'_, Stage> {
        self.stage.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Lookup {
    /// Its answer is not wanted any more: the system is asked to end it.
    pub(crate) fn let_go(self) {
        let question = &*self.0;
        let mut stage = question.lock();
        // SAFETY: written by the call that has begun it, which is over.
        let name = unsafe { *question.name.get() };
        if *stage == Stage::Ended || name.is_null() {
            return;
        }
        *stage = Stage::Cancelling(thread::current().id());
        // Not locked meanwhile: the system may say from within this call that it has ended.
        drop(stage);
        // SAFETY: it has not ended, so the name is its own. The system says so in any case when it
        // has, and whatever this says.
        unsafe { GetAddrInfoExCancel(&raw const name) };
        let mut stage = question.lock();
        if *stage != Stage::Ended {
            *stage = Stage::UnderWay;
        }
        drop(stage);
        question.asked.notify_all();
    }
}

impl fmt::Debug for Lookup {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Lookup")
    }
}

/// What the system has found, which is its memory.
struct Found(*mut ADDRINFOEXW);

impl Found {
    fn infos(&self) -> Vec<AddrInfo> {
        let mut infos = Vec::new();
        // SAFETY: the first of a list of the system's, or none.
        let mut next = unsafe { self.0.as_ref() };
        while let Some(info) = next {
            infos.extend(info_of(info));
            // SAFETY: the next of the list, or none.
            next = unsafe { info.ai_next.as_ref() };
        }
        infos
    }
}

impl Drop for Found {
    fn drop(&mut self) {
        if !self.0.is_null() {
            // SAFETY: the system has made it, and nobody has freed it.
            unsafe { FreeAddrInfoExW(self.0) };
        }
    }
}

/// One answer; none if it is of a family that std does not know.
fn info_of(info: &ADDRINFOEXW) -> Option<AddrInfo> {
    let mut storage = SockAddrStorage::zeroed();
    let len = info.ai_addrlen.min(size_of_val(&storage));
    // SAFETY: the address is as long as is said, and there is room for it.
    unsafe { ptr::copy_nonoverlapping(info.ai_addr.cast::<u8>(), (&raw mut storage).cast(), len) };
    let len = len.try_into().ok()?;
    // SAFETY: so many bytes of it are an address of the system's, the others zero.
    let address = unsafe { SockAddr::new(storage, len) };
    Some(AddrInfo {
        flags: 0,
        address: info.ai_family,
        socktype: info.ai_socktype,
        protocol: info.ai_protocol,
        sockaddr: address.as_socket()?,
        canonname: text(info.ai_canonname),
    })
}

/// A text of the system's; none if it is null.
fn text(start: PWSTR) -> Option<String> {
    if start.is_null() {
        return None;
    }
    // SAFETY: it ends with a zero, and this looks no further.
    let len = (0..).take_while(|&at| unsafe { *start.wrapping_add(at) } != 0).count();
    // SAFETY: so many were just read.
    Some(String::from_utf16_lossy(unsafe { std::slice::from_raw_parts(start, len) }))
}

/// As the system takes texts: it ends with a zero, and has no other.
fn wide(text: &str) -> Vec<u16> {
    text.encode_utf16().chain(iter::once(0)).collect()
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::{self, Receiver};

    use super::*;

    type Begun = (Lookup, Receiver<Answer>);

    const HINTS: AddrInfoHints = AddrInfoHints { flags: 0, address: 0, socktype: 1, protocol: 0 };

    /// Begins a lookup, if the system does not have enough in hand.
    fn try_to_begin(host: Option<&str>, service: &str, flags: i32) -> Option<Begun> {
        let (tell, told) = mpsc::sync_channel(1);
        let tell = Box::new(move |answer| tell.send(answer).unwrap_or_default());
        let hints = AddrInfoHints { flags, ..HINTS };
        Some((super::begin(host, service, hints, tell)?, told))
    }

    /// The same, when it has not: other tests look up names, too.
    fn begin(host: Option<&str>, service: &str, flags: i32) -> Begun {
        loop {
            match try_to_begin(host, service, flags) {
                Some(begun) => return begun,
                None => thread::yield_now(),
            }
        }
    }

    #[test]
    fn the_system_answers_by_itself_as_it_does_to_a_thread() {
        for (host, service) in [
            (Some("localhost"), "80"),
            (Some("localhost"), "http"),
            (Some("127.0.0.1"), "http"),
            (Some("127.0.0.1"), "no-such-service"),
            (Some("name.invalid"), "80"),
        ] {
            let (_lookup, told) = begin(host, service, 0);
            let answer = told.recv().unwrap();
            let asked = dns_lookup::getaddrinfo(host, Some(service), Some(HINTS));
            match (answer, asked.map(|asked| asked.flatten().collect::<Vec<_>>())) {
                (Ok(answer), Ok(asked)) => {
                    assert_eq!(answer, asked, "{host:?} {service}");
                    assert!(!answer.is_empty());
                }
                (Err(answer), Err(asked)) => {
                    assert_eq!(answer.error_num(), asked.error_num(), "{host:?} {service}");
                }
                other => panic!("{host:?} {service}: {other:?}"),
            }
        }
    }

    #[test]
    fn several_answers_are_all_handed_on() {
        let (_lookup, told) = begin(None, "80", PASSIVE);
        let mut answers = told.recv().unwrap().unwrap();
        answers.sort_by_key(|info| info.sockaddr);
        let addresses: Vec<_> = answers.iter().map(|info| info.sockaddr.to_string()).collect();
        assert_eq!(addresses, ["0.0.0.0:80", "[::]:80"]);
    }

    #[test]
    fn a_canonical_name_is_handed_on() {
        let (_lookup, told) = begin(Some("localhost"), "80", CANONICAL_NAME);
        let first = told.recv().unwrap().unwrap().swap_remove(0);
        assert!(first.canonname.is_some_and(|name| !name.is_empty()));
    }

    #[test]
    fn what_was_let_go_of_is_told_once_all_the_same() {
        let begun: Vec<_> = (0..300).map(|_| begin(Some("localhost"), "80", 0)).collect();
        let let_go = |(lookup, told): Begun| {
            lookup.let_go();
            told
        };
        let told: Vec<_> = begun.into_iter().map(let_go).collect();
        for told in told {
            // Its answer, or that it was ended.
            told.recv().unwrap().map_or_else(drop, |answer| assert!(!answer.is_empty()));
            assert!(told.recv().is_err(), "who is told is dropped then");
        }
    }

    #[test]
    fn the_system_is_given_so_many_at_once_and_threads_the_rest() {
        let counted = UNDER_WAY.fetch_add(AT_ONCE, Relaxed);
        assert!(counted <= AT_ONCE);
        assert!(try_to_begin(Some("localhost"), "80", 0).is_none());
        UNDER_WAY.fetch_sub(AT_ONCE, Relaxed);
        // Those that have ended are not counted any more: else this would hang.
        for _ in 0..2 * AT_ONCE {
            let (_lookup, told) = begin(Some("localhost"), "80", 0);
            told.recv().unwrap().unwrap();
        }
    }

    #[test]
    fn a_lookup_does_not_end_while_somebody_asks_by_its_name() {
        let (lookup, told) = begin(Some("localhost"), "80", 0);
        told.recv().unwrap().unwrap();
        // As if it had not ended yet, and another thread asked for that.
        let question = Arc::clone(&lookup.0);
        UNDER_WAY.fetch_add(1, Relaxed);
        *question.lock() = Stage::Cancelling(thread::current().id());
        let ends = Arc::clone(&question);
        let ending = thread::spawn(move || ends.end().is_some());
        assert_eq!(*question.lock(), Stage::Cancelling(thread::current().id()));
        *question.lock() = Stage::UnderWay;
        question.asked.notify_all();
        assert!(!ending.join().unwrap(), "who is told was told before");
        assert_eq!(*question.lock(), Stage::Ended);
        // From within the call that asks for it, it ends at once.
        UNDER_WAY.fetch_add(1, Relaxed);
        *question.lock() = Stage::Cancelling(thread::current().id());
        assert!(question.end().is_none());
    }
}
