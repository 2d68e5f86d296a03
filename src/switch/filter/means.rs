//! How a step is done, and what comes of it: what the packet filters and those who use them have in common.

use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};

use crate::switch::command::Call;
use crate::switch::plan::Moved;
use crate::sys;

/// What rules have counted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Count {
    pub(crate) packets: u64,
    pub(crate) bytes: u64,
}

/// Where the system's commands are.
#[derive(Clone, Debug)]
pub struct Tools {
    /// pfctl(8).
    pub pfctl: PathBuf,
    /// nft(8).
    pub nft: PathBuf,
    /// ss(8).
    pub ss: PathBuf,
    /// iptables-save(8) for the rules in nftables, and for those of older kernels' tables; for IPv4 and IPv6 each. Those that
    /// are there.
    pub iptables_save: [Option<PathBuf>; 4],
    /// ifconfig(8).
    pub ifconfig: PathBuf,
    /// route(8).
    pub route: PathBuf,
    /// pf is FreeBSD's.
    pub pf_of_freebsd: bool,
    /// This host's addresses; the system is asked without them.
    pub own: Option<Vec<IpAddr>>,
    /// How their user becomes root, where only root may use them.
    pub become_root: Option<BecomeRoot>,
    /// The daemon's control socket, where the configuration names no other.
    pub control: PathBuf,
}

impl Tools {
    /// Those of the system: the first that is there of the usual places, never one of the caller's `PATH`.
    #[must_use]
    pub fn of_the_system() -> Self {
        let find = |name: &str| {
            let places = ["/sbin", "/usr/sbin", "/bin", "/usr/bin"];
            let mut paths = places
                .map(|place| PathBuf::from(place).join(name))
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
            let mut places = ["/usr/bin", "/usr/local/bin"].iter().map(Path::new);
            places.any(|place| place.join(name).exists())
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

/// What a step has brought to light.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Finding {
    /// It is as it should be.
    Right,
    /// It will do, but this is to be told.
    Warning(String),
    /// Visitors are redirected, and something keeps some of them from the page.
    Obstacle(String),
    /// Who is moved now.
    Moved(Moved),
    /// There is no table, so nobody is moved; what to do about it.
    NoTable(String),
    /// So many connections.
    Connections(u64),
    /// The rules redirect to these servers; with warnings about the rules.
    Redirects {
        targets: Vec<SocketAddr>,
        warnings: Vec<String>,
    },
    /// What the rules have counted: of those who are moved, and of the live site.
    Counts([Option<Count>; 2]),
    /// How many connections the packet filter keeps account of, and of how many it can, as far as the step tells.
    Room {
        /// Now.
        used: Option<u64>,
        /// At most.
        limit: Option<u64>,
    },
}

/// How a step is done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Means {
    /// By a command.
    Call(Call),
    /// By several commands, one after the other, of which the outputs are judged together.
    Calls(Vec<Call>),
    /// By asking this server for the page. Where it is not required, that it gives no answer in time is a warning.
    AskForPage {
        server: SocketAddr,
        is_required: bool,
    },
    /// By connecting to this server.
    Connect(SocketAddr),
    /// By connecting to these servers at once, of which one must accept; where none has to, that none does is a warning.
    ConnectToAny {
        servers: Vec<SocketAddr>,
        is_required: bool,
    },
    /// By reading files of the system, one after the other.
    Files(Vec<PathBuf>),
    /// There is nothing to do with this packet filter.
    Nothing,
}
