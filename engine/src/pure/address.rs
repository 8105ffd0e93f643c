//! Addresses to connect to, and name lookups: what can be asked, and what is known without asking.
//!
//! [`Query::new`] checks the question, [`Query::literal`] answers what needs no resolver. Who asks
//! the system is `system/resolver.rs`.

use std::{
    fmt, io,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV4, SocketAddrV6},
    path::{Path, PathBuf},
    str::FromStr,
};

use crate::pure::error::{Error, Result};

/// Where to connect to, or who connected.
///
/// ```
/// use std::net::{Ipv4Addr, SocketAddr};
///
/// use facade_engine::Address;
///
/// let one = Address::from(SocketAddr::from((Ipv4Addr::LOCALHOST, 80)));
/// assert_eq!(one.to_string(), "127.0.0.1:80");
/// # #[cfg(unix)]
/// assert_eq!(Address::from(std::path::Path::new("/run/x")).to_string(), "/run/x");
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Address {
    /// An IPv4 or IPv6 address with its port.
    Inet(SocketAddr),
    /// A Unix socket by its path.
    Unix(PathBuf),
    /// A Unix socket by a name that is no file: Linux only. The name comes without the NUL that the
    /// system puts before it.
    UnixAbstract(Vec<u8>),
    /// A Unix socket without a name, as the peer of an accepted connection mostly is. Nothing can
    /// connect to it.
    UnixUnnamed,
}

impl Address {
    /// The IPv4 or IPv6 address, if it is one.
    ///
    /// ```
    /// use std::net::{IpAddr, Ipv6Addr};
    ///
    /// use facade_engine::Address;
    ///
    /// let address = Address::from((IpAddr::from(Ipv6Addr::LOCALHOST), 80));
    /// assert_eq!(address.as_inet().map(|inet| inet.port()), Some(80));
    /// ```
    pub fn as_inet(&self) -> Option<SocketAddr> {
        match self {
            Self::Inet(address) => Some(*address),
            _ => None,
        }
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Inet(address) => address.fmt(f),
            Self::Unix(path) => path.display().fmt(f),
            Self::UnixAbstract(name) => write!(f, "@{}", name.escape_ascii()),
            Self::UnixUnnamed => f.write_str("(unnamed)"),
        }
    }
}

impl From<&Self> for Address {
    fn from(address: &Self) -> Self {
        address.clone()
    }
}

impl From<SocketAddr> for Address {
    fn from(address: SocketAddr) -> Self {
        Self::Inet(address)
    }
}

impl From<SocketAddrV4> for Address {
    fn from(address: SocketAddrV4) -> Self {
        Self::Inet(address.into())
    }
}

impl From<SocketAddrV6> for Address {
    fn from(address: SocketAddrV6) -> Self {
        Self::Inet(address.into())
    }
}

impl From<(IpAddr, u16)> for Address {
    fn from(address: (IpAddr, u16)) -> Self {
        Self::Inet(address.into())
    }
}

impl From<(Ipv4Addr, u16)> for Address {
    fn from(address: (Ipv4Addr, u16)) -> Self {
        Self::Inet(address.into())
    }
}

impl From<(Ipv6Addr, u16)> for Address {
    fn from(address: (Ipv6Addr, u16)) -> Self {
        Self::Inet(address.into())
    }
}

impl From<AddrInfo> for Address {
    fn from(info: AddrInfo) -> Self {
        Self::Inet(info.address)
    }
}

impl From<&Path> for Address {
    fn from(path: &Path) -> Self {
        Self::Unix(path.into())
    }
}

impl From<&PathBuf> for Address {
    fn from(path: &PathBuf) -> Self {
        Self::Unix(path.clone())
    }
}

impl From<PathBuf> for Address {
    fn from(path: PathBuf) -> Self {
        Self::Unix(path)
    }
}

