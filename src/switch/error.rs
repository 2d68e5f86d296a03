//! Errors of the switch: what is wrong, and what to do.

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};

use crate::config::network::Network;
use crate::error::Error;

/// An error of the switch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum SwitchError {
    /// A signal arrived before anything was changed.
    Interrupted,
    /// Another process switches.
    Locked { owner: String },
    /// The state file, or its lock, cannot be used.
    StateFile {
        /// "save", "delete", "lock".
        task: &'static str,
        path: PathBuf,
        cause: String,
    },
    /// The state file cannot be read.
    UnreadableState { path: PathBuf, cause: String },
    /// The same network is redirected and excepted.
    EntryIsExcepted { entry: Network, exception: Network },

    /// A command cannot be started.
    CannotRun {
        program: PathBuf,
        cause: String,
        advice: &'static str,
    },
    /// A command was killed because it took too long.
    CommandTimeout { command: String, seconds: u64 },
    /// A command reports an error.
    CommandFailed {
        /// What fails: "nft cannot change the sets".
        task: String,
        /// What the command printed, or its exit status.
        error_text: String,
        /// The command to run by hand, where that shows more.
        by_hand: Option<String>,
    },
    /// pfctl cannot change the table at this securelevel(7).
    ChangeForbidden { table: String, error_text: String },
    /// pfctl cannot kill states at this securelevel(7).
    KillForbidden { label: String, error_text: String },
    /// The packet filter refused the change, and the table is as it was.
    ChangeRefused(Box<Self>),

    /// pf is disabled.
    PfDisabled { is_freebsd: bool },
    /// `pfctl -s info` has no status line.
    PfStatusUnknown,
    /// pf has no such table.
    NoPfTable { table: String },
    /// No rule of pf uses the table.
    UnusedPfTable { table: String },
    /// No rule of pf has the label.
    NoPfLabel { label: String },
    /// No rule of pf redirects the table's clients.
    NoPfRedirect { table: String },
    /// Rules of pf are for an interface that does not exist.
    NoPfInterface {
        name: String,
        /// No other rule does the same for an interface that exists.
        is_needed: bool,
    },
    /// Rules redirect to `::1`, which FreeBSD does not deliver to.
    PfLoopbackTarget { target: SocketAddr },
    /// nft's table does not exist.
    NoNftTable { table: String, nft: PathBuf },
    /// nft's table lacks a part, or has rules of an older maintd.
    IncompleteNftTable {
        table: String,
        what: String,
        nft: PathBuf,
    },
    /// nft prints the table in an unknown form.
    UnreadableNftTable { table: String },
    /// Another firewall keeps clients from the responder.
    Firewall(String),

    /// pf's table has an entry that cannot be parsed.
    UnreadableEntries { table: String },
    /// The table cannot be read, although rules use it.
    UnreadableTable { table: String },
    /// An address is not redirected after the change.
    NotRedirected { address: IpAddr, set: String },
    /// An excepted address is redirected after the change.
    NotExcepted { address: IpAddr, set: String },
    /// Clients are redirected after the change that ended that.
    NotEmpty { set: String },
    /// Connections were not ended.
    ConnectionsLeft { count: u64, server: &'static str },

    /// The responder's address answers with another status than 503.
    WrongStatus { url: String, status: u16 },
    /// The responder does not answer in time.
    ResponderTimeout {
        url: String,
        cause: String,
        port: u16,
    },
    /// The responder listens on loopback alone, where nft cannot redirect to.
    ResponderOnLoopback { port: u16 },
    /// The responder does not answer.
    NoResponder { url: String, cause: String },
    /// The live site does not accept connections.
    LiveRefuses { server: SocketAddr, cause: String },
    /// The live site must accept connections before `off`.
    LiveRequired(Box<Self>),
    /// The live site accepts connections on none of these addresses.
    LiveRefusesAll { servers: String },
}

/// What to do where pf's rules are missing.
pub(crate) const LOAD_PF_RULES: &str =
    "put what \"maintd rules\" prints into /etc/pf.conf and run \"pfctl -f /etc/pf.conf\"";

impl fmt::Display for SwitchError {
    #[expect(clippy::too_many_lines, reason = "one arm for each error")]
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Interrupted => to.write_str("interrupted"),
            Self::Locked { owner } => write!(
                to,
                "another maintd is switching (process {owner}); wait for it, or check \"maintd status\""
            ),
            Self::StateFile { task, path, cause } => {
                write!(to, "cannot {task} \"{}\": {cause}", path.display())
            }
            Self::UnreadableState { path, cause } => write!(
                to,
                "cannot read \"{}\": {cause}; delete it and switch again",
                path.display()
            ),
            Self::EntryIsExcepted { entry, exception } => write!(
                to,
                "{entry} is to get the page, but the exception {exception} keeps it on the live site; give only one of them"
            ),

