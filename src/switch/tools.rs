//! The system's commands and settings that the switch uses, which tests replace.

use std::net::IpAddr;
use std::path::{Path, PathBuf};

use crate::config::{Config, ControlSocket};
use crate::sys;

/// The paths of the system's commands, and facts about the system.
#[derive(Clone, Debug)]
pub struct Tools {
    /// pfctl(8).
    pub pfctl: PathBuf,
    /// nft(8).
    pub nft: PathBuf,
    /// ss(8).
    pub ss: PathBuf,
    /// iptables-save(8) for the rules in nftables, and for those of older kernels' tables; for IPv4 and IPv6 each. `None`
    /// if not installed.
    pub iptables_save: [Option<PathBuf>; 4],
    /// ifconfig(8).
    pub ifconfig: PathBuf,
    /// route(8).
    pub route: PathBuf,
    /// pf is that of FreeBSD.
    pub pf_of_freebsd: bool,
    /// This host's addresses; `None` to list them.
    pub own: Option<Vec<IpAddr>>,
    /// How a user becomes root; `None` if the commands do not need root.
    pub become_root: Option<BecomeRoot>,
    /// The daemon's control socket, unless the configuration names another.
    pub control: PathBuf,
}

impl Tools {
    /// The system's commands: the first that exists in the usual directories, never one of the caller's `PATH`.
    #[must_use]
    pub fn of_the_system() -> Self {
        let find = |name: &str| {
            let directories = ["/sbin", "/usr/sbin", "/bin", "/usr/bin"];
            let mut paths = directories
                .map(|directory| PathBuf::from(directory).join(name))
                .into_iter();
            paths.find(|path| path.exists())
        };
        let first = |name: &str| find(name).unwrap_or_else(|| PathBuf::from("/sbin").join(name));
        Self {
            pfctl: first("pfctl"),
            nft: first("nft"),
            ss: first("ss"),
            iptables_save: [
                "iptables-nft-save",
                "ip6tables-nft-save",
                "iptables-legacy-save",
                "ip6tables-legacy-save",
            ]
            .map(find),
            ifconfig: first("ifconfig"),
            route: first("route"),
            pf_of_freebsd: sys::PF_IS_OF_FREEBSD,
            own: None,
            become_root: Some(BecomeRoot::of_the_system()),
            control: sys::CONTROL_SOCKET.into(),
        }
    }

    /// The daemon's control socket for a configuration.
    pub(crate) fn control_socket(&self, config: &Config) -> PathBuf {
        match &config.control {
            ControlSocket::At(path) => path.clone(),
            ControlSocket::Closed | ControlSocket::Default => self.control.clone(),
        }
    }
}

/// The program by which a user becomes root.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BecomeRoot {
    /// doas(1).
    Doas,
    /// sudo(8).
    Sudo,
    /// su(1), which every system has.
    Su,
}

impl BecomeRoot {
    /// The first that is installed.
    fn of_the_system() -> Self {
        let is_installed = |name: &str| {
            let mut directories = ["/usr/bin", "/usr/local/bin"].iter().map(Path::new);
            directories.any(|directory| directory.join(name).exists())
        };
        if is_installed("doas") {
            Self::Doas
        } else if is_installed("sudo") {
            Self::Sudo
        } else {
            Self::Su
        }
    }
}