/// A literal, such as `127.0.0.1:80` or `[::1]:80`, of an IPv6 address with its zone by number if
/// it has one. Nobody is asked: names are for [`getaddrinfo`](crate::Handle::getaddrinfo). Paths
/// are no text, see [`std::path::Path`].
///
/// ```
/// use facade_engine::Address;
///
/// let address: Address = "[::1]:80".parse()?;
/// assert_eq!(address.to_string(), "[::1]:80");
/// assert!("localhost:80".parse::<Address>().is_err());
/// # Ok::<(), facade_engine::Error>(())
/// ```
impl FromStr for Address {
    type Err = Error;

    /// # Errors
    ///
    /// [`Error::InvalidInput`] that names it, if it is no literal address with a port.
    fn from_str(text: &str) -> Result<Self> {
        let parsed = text.parse::<SocketAddr>().map(Self::Inet);
        parsed.map_err(|_| {
            Error::invalid(format_args!(
                "address {text:?} is no literal with a port, such as 127.0.0.1:80 or [::1]:80 \
                 (names are for getaddrinfo)"
            ))
        })
    }
}

/// What [`listen`](crate::Handle::listen) and [`connect`](crate::Handle::connect) take for an
/// address: a [`SocketAddr`], an IP address and a port, a literal as text, on Unix a path, an
/// [`Address`], one answer of a lookup; whatever can be turned into an [`Address`].
///
/// What is wrong with a text is told as any other failure: to the callback of an operation, or as
/// the error of a plain function.
///
/// ```
/// use facade_engine::{Callback, Engine, Error};
/// use std::net::{Ipv4Addr, SocketAddr};
///
/// let engine = Engine::new()?;
/// let listener = engine.listen("127.0.0.1:0")?;
/// engine.listen((Ipv4Addr::LOCALHOST, 0))?;
/// engine.listen(SocketAddr::from((Ipv4Addr::LOCALHOST, 0)))?;
/// # #[cfg(unix)]
/// engine.connect(std::path::Path::new("/run/nobody"), Callback::ignore());
/// engine.connect(listener.local_addr()?, Callback::ignore());
/// // No name is looked up.
/// let Err(Error::InvalidInput { what }) = engine.listen("localhost:80") else { panic!() };
/// assert!(what.contains("\"localhost:80\""));
/// # engine.run()?;
/// # Ok::<(), Error>(())
/// ```
pub trait IntoAddress {
    /// The address.
    ///
    /// # Errors
    ///
    /// [`Error::InvalidInput`] that names what is none.
    fn into_address(self) -> Result<Address>;
}

impl<A: Into<Address>> IntoAddress for A {
    fn into_address(self) -> Result<Address> {
        Ok(self.into())
    }
}

/// As [`Address`] is parsed.
impl IntoAddress for &str {
    fn into_address(self) -> Result<Address> {
        self.parse()
    }
}

/// As [`Address`] is parsed.
impl IntoAddress for &String {
    fn into_address(self) -> Result<Address> {
        self.parse()
    }
}

/// As [`Address`] is parsed.
impl IntoAddress for String {
    fn into_address(self) -> Result<Address> {
        self.parse()
    }
}

/// Which addresses a lookup asks for.
///
/// See [`Hints`] for an example, and `ai_family` in getaddrinfo(3).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Family {
    /// IPv4 and IPv6, in the order that the system prefers.
    #[default]
    Any,
    /// IPv4 only.
    V4,
    /// IPv6 only.
    V6,
}

/// The kind of socket that a lookup's addresses are for.
///
/// See `ai_socktype` in getaddrinfo(3).
///
/// ```
/// use facade_engine::{Hints, SocketType};
///
/// let datagrams = Hints { socket_type: SocketType::Datagram, ..Hints::default() };
/// let _ = datagrams;
/// ```
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum SocketType {
    /// One answer for streams and one for datagrams, for each address.
    Any,
    /// Connections, as TCP makes them.
    #[default]
    Stream,
    /// Datagrams, as of UDP.
    Datagram,
}

