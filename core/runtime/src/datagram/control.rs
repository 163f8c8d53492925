//! What the kernel says beside a datagram, and is told beside one: addresses and control messages
//! (cmsg(3)), read and written as the plain bytes that they are.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV6};
use std::os::fd::AsRawFd;

use socket2::SockRef;

use super::Options;

/// Bytes of the longest address of a peer.
pub(crate) const NAME_MAX: usize = size_of::<libc::sockaddr_in6>();
/// Bytes of a control message's head; all of it is aligned to the size of a word.
const HEAD: usize = size_of::<libc::cmsghdr>();
const WORD: usize = size_of::<usize>();

/// What was told beside a datagram.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Told {
    /// The address that it was sent to.
    pub(crate) local: Option<IpAddr>,
    /// How many were dropped before it, modulo 2^32.
    pub(crate) dropped: Option<u32>,
}

/// Asks the kernel for what the options want to know.
pub(super) fn ask_for(socket: &SockRef<'_>, options: Options) -> io::Result<()> {
    if options.locals {
        let v6 = socket.local_addr()?.is_ipv6();
        let (level, name) = match v6 {
            true => (libc::IPPROTO_IPV6, libc::IPV6_RECVPKTINFO),
            false => (libc::IPPROTO_IP, libc::IP_PKTINFO),
        };
        turn_on(socket, level, name)?;
    }
    if options.peers {
        turn_on(socket, libc::SOL_SOCKET, libc::SO_RXQ_OVFL)?;
    }
    Ok(())
}