            Self::CannotRun {
                program,
                cause,
                advice,
            } => write!(to, "cannot run {}: {cause}; {advice}", program.display()),
            Self::CommandTimeout { command, seconds } => write!(
                to,
                "\"{command}\" did not end within {seconds} s and was killed; run it by hand to see why"
            ),
            Self::CommandFailed {
                task,
                error_text,
                by_hand: None,
            } => write!(to, "{task}: {error_text}"),
            Self::CommandFailed {
                task,
                error_text,
                by_hand: Some(command),
            } => write!(
                to,
                "{task}: {error_text}; run \"{command}\" by hand to see why"
            ),
            Self::ChangeForbidden { table, error_text } => write!(
                to,
                "pfctl cannot change table <{table}>: {error_text}, which a securelevel of 2 or more forbids (see \"sysctl kern.securelevel\")"
            ),
            Self::KillForbidden { label, error_text } => write!(
                to,
                "pfctl cannot kill the states of label \"{label}\": {error_text}"
            ),
            Self::ChangeRefused(cause) => write!(
                to,
                "{cause}; nothing has changed: see the command with -v, and run it by hand"
            ),

            Self::PfDisabled { is_freebsd } => write!(
                to,
                "pf is disabled, so no visitor is redirected; run \"pfctl -e\"{}",
                if *is_freebsd {
                    " (at securelevel 3 pfctl says so of a pf that is enabled too)"
                } else {
                    ""
                }
            ),
            Self::PfStatusUnknown => to.write_str(
                "pfctl does not print whether pf is enabled; run \"pfctl -s info\" to see why",
            ),
            Self::NoPfTable { table } => write!(to, "pf has no table <{table}>; {LOAD_PF_RULES}"),
            Self::UnusedPfTable { table } => write!(
                to,
                "no rule uses table <{table}>, so no visitor is redirected; {LOAD_PF_RULES}"
            ),
            Self::NoPfLabel { label } => write!(
                to,
                "no rule has the label \"{label}\", so connections cannot be ended by it; {LOAD_PF_RULES}"
            ),
            Self::NoPfRedirect { table } => write!(
                to,
                "no rule redirects the addresses of table <{table}>, so no visitor is redirected; {LOAD_PF_RULES}"
            ),
            Self::NoPfInterface { name, is_needed } => write!(
                to,
                "the rules are for the interface \"{name}\", which this host does not have{}",
                if *is_needed {
                    ", so visitors stay on the live site; put the interface that visitors connect to into /etc/pf.conf, and run \"pfctl -f /etc/pf.conf\""
                } else {
                    ""
                }
            ),
            Self::PfLoopbackTarget { target } => write!(
                to,
                "the rules redirect to {target}, where visitors never arrive on FreeBSD; redirect to an address of the interface, as \"maintd rules\" prints it"
            ),
            Self::NoNftTable { table, nft } => write!(
                to,
                "there is no table \"inet {table}\"; {}",
                load_nft_rules(nft)
            ),
            Self::IncompleteNftTable { table, what, nft } => {
                write!(to, "table \"inet {table}\" {what}; {}", load_nft_rules(nft))
            }
            Self::UnreadableNftTable { table } => write!(
                to,
                "nft prints table \"inet {table}\" in an unknown form; it must be 1.0 or newer"
            ),
            Self::Firewall(what) => write!(to, "{what}; or switch on all the same by --force"),

            Self::UnreadableEntries { table } => write!(
                to,
                "table <{table}> has entries that cannot be parsed; see \"pfctl -t {table} -T show\""
            ),
            Self::UnreadableTable { table } => write!(
                to,
                "table \"{table}\" cannot be read, though rules use it; try again"
            ),
            Self::NotRedirected { address, set } => {
                write!(to, "{address} is not in {set} after it was added")
            }
            Self::NotExcepted { address, set } => {
                write!(to, "{address} is in {set}, but is excepted")
            }
            Self::NotEmpty { set } => {
                write!(to, "{set} is not empty after it was emptied")
            }
            Self::ConnectionsLeft { count: 1, server } => {
                write!(to, "1 connection does not end on {server}")
            }
            Self::ConnectionsLeft { count, server } => {
                write!(to, "{count} connections do not end on {server}")
            }

            Self::WrongStatus { url, status } => write!(
                to,
                "the server on {url} answers with {status} and not 503, so visitors would not see the page; stop it, and start \"maintd serve\""
            ),
            Self::ResponderTimeout { url, cause, port } => write!(
                to,
                "no server answers on {url}: {cause}; check that no firewall drops packets to port {port} over the loopback interface, and that \"maintd serve\" runs"
            ),
            Self::ResponderOnLoopback { port } => write!(
                to,
                "the responder listens on loopback alone, where nft cannot redirect visitors to; have \"maintd serve\" listen on 0.0.0.0:{port} and [::]:{port}"
            ),
            Self::NoResponder { url, cause } => write!(
                to,
                "no server answers on {url}: {cause}; start \"maintd serve\" there"
            ),
            Self::LiveRefuses { server, cause } => {
                write!(to, "no server accepts connections on {server}: {cause}")
            }
            Self::LiveRefusesAll { servers } => {
                write!(to, "no server accepts connections on any of {servers}")
            }
            Self::LiveRequired(cause) => write!(
                to,
                "{cause}; start the live site, name its address by \"live\" in \"switch\", or use --force"
            ),
        }
    }
}

impl std::error::Error for SwitchError {}

impl From<SwitchError> for Error {
    fn from(error: SwitchError) -> Self {
        Self::Failed(error.to_string())
    }
}

/// What to do where nft's table or rules are missing.
fn load_nft_rules(nft: &Path) -> String {
    format!(
        "load its rules: \"maintd rules --backend nft | {} -f -\", and at each boot from a file",
        nft.display()
    )
}