/// What a lookup asks for besides host and service.
///
/// The default is what [`connect`](crate::Handle::connect) needs: streams, of any family.
///
/// ```
/// use facade_engine::{Family, Hints};
///
/// let only_v4 = Hints { family: Family::V4, ..Hints::default() };
/// assert!(!only_v4.passive);
/// ```
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub struct Hints {
    /// Which family of addresses.
    pub family: Family,
    /// For which kind of socket.
    pub socket_type: SocketType,
    /// For which protocol, by its number; 0 for any.
    pub protocol: i32,
    /// An empty host means the wildcard addresses, to listen at. Without this it is an error.
    #[doc(alias = "AI_PASSIVE")]
    pub passive: bool,
    /// The first answer also tells the host's canonical name.
    #[doc(alias = "AI_CANONNAME")]
    pub canonical_name: bool,
    /// The host must be an address, not a name; nobody is asked.
    #[doc(alias = "AI_NUMERICHOST")]
    pub numeric_host: bool,
    /// The service must be a port number, not a name.
    #[doc(alias = "AI_NUMERICSERV")]
    pub numeric_service: bool,
    /// Only families of which this machine has an address of its own. What is given as an address
    /// is answered in any case.
    #[doc(alias = "AI_ADDRCONFIG")]
    pub addr_config: bool,
    /// With [`Family::V6`], a host that has only IPv4 addresses is answered with those, mapped into
    /// IPv6.
    #[doc(alias = "AI_V4MAPPED")]
    pub v4_mapped: bool,
}

/// One answer of a lookup.
///
/// See [`getaddrinfo`](crate::Handle::getaddrinfo) for an example. It can be given to
/// [`connect`](crate::Handle::connect) as it is.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
#[doc(alias = "addrinfo")]
#[non_exhaustive]
pub struct AddrInfo {
    /// The address's family: never [`Family::Any`].
    pub family: Family,
    /// What kind of socket it is for: never [`SocketType::Any`].
    pub socket_type: SocketType,
    /// The number of the protocol that it is for: 6 is TCP, 17 is UDP.
    pub protocol: i32,
    /// The address with the port of the service, and the scope of a link-local one.
    pub address: SocketAddr,
    /// The host's canonical name, in the first answer, if [`Hints::canonical_name`] asked for it.
    pub canonical_name: Option<String>,
}

/// A port, by its number or by the name of its service.
///
/// ```
/// use facade_engine::Service;
///
/// assert_eq!(Service::from(443).to_string(), "443");
/// assert_eq!(Service::from("https").to_string(), "https");
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Service(ServiceKind);

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
enum ServiceKind {
    Port(u16),
    Name(String),
}

impl fmt::Display for Service {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            ServiceKind::Port(port) => port.fmt(f),
            ServiceKind::Name(name) => name.fmt(f),
        }
    }
}

impl From<u16> for Service {
    fn from(port: u16) -> Self {
        Self(ServiceKind::Port(port))
    }
}

impl From<&str> for Service {
    fn from(service: &str) -> Self {
        Self(ServiceKind::Name(service.to_owned()))
    }
}

impl From<String> for Service {
    fn from(service: String) -> Self {
        Self(ServiceKind::Name(service))
    }
}

/// A lookup whose arguments make sense.
#[derive(Debug, Clone)]
pub(crate) struct Query {
    pub(crate) host: String,
    /// A name is never a number here.
    pub(crate) service: Service,
    pub(crate) hints: Hints,
}

impl Query {
    /// Checks the arguments: what the C function would cut off or misread is refused.
    pub(crate) fn new(host: &str, service: Service, hints: Hints) -> Result<Self> {
        check_host(host, hints.passive)?;
        let service = check_service(service)?;
        if hints.numeric_service && matches!(service.0, ServiceKind::Name(_)) {
            return Err(Error::invalid(format_args!("service {service} is not a number")));
        }
        Ok(Self { host: host.to_owned(), service, hints })
    }

