//! The messages of DNS, as far as a stub resolver needs them (RFC 1035, section 4; RFC 3596).

use std::{
    hash::{BuildHasher, RandomState},
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
};

use facade_engine::{Bytes, Datagram};
use facade_examples::Result;

/// What is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Type {
    A = 1,
    Aaaa = 28,
}

/// A question to a server.
#[derive(Debug, Clone)]
pub(crate) struct Question {
    bytes: Bytes,
    kind: Type,
}

const HEADER: usize = 12;
/// The class of the Internet.
const IN: u16 = 1;
/// Among the flags: it is an answer; it was cut short; recursion is desired.
const QR: u16 = 1 << 15;
const TC: u16 = 1 << 9;
const RD: u16 = 1 << 8;

impl Question {
    /// The question for the addresses of a name, with an id that nobody can guess.
    pub(crate) fn new(name: &str, kind: Type) -> Result<Self> {
        let [high, low, ..] = RandomState::new().hash_one(name).to_be_bytes();
        let mut bytes = vec![high, low];
        // One question, and nothing else.
        for number in [RD, 1, 0, 0, 0] {
            bytes.extend(number.to_be_bytes());
        }
        for label in name.trim_end_matches('.').split('.') {
            match u8::try_from(label.len()) {
                Ok(len @ 1..=63) => bytes.push(len),
                _ => return Err(format!("{name:?} is no name").into()),
            }
            bytes.extend(label.as_bytes());
        }
        bytes.push(0);
        for number in [kind as u16, IN] {
            bytes.extend(number.to_be_bytes());
        }
        Ok(Self { bytes: bytes.into(), kind })
    }

    /// As it is sent.
    pub(crate) fn bytes(&self) -> Bytes {
        self.bytes.clone()
    }

    /// What a datagram answers; none if it is no answer to this question.
    pub(crate) fn answer(&self, datagram: &Datagram) -> Option<Result<Vec<IpAddr>>> {
        let message = &datagram.bytes[..];
        let flags = number(message, 2)?;
        let is_for_this = message[..2] == self.bytes[..2]
            && flags & QR != 0
            && message.get(HEADER..self.bytes.len())?.eq_ignore_ascii_case(&self.bytes[HEADER..]);
        is_for_this.then(|| match flags & 0xf {
            _ if flags & TC != 0 || datagram.truncated => {
                Err("the answer is cut short: ask by TCP".into())
            }
            0 => self.addresses(message).ok_or_else(|| "the answer makes no sense".into()),
            3 => Err("there is no such name".into()),
            code => Err(format!("the server refuses: code {code}").into()),
        })
    }

    fn addresses(&self, message: &[u8]) -> Option<Vec<IpAddr>> {
        let mut addresses = Vec::new();
        let mut at = self.bytes.len();
        for _ in 0..number(message, 6)? {
            at = behind_name(message, at)?;
            let (kind, len) = (number(message, at)?, usize::from(number(message, at + 8)?));
            let data = message.get(at + 10..at + 10 + len)?;
            // Others are names on the way, of which the server has told the addresses, too.
            match self.kind {
                Type::A if kind == Type::A as u16 => {
                    addresses.push(Ipv4Addr::from(<[u8; 4]>::try_from(data).ok()?).into());
                }
                Type::Aaaa if kind == Type::Aaaa as u16 => {
                    addresses.push(Ipv6Addr::from(<[u8; 16]>::try_from(data).ok()?).into());
                }
                _ => {}
            }
            at += 10 + len;
        }
        Some(addresses)
    }
}

fn number(message: &[u8], at: usize) -> Option<u16> {
    Some(u16::from_be_bytes(message.get(at..at + 2)?.try_into().ok()?))
}

/// Where a name ends: with an empty label, or by pointing to an earlier one (section 4.1.4).
fn behind_name(message: &[u8], mut at: usize) -> Option<usize> {
    loop {
        match message.get(at)? {
            0 => return Some(at + 1),
            0xc0.. => return Some(at + 2),
            len => at += 1 + usize::from(*len),
        }
    }
}
