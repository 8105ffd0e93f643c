//! `AI_*` and `EAI_*` of GetAddrInfo, from ws2tcpip.h.

use windows_sys::Win32::Networking::WinSock as winsock;

pub(crate) const PASSIVE: i32 = winsock::AI_PASSIVE.cast_signed();
pub(crate) const CANONICAL_NAME: i32 = winsock::AI_CANONNAME.cast_signed();
pub(crate) const NUMERIC_HOST: i32 = winsock::AI_NUMERICHOST.cast_signed();
pub(crate) const V4_MAPPED: i32 = winsock::AI_V4MAPPED.cast_signed();
pub(crate) const ADDR_CONFIG: i32 = winsock::AI_ADDRCONFIG.cast_signed();
/// The host has no address of the family that is asked for.
pub(crate) const NO_SUCH_FAMILY: i32 = winsock::WSANO_DATA;