    /// The answer, if it can be given without asking the system: the host is an address or empty,
    /// and the port is a number. A zone by name (`fe80::1%eth0`) is for the system to know.
    pub(crate) fn literal(&self) -> Option<Result<Vec<AddrInfo>>> {
        let ServiceKind::Port(port) = self.service.0 else { return None };
        let kinds = self.kinds();
        if kinds.is_empty() {
            return None;
        }
        let addresses = if self.host.is_empty() {
            vec![(Ipv4Addr::UNSPECIFIED, port).into(), (Ipv6Addr::UNSPECIFIED, port).into()]
        } else {
            vec![parse_address(&self.host, port)?]
        };
        let mut answers: Vec<_> = addresses
            .into_iter()
            .filter_map(|address| self.in_family(address))
            .flat_map(|address| kinds.iter().map(move |&kind| answer(address, kind)))
            .collect();
        match answers.first_mut() {
            None => Some(Err(self.failed(io::ErrorKind::NotFound, "address family not supported"))),
            Some(first) => {
                first.canonical_name = self.hints.canonical_name.then(|| self.host.clone());
                Some(Ok(answers))
            }
        }
    }

    /// The answer if the host has these addresses.
    #[cfg(feature = "sim")]
    pub(crate) fn answer_with(&self, addresses: &[IpAddr]) -> Result<Vec<AddrInfo>> {
        let port = match &self.service.0 {
            ServiceKind::Port(port) => *port,
            ServiceKind::Name(name) => {
                let known = KNOWN_SERVICES.iter().find(|(known, _)| known == name);
                known.map(|(_, port)| *port).ok_or_else(|| {
                    self.failed(io::ErrorKind::InvalidInput, format!("service {name:?} is unknown"))
                })?
            }
        };
        let literal = parse_address(&self.host, port);
        let given = addresses.iter().map(|&ip| (ip, port).into());
        let kinds = self.kinds();
        let mut answers: Vec<_> = literal
            .into_iter()
            .chain(given.filter(|_| !self.hints.numeric_host))
            .filter_map(|address| self.in_family(address))
            .flat_map(|address| kinds.iter().map(move |&kind| answer(address, kind)))
            .collect();
        let first = answers
            .first_mut()
            .ok_or_else(|| self.failed(io::ErrorKind::NotFound, "no such host"))?;
        first.canonical_name = self.hints.canonical_name.then(|| self.host.clone());
        Ok(answers)
    }

    /// The types of sockets with their protocols that an address literal is answered with.
    fn kinds(&self) -> Vec<(SocketType, i32)> {
        let asked = &self.hints;
        [(SocketType::Stream, IPPROTO_TCP), (SocketType::Datagram, IPPROTO_UDP)]
            .into_iter()
            .filter(|(kind, _)| {
                matches!(asked.socket_type, SocketType::Any) || asked.socket_type == *kind
            })
            .filter(|(_, protocol)| asked.protocol == 0 || asked.protocol == *protocol)
            .collect()
    }

    /// The address as the hints want it, if it can be had so.
    fn in_family(&self, address: SocketAddr) -> Option<SocketAddr> {
        match (self.hints.family, address) {
            (Family::Any, _)
            | (Family::V4, SocketAddr::V4(_))
            | (Family::V6, SocketAddr::V6(_)) => Some(address),
            (Family::V6, SocketAddr::V4(v4)) if self.hints.v4_mapped && !self.host.is_empty() => {
                Some((v4.ip().to_ipv6_mapped(), v4.port()).into())
            }
            (Family::V6, SocketAddr::V4(_)) | (Family::V4, SocketAddr::V6(_)) => None,
        }
    }

    /// What a lookup fails with.
    pub(crate) fn failed(&self, kind: io::ErrorKind, text: impl Into<String>) -> Error {
        let cause = io::Error::new(kind, text.into());
        Error::Resolve { host: self.host.clone(), cause: cause.into() }
    }
}

fn check_host(host: &str, passive: bool) -> Result<()> {
    if host.is_empty() && passive {
        return Ok(());
    }
    let name = host.strip_suffix('.').unwrap_or(host);
    if name.is_empty() {
        return Err(Error::invalid("the host is empty"));
    }
    if name.len() > MAX_NAME {
        return Err(Error::invalid(format_args!("the host is longer than {MAX_NAME} bytes")));
    }
    if name.contains(is_blank) {
        return Err(Error::invalid(format_args!("host {host:?} has a blank or control character")));
    }
    Ok(())
}

