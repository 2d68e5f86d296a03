//! The packet filters behind one front: each knows the command of a step, and what that command's output means.

use std::net::SocketAddr;
use std::path::PathBuf;

use super::command::{Call, Output};
use super::count::Count;
use super::nft::Nft;
use super::pf::Pf;
use super::plan::{Moved, Step};
use crate::config::switch::{Backend, SwitchConfig};

/// Where the system's commands are.
#[derive(Clone, Debug)]
pub struct Tools {
    /// pfctl(8).
    pub pfctl: PathBuf,
    /// nft(8).
    pub nft: PathBuf,
    /// ss(8).
    pub ss: PathBuf,
    /// Only root may use them.
    pub need_root: bool,
}

impl Tools {
    /// Those of the system: the first that is there of the usual places, never one of the caller's `PATH`.
    #[must_use]
    pub fn of_the_system() -> Self {
        let first = |name: &str| {
            let places = ["/sbin", "/usr/sbin", "/bin", "/usr/bin"];
            let mut paths = places
                .map(|place| PathBuf::from(place).join(name))
                .into_iter();
            let default = PathBuf::from("/sbin").join(name);
            paths.find(|path| path.exists()).unwrap_or(default)
        };
        Self {
            pfctl: first("pfctl"),
            nft: first("nft"),
            ss: first("ss"),
            need_root: true,
        }
    }
}

/// What a step has brought to light.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Finding {
    /// It is as it should be.
    Right,
    /// It will do, but this is to be told.
    Warning(String),
    /// Who is moved now.
    Moved(Moved),
    /// There is no table, so nobody is moved; what to do about it.
    NoTable(String),
    /// So many connections.
    Connections(u64),
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
pub(super) enum Means {
    /// By a command.
    Call(Call),
    /// By asking this server for the page.
    AskForPage(SocketAddr),
    /// By connecting to this server.
    Connect(SocketAddr),
    /// By reading files of the system, one after the other.
    Files(Vec<PathBuf>),
    /// There is nothing to do with this packet filter.
    Nothing,
}

/// One packet filter with its settings.
#[derive(Clone, Debug)]
pub(super) enum Filter {
    Pf(Pf),
    Nft(Nft),
}

impl Filter {
    pub(super) fn new(settings: SwitchConfig, tools: &Tools, own: Vec<std::net::IpAddr>) -> Self {
        match settings.backend {
            Backend::Pf => Self::Pf(Pf::new(settings, tools)),
            Backend::Nft => Self::Nft(Nft::new(settings, tools, own)),
        }
    }

    /// How a step is done that is the packet filter's.
    pub(super) fn means(&self, step: &Step) -> Means {
        match self {
            Self::Pf(pf) => pf.means(step),
            Self::Nft(nft) => nft.means(step),
        }
    }

    /// What has come of a step.
    ///
    /// # Errors
    /// It is not as it should be: what is wrong, and what to do.
    pub(super) fn judge(&self, step: &Step, output: &Output) -> Result<Finding, String> {
        match self {
            Self::Pf(pf) => pf.judge(step, output),
            Self::Nft(nft) => nft.judge(step, output),
        }
    }
}
