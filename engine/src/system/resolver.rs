//! Asks the system's `getaddrinfo`: by a call that waits (which thread that blocks is not decided
//! here), or by one that does not, where there is such a call. What the system answers is handed on
//! whole: scope and flow of an IPv6 address included.

use std::io;

use dns_lookup::{AddrFamily, AddrInfoHints, LookupError, LookupErrorKind, SockType};

use crate::{
    pure::{
        address::{AddrInfo, Family, Hints, IPPROTO_TCP, IPPROTO_UDP, Query, SocketType, answer},
        error::{Error, Result},
    },
    system::sys::resolver::{self as flags, Answer},
};

pub(crate) use crate::system::sys::resolver::Lookup;

/// Has the system look up a name by itself, and tell the answer, on whichever thread. None if it
/// does not: then nobody is told, and [`lookup`] can ask.
pub(crate) fn begin(
    query: &Query,
    tell: impl FnOnce(Result<Vec<AddrInfo>>) + Send + 'static,
) -> Option<Lookup> {
    let (host, service) = question(query);
    let asked = query.clone();
    let told = Box::new(move |answer| tell(outcome(&asked, answer)));
    flags::begin(host, &service, system_hints(&query.hints), told)
}

/// Asks the system, which may block for as long as its resolver does.
///
/// # Errors
///
/// [`Error::Resolve`]; the kind of its cause is `NotFound` if there is no such host or it has
/// no such address, `HostUnreachable` if the resolver could not tell now, `InvalidInput` if the
/// service is unknown; what the system itself failed with is handed on.
pub(crate) fn lookup(query: &Query) -> Result<Vec<AddrInfo>> {
    let (host, service) = question(query);
    let found = dns_lookup::getaddrinfo(host, Some(&service), Some(system_hints(&query.hints)));
    // Addresses of families that std does not know come as errors: they are not for us.
    outcome(query, found.map(|found| found.flatten().collect()))
}

/// What the system is asked: host and service.
fn question(query: &Query) -> (Option<&str>, String) {
    let host = (!query.host.is_empty()).then_some(query.host.as_str());
    (host, query.service.to_string())
}

/// What an answer of the system's comes to.
fn outcome(query: &Query, answer: Answer) -> Result<Vec<AddrInfo>> {
    let found = answer.map_err(|cause| failure(query, cause))?;
    let answers: Vec<_> = found.into_iter().filter_map(from_system).collect();
    if answers.is_empty() {
        return Err(query.failed(io::ErrorKind::NotFound, "no usable address"));
    }
    Ok(answers)
}

fn system_hints(hints: &Hints) -> AddrInfoHints {
    let flags = [
        (hints.passive, flags::PASSIVE),
        (hints.canonical_name, flags::CANONICAL_NAME),
        (hints.numeric_host, flags::NUMERIC_HOST),
        (hints.addr_config, flags::ADDR_CONFIG),
        (hints.v4_mapped, flags::V4_MAPPED),
    ];
    AddrInfoHints {
        flags: flags.iter().filter(|(set, _)| *set).fold(0, |all, (_, flag)| all | flag),
        address: match hints.family {
            Family::Any => 0,
            Family::V4 => AddrFamily::Inet.into(),
            Family::V6 => AddrFamily::Inet6.into(),
        },
        socktype: match hints.socket_type {
            SocketType::Any => 0,
            SocketType::Stream => SockType::Stream.into(),
            SocketType::Datagram => SockType::DGram.into(),
        },
        protocol: hints.protocol,
    }
}

fn failure(query: &Query, cause: LookupError) -> Error {
    use LookupErrorKind as Kind;
    let kind = match cause.kind() {
        Kind::NoName | Kind::NoData | Kind::Family => io::ErrorKind::NotFound,
        _ if cause.error_num() == flags::NO_SUCH_FAMILY => io::ErrorKind::NotFound,
        Kind::Again => io::ErrorKind::HostUnreachable,
        Kind::Memory => io::ErrorKind::OutOfMemory,
        Kind::Service | Kind::Socktype => {
            let text = format!("service {:?}: {cause}", query.service.to_string());
            return query.failed(io::ErrorKind::InvalidInput, text);
        }
        Kind::System => {
            let cause = io::Error::from(cause).into();
            return Error::Resolve { host: query.host.clone(), cause };
        }
        _ => io::ErrorKind::Other,
    };
    query.failed(kind, cause.to_string())
}