/// A number given as text becomes a number: the system would cut `"65536"` down to 0.
fn check_service(service: Service) -> Result<Service> {
    let ServiceKind::Name(name) = &service.0 else { return Ok(service) };
    if name.is_empty() {
        return Err(Error::invalid("the service is empty"));
    }
    if name.contains(is_blank) {
        return Err(Error::invalid(format_args!(
            "service {name:?} has a blank or control character"
        )));
    }
    if name.len() > MAX_NAME {
        return Err(Error::invalid(format_args!("the service is longer than {MAX_NAME} bytes")));
    }
    // With a sign the system takes it for a number too.
    let digits = name.strip_prefix(['+', '-']).unwrap_or(name);
    if !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return Ok(service);
    }
    match name.parse::<u16>() {
        Ok(port) if digits == name => Ok(Service::from(port)),
        _ => Err(Error::invalid(format_args!("service {name:?} is not a port number"))),
    }
}

fn is_blank(c: char) -> bool {
    c.is_control() || c.is_whitespace()
}

/// An IPv4 or IPv6 address, the latter with its zone by number or without.
fn parse_address(host: &str, port: u16) -> Option<SocketAddr> {
    let Some((ip, zone)) = host.split_once('%') else {
        return host.parse().ok().map(|ip: IpAddr| (ip, port).into());
    };
    let digits = !zone.is_empty() && zone.bytes().all(|byte| byte.is_ascii_digit());
    let zone = digits.then(|| zone.parse().ok()).flatten()?;
    Some(SocketAddrV6::new(ip.parse().ok()?, port, 0, zone).into())
}

pub(crate) fn answer(address: SocketAddr, (socket_type, protocol): (SocketType, i32)) -> AddrInfo {
    AddrInfo { family: family(address), socket_type, protocol, address, canonical_name: None }
}

fn family(address: SocketAddr) -> Family {
    match address {
        SocketAddr::V4(_) => Family::V4,
        SocketAddr::V6(_) => Family::V6,
    }
}

/// The numbers of the protocols, as everywhere (RFC 1700).
pub(crate) const IPPROTO_TCP: i32 = 6;
pub(crate) const IPPROTO_UDP: i32 = 17;

/// The names of services that a simulated host knows.
#[cfg(feature = "sim")]
const KNOWN_SERVICES: [(&str, u16); 6] =
    [("ftp", 21), ("ssh", 22), ("smtp", 25), ("domain", 53), ("http", 80), ("https", 443)];

