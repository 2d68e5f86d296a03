//! maintd with stand-ins for the system's commands: the whole command line as a process of its own, and no root needed.
//!
//! `MAINTD_PFCTL`, `MAINTD_IFCONFIG`, `MAINTD_ROUTE`, `MAINTD_NFT` and `MAINTD_SS` name the stand-ins; with
//! `MAINTD_PF_OF_FREEBSD` pf is FreeBSD's; with `MAINTD_NEED_ROOT` it requires root all the same.
//! The host's addresses are 203.0.113.1 and 2001:db8:1::1, or the system's own where `MAINTD_OWN_ADDRESSES` is set.

use std::env;
use std::net::{Ipv4Addr, Ipv6Addr};
use std::path::PathBuf;
use std::process::ExitCode;

use maintd::cli;
use maintd::switch::{BecomeRoot, Tools};

fn main() -> ExitCode {
    let tool = |variable: &str| {
        env::var_os(variable).map_or_else(|| PathBuf::from("/nonexistent"), PathBuf::from)
    };
    cli::main_with(&Tools {
        pfctl: tool("MAINTD_PFCTL"),
        nft: tool("MAINTD_NFT"),
        ss: tool("MAINTD_SS"),
        iptables_save: [None, None, None, None],
        ifconfig: tool("MAINTD_IFCONFIG"),
        route: tool("MAINTD_ROUTE"),
        pf_of_freebsd: env::var_os("MAINTD_PF_OF_FREEBSD").is_some(),
        own: env::var_os("MAINTD_OWN_ADDRESSES").is_none().then(|| {
            vec![
                Ipv4Addr::new(203, 0, 113, 1).into(),
                Ipv6Addr::new(0x2001, 0xdb8, 1, 0, 0, 0, 0, 1).into(),
            ]
        }),
        become_root: env::var("MAINTD_NEED_ROOT")
            .ok()
            .map(|means| match means.as_str() {
                "doas" => BecomeRoot::Doas,
                "sudo" => BecomeRoot::Sudo,
                _ => BecomeRoot::Su,
            }),
        // The system's default may be in use.
        control: PathBuf::from("/nonexistent"),
    })
}
