//! This host: its name and addresses.

use std::ffi::CStr;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use crate::sys::system::RoutingDomain;

/// The name of this host (gethostname(3)), if it has one.
pub(crate) fn host_name() -> Option<String> {
    let mut name = [0_u8; 256];
    // SAFETY: gethostname writes no more bytes than the given length, which is that of `name`.
    if unsafe { libc::gethostname(name.as_mut_ptr().cast(), name.len()) } != 0 {
        return None;
    }
    let end = name.iter().position(|byte| *byte == 0)?;
    let name = std::str::from_utf8(&name[..end]).ok()?;
    (!name.is_empty()).then(|| name.to_owned())
}

/// The addresses of this host that other hosts can reach (getifaddrs(3)): of interfaces that are up and in the routing domain
/// of this process, without loopback and link-local addresses.
///
/// # Errors
/// Of getifaddrs(3), or of the query for the routing domain.
pub(crate) fn own_addresses() -> io::Result<Vec<IpAddr>> {
    let domain = RoutingDomain::own()?;
    let mut first: *mut libc::ifaddrs = std::ptr::null_mut();
    // SAFETY: getifaddrs writes one pointer, and `first` is one.
    if unsafe { libc::getifaddrs(&raw mut first) } != 0 {
        return Err(io::Error::last_os_error());
    }
    let mut addresses = Vec::new();
    let mut next = first;
    while !next.is_null() {
        // SAFETY: each element of the list is valid until it is freed below.
        let entry = unsafe { &*next };
        // The flags are unsigned 32-bit numbers on all systems; the constants need not be.
        let is_up = i64::from(entry.ifa_flags) & i64::from(libc::IFF_UP) != 0;
        // SAFETY: the name of each element ends in NUL, and is valid as long as the list.
        let interface = unsafe { CStr::from_ptr(entry.ifa_name) };
        if is_up
            && let Some(address) = address(entry.ifa_addr)
            && domain.has(interface)
        {
            addresses.push(address);
        }
        next = entry.ifa_next;
    }
    // SAFETY: the list is getifaddrs's, and no reference into it is left.
    unsafe { libc::freeifaddrs(first) };
    addresses.retain(is_reachable_from_outside);
    addresses.sort_unstable();
    addresses.dedup();
    Ok(addresses)
}

/// The address of one element of the list, which may have none.
fn address(pointer: *const libc::sockaddr) -> Option<IpAddr> {
    if pointer.is_null() {
        return None;
    }
    // SAFETY: every address begins with a sockaddr, whose family is the type of the whole.
    let family = libc::c_int::from(unsafe { (*pointer).sa_family });
    match family {
        libc::AF_INET => {
            // SAFETY: of this family it is a sockaddr_in; it may be unaligned, so it is copied.
            let socket = unsafe { pointer.cast::<libc::sockaddr_in>().read_unaligned() };
            Some(Ipv4Addr::from(u32::from_be(socket.sin_addr.s_addr)).into())
        }
        libc::AF_INET6 => {
            // SAFETY: as above, a sockaddr_in6.
            let socket = unsafe { pointer.cast::<libc::sockaddr_in6>().read_unaligned() };
            Some(Ipv6Addr::from(socket.sin6_addr.s6_addr).into())
        }
        _ => None,
    }
}

const fn is_reachable_from_outside(address: &IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => {
            !address.is_loopback() && !address.is_link_local() && !address.is_unspecified()
        }
        IpAddr::V6(address) => {
            !address.is_loopback() && !address.is_unicast_link_local() && !address.is_unspecified()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn own_addresses_are_reachable_from_outside() {
        for address in own_addresses().unwrap() {
            assert!(!address.is_loopback(), "{address}");
            // A socket can be bound to them, so they are this host's.
            std::net::UdpSocket::bind((address, 0)).unwrap();
        }
    }
}