fn from_system(info: dns_lookup::AddrInfo) -> Option<AddrInfo> {
    let socket_type = match info.socktype {
        kind if kind == SockType::Stream => SocketType::Stream,
        kind if kind == SockType::DGram => SocketType::Datagram,
        // Raw sockets, which nobody can have meant who asks for `Any` here.
        _ => return None,
    };
    // Windows leaves out the protocol where the type says it.
    let protocol = match (socket_type, info.protocol) {
        (SocketType::Stream, 0) => IPPROTO_TCP,
        (SocketType::Datagram, 0) => IPPROTO_UDP,
        (_, protocol) => protocol,
    };
    let answer = answer(info.sockaddr, (socket_type, protocol));
    Some(AddrInfo { canonical_name: info.canonname, ..answer })
}

#[cfg(test)]
mod tests {
    use super::*;

    // Windows has fewer answers for any type of socket, and Wine no number for a family that an
    // address is not of.
    #[cfg(unix)]
    #[test]
    fn the_system_answers_as_the_literals_do() {
        for (host, family, socket_type, v4_mapped) in [
            ("127.0.0.1", Family::Any, SocketType::Stream, false),
            ("127.0.0.1", Family::V6, SocketType::Stream, true),
            ("127.0.0.1", Family::V6, SocketType::Stream, false),
            ("::1", Family::V4, SocketType::Stream, false),
            ("::1", Family::V6, SocketType::Datagram, false),
            ("::1", Family::Any, SocketType::Any, false),
            ("fe80::1%1", Family::Any, SocketType::Stream, false),
            ("", Family::Any, SocketType::Stream, false),
        ] {
            let canonical_name = !host.is_empty();
            let hints = Hints {
                family,
                socket_type,
                v4_mapped,
                canonical_name,
                passive: true,
                ..Hints::default()
            };
            let query = Query::new(host, 80.into(), hints).unwrap();
            match (query.literal().unwrap(), lookup(&query)) {
                (Ok(literal), Ok(looked_up)) => assert_eq!(literal, looked_up, "{host:?}"),
                (Err(literal), Err(looked_up)) => assert_eq!(
                    io::Error::from(literal).kind(),
                    io::Error::from(looked_up).kind(),
                    "{host:?} {family:?}"
                ),
                other => panic!("{host:?}: {other:?}"),
            }
        }
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn zones_by_name_become_their_index() {
        let query = Query::new("fe80::1%lo", 80.into(), Hints::default()).unwrap();
        let answers = lookup(&query).unwrap();
        let texts: Vec<_> = answers.iter().map(|one| one.address.to_string()).collect();
        assert_eq!(texts, ["[fe80::1%1]:80"]);
    }

    #[test]
    fn names_are_looked_up() {
        let query = Query::new("localhost", "http".into(), Hints::default()).unwrap();
        assert!(query.literal().is_none());
        let answers = lookup(&query).unwrap();
        assert!(answers.iter().all(|one| one.address.ip().is_loopback()), "{answers:?}");
        assert!(answers.iter().all(|one| one.address.port() == 80), "{answers:?}");
    }

    #[test]
    fn an_unknown_service_is_named() {
        let query = Query::new("127.0.0.1", "no-such-service".into(), Hints::default()).unwrap();
        let error = lookup(&query).unwrap_err();
        let Error::Resolve { cause, .. } = &error else { panic!("{error:?}") };
        assert!(cause.to_string().contains("no-such-service"), "{cause}");
        assert_eq!(cause.kind(), io::ErrorKind::InvalidInput);
    }

    #[test]
    fn failures_tell_whether_to_try_again() {
        let query = Query::new("x.invalid", 80.into(), Hints::default()).unwrap();
        let kind = |number| match failure(&query, LookupError::new(number)) {
            Error::Resolve { host, cause } => {
                assert_eq!(host, "x.invalid");
                assert!(cause.to_string().len() > 10, "{cause}");
                cause.kind()
            }
            other => panic!("{other:?}"),
        };
        if cfg!(target_os = "linux") {
            assert_eq!(kind(-2), io::ErrorKind::NotFound);
            assert_eq!(kind(-9), io::ErrorKind::NotFound);
            assert_eq!(kind(-3), io::ErrorKind::HostUnreachable);
            assert_eq!(kind(-4), io::ErrorKind::Other);
        }
        let numeric = Hints { numeric_host: true, ..Hints::default() };
        let query = Query::new("localhost", 80.into(), numeric).unwrap();
        assert_resolve(lookup(&query), io::ErrorKind::NotFound);
    }

    fn assert_resolve(result: Result<Vec<AddrInfo>>, kind: io::ErrorKind) {
        match result {
            Err(Error::Resolve { cause, .. }) => assert_eq!(cause.kind(), kind, "{cause}"),
            other => panic!("{other:?}"),
        }
    }
}