fn turn_on(socket: &SockRef<'_>, level: i32, name: i32) -> io::Result<()> {
    let on: libc::c_int = 1;
    let length = size_of_val(&on) as libc::socklen_t;
    // SAFETY: the descriptor is open, and the value is an int, which lives through the call.
    let result = unsafe {
        libc::setsockopt(socket.as_raw_fd(), level, name, (&raw const on).cast(), length)
    };
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

impl Options {
    /// Room for the peer's address.
    pub(crate) fn name_len(self) -> usize {
        if self.peers { NAME_MAX } else { 0 }
    }

    /// Room for the control messages that were asked for.
    pub(crate) fn control_len(self) -> usize {
        let of = |asked: bool, bytes: usize| if asked { space(bytes) } else { 0 };
        of(self.locals, size_of::<libc::in6_pktinfo>()) + of(self.peers, size_of::<u32>())
    }
}

/// `CMSG_SPACE`: bytes of a message with so much data.
const fn space(data: usize) -> usize {
    HEAD + data.next_multiple_of(WORD)
}

/// Reads the control messages of one datagram. What is cut short is not read.
pub(crate) fn told(mut control: &[u8]) -> Told {
    let mut told = Told::default();
    while let Some((length, level, kind)) = head(control) {
        let Some(data) = control.get(HEAD..length) else { break };
        match (level, kind) {
            (libc::IPPROTO_IP, libc::IP_PKTINFO) => {
                // `in_pktinfo`: interface, the address routed to, the address of the header.
                told.local = array(data, 8).map(|bytes: [u8; 4]| Ipv4Addr::from(bytes).into());
            }
            (libc::IPPROTO_IPV6, libc::IPV6_PKTINFO) => {
                told.local = array(data, 0).map(|bytes: [u8; 16]| Ipv6Addr::from(bytes).into());
            }
            (libc::SOL_SOCKET, libc::SO_RXQ_OVFL) => {
                told.dropped = array(data, 0).map(u32::from_ne_bytes);
            }
            _ => {}
        }
        control = control.get(length.next_multiple_of(WORD)..).unwrap_or_default();
    }
    told
}

/// Length (that of the head included), level and type of the first message.
fn head(control: &[u8]) -> Option<(usize, i32, i32)> {
    let length = usize::from_ne_bytes(array(control, 0)?);
    let level = i32::from_ne_bytes(array(control, WORD)?);
    let kind = i32::from_ne_bytes(array(control, WORD + 4)?);
    (length >= HEAD).then_some((length, level, kind))
}

fn array<const N: usize>(bytes: &[u8], at: usize) -> Option<[u8; N]> {
    bytes.get(at..at + N)?.try_into().ok()
}

/// A socket address as the kernel writes it.
pub(crate) fn address(name: &[u8]) -> Option<SocketAddr> {
    let family = u16::from_ne_bytes(array(name, 0)?);
    let port = u16::from_be_bytes(array(name, 2)?);
    match i32::from(family) {
        libc::AF_INET => {
            let ip: [u8; 4] = array(name, 4)?;
            Some(SocketAddr::new(ip.into(), port))
        }
        libc::AF_INET6 => {
            let flow = u32::from_be_bytes(array(name, 4)?);
            let ip: [u8; 16] = array(name, 8)?;
            let scope = u32::from_ne_bytes(array(name, 24)?);
            Some(SocketAddrV6::new(ip.into(), port, flow, scope).into())
        }
        _ => None,
    }
}

/// The control messages of a datagram to send: from which address. Aligned as the kernel wants it.
#[derive(Debug, Default)]
pub(crate) struct Control {
    words: [u64; 5],
    length: usize,
}

impl Control {
    /// Says from which address a datagram is to be sent, to a peer of the same family.
    pub(crate) fn from(ip: Option<IpAddr>) -> Self {
        let mut control = Self::default();
        match ip {
            None => {}
            Some(IpAddr::V4(ip)) => {
                // `ipi_spec_dst` is the address to send from.
                let mut info = [0; size_of::<libc::in_pktinfo>()];
                info[4..8].copy_from_slice(&ip.octets());
                control.set(libc::IPPROTO_IP, libc::IP_PKTINFO, &info);
            }
            Some(IpAddr::V6(ip)) => {
                let mut info = [0; size_of::<libc::in6_pktinfo>()];
                info[..16].copy_from_slice(&ip.octets());
                control.set(libc::IPPROTO_IPV6, libc::IPV6_PKTINFO, &info);
            }
        }
        control
    }

    fn set(&mut self, level: i32, kind: i32, data: &[u8]) {
        let mut bytes = [0; 40];
        bytes[..WORD].copy_from_slice(&(HEAD + data.len()).to_ne_bytes());
        bytes[WORD..WORD + 4].copy_from_slice(&level.to_ne_bytes());
        bytes[WORD + 4..HEAD].copy_from_slice(&kind.to_ne_bytes());
        bytes[HEAD..HEAD + data.len()].copy_from_slice(data);
        for (word, bytes) in self.words.iter_mut().zip(bytes.chunks_exact(8)) {
            *word = bytes.try_into().map_or(0, u64::from_ne_bytes);
        }
        self.length = space(data.len());
    }

    /// Points a message header at it, for as long as it does not move.
    pub(crate) fn aim(&mut self, header: &mut libc::msghdr) {
        header.msg_controllen = self.length as _;
        header.msg_control = match self.length {
            0 => std::ptr::null_mut(),
            _ => self.words.as_mut_ptr().cast(),
        };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bytes_of(control: &Control) -> Vec<u8> {
        let all: Vec<u8> = control.words.iter().flat_map(|word| word.to_ne_bytes()).collect();
        all[..control.length].to_vec()
    }

    #[test]
    fn what_is_written_beside_a_datagram_is_what_can_be_read() {
        let ip: Ipv6Addr = "fe80::1".parse().unwrap();
        let mut control = bytes_of(&Control::from(Some(ip.into())));
        assert_eq!(told(&control).local, Some(ip.into()));
        let mut drops = Control::default();
        drops.set(libc::SOL_SOCKET, libc::SO_RXQ_OVFL, &7_u32.to_ne_bytes());
        control.extend(bytes_of(&drops));
        assert_eq!(told(&control), Told { local: Some(ip.into()), dropped: Some(7) });
        assert!(
            control.len() <= Options { max_payload: 0, peers: true, locals: true }.control_len()
        );
    }

    #[test]
    fn what_is_cut_short_is_not_read() {
        let control = bytes_of(&Control::from(Some(Ipv4Addr::LOCALHOST.into())));
        for length in 0..control.len() {
            told(&control[..length]);
        }
        let mut lies = control.clone();
        lies[..WORD].copy_from_slice(&usize::MAX.to_ne_bytes());
        assert_eq!(told(&lies), Told::default());
        lies[..WORD].copy_from_slice(&0_usize.to_ne_bytes());
        assert_eq!(told(&lies), Told::default());
    }

    #[test]
    fn addresses_are_read_as_they_are_written() {
        for text in ["127.0.0.1:80", "[::1]:443", "[fe80::2%3]:9"] {
            let expected: SocketAddr = text.parse().unwrap();
            let raw = socket2::SockAddr::from(expected);
            // SAFETY: as many bytes as the address says that it has.
            let name = unsafe {
                std::slice::from_raw_parts(raw.as_ptr().cast::<u8>(), raw.len() as usize)
            };
            assert_eq!(address(name), Some(expected));
            assert_eq!(address(&name[..4]), None);
        }
    }
}