/// The longest host name in text, without a dot at its end (RFC 1035, section 2.3.4).
const MAX_NAME: usize = 253;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_that_the_system_would_misread_are_refused() {
        let long = "a".repeat(254);
        let dotted = format!("{}.", "a".repeat(254));
        for host in ["", ".", "a\0b", "a b", "a\nb", "\u{85}x", &long, &dotted] {
            assert_invalid(Query::new(host, 80.into(), Hints::default()), "host");
        }
        let longest = format!("{}.", "a".repeat(253));
        for host in ["localhost", "localhost.", "bücher.example", "::1", "_x.y", &longest] {
            Query::new(host, 80.into(), Hints::default()).unwrap();
        }
    }

    #[test]
    fn services_that_the_system_would_misread_are_refused() {
        for service in ["", "65536", "-1", "+80", "99999999999999999999", "a\0b", " 80", "+", "80 "]
        {
            assert_invalid(Query::new("::1", service.into(), Hints::default()), "service");
        }
        let numeric = Hints { numeric_service: true, ..Hints::default() };
        assert_invalid(Query::new("::1", "http".into(), numeric.clone()), "service");
        for (service, port) in [("0", 0), ("080", 80), ("65535", 65535)] {
            let answers = literal("::1", service, &numeric).unwrap().unwrap();
            assert_eq!(answers[0].address.port(), port);
        }
    }

    #[test]
    fn literals_need_no_resolver() {
        let any = Hints::default();
        for (host, expected) in [
            ("127.0.0.1", "127.0.0.1:80"),
            ("::1", "[::1]:80"),
            ("fe80::1%2", "[fe80::1%2]:80"),
            ("::ffff:1.2.3.4", "[::ffff:1.2.3.4]:80"),
        ] {
            let answers = literal(host, 80, &any).unwrap().unwrap();
            let [answer] = &answers[..] else { panic!("{answers:?}") };
            assert_eq!(answer.address.to_string(), expected);
            assert_eq!((answer.socket_type, answer.protocol), (SocketType::Stream, 6));
        }
        for host in ["localhost", "fe80::1%lo", "127.1", "1.2.3.4%1", "::1%", "::1%+1", "[::1]"] {
            assert!(literal(host, 80, &any).is_none(), "{host}");
        }
        assert!(literal("::1", "http", &any).is_none());
    }

    #[test]
    fn literals_heed_the_hints() {
        let v4 = Hints { family: Family::V4, ..Hints::default() };
        let v6 = Hints { family: Family::V6, ..Hints::default() };
        let mapped = Hints { v4_mapped: true, ..v6.clone() };
        assert_resolve(literal("::1", 80, &v4).unwrap(), io::ErrorKind::NotFound);
        assert_resolve(literal("1.2.3.4", 80, &v6).unwrap(), io::ErrorKind::NotFound);
        assert_eq!(texts(literal("1.2.3.4", 80, &mapped)), ["[::ffff:1.2.3.4]:80"]);

        let wildcard = Hints { passive: true, ..Hints::default() };
        assert_eq!(texts(literal("", 80, &wildcard)), ["0.0.0.0:80", "[::]:80"]);
        let wildcard = Hints { passive: true, ..mapped };
        assert_eq!(texts(literal("", 80, &wildcard)), ["[::]:80"]);

        let both = Hints { socket_type: SocketType::Any, canonical_name: true, ..v4 };
        let answers = literal("1.2.3.4", 80, &both).unwrap().unwrap();
        assert_eq!(answers.iter().map(|one| one.protocol).collect::<Vec<_>>(), [6, 17]);
        assert_eq!(answers[0].canonical_name.as_deref(), Some("1.2.3.4"));
        assert_eq!(answers[1].canonical_name, None);

        let odd = Hints { protocol: 132, ..Hints::default() };
        assert!(literal("1.2.3.4", 80, &odd).is_none(), "the system knows more protocols");
    }

    #[test]
    fn literals_are_addresses_and_other_texts_are_named() {
        for text in ["127.0.0.1:0", "[::1]:80", "[fe80::1%2]:443"] {
            assert_eq!(text.into_address().unwrap().to_string(), text);
            assert_eq!(text.to_owned().into_address().unwrap(), text.parse().unwrap());
        }
        for text in
            ["", "localhost:80", "127.0.0.1", "::1:80", "127.0.0.1:65536", "/run/x", "1:2\n"]
        {
            match (&text.to_owned()).into_address() {
                Err(Error::InvalidInput { what }) => {
                    assert!(what.contains(&format!("{text:?}")), "{what}");
                }
                other => panic!("{text:?}: {other:?}"),
            }
        }
    }

    fn literal(
        host: &str,
        service: impl Into<Service>,
        hints: &Hints,
    ) -> Option<Result<Vec<AddrInfo>>> {
        Query::new(host, service.into(), hints.clone()).unwrap().literal()
    }

    fn texts(answers: Option<Result<Vec<AddrInfo>>>) -> Vec<String> {
        answers.unwrap().unwrap().iter().map(|one| one.address.to_string()).collect()
    }

    fn assert_invalid(result: Result<Query>, argument: &str) {
        match result {
            Err(Error::InvalidInput { what }) => assert!(what.contains(argument), "{what}"),
            other => panic!("{other:?}"),
        }
    }

    fn assert_resolve(result: Result<Vec<AddrInfo>>, kind: io::ErrorKind) {
        match result {
            Err(Error::Resolve { cause, .. }) => assert_eq!(cause.kind(), kind, "{cause}"),
            other => panic!("{other:?}"),
        }
    }
}
