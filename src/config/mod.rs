//! The configuration as typed values, read from a file in nginx's grammar or set by flags. A [`Config`] that exists is valid,
//! as far as that can be checked without opening sockets and files.

pub mod control;
pub mod limits;
pub mod listen;
pub(crate) mod load;
pub mod logs;
pub mod network;
pub mod nginx;
pub mod server_name;
pub mod settings;
pub mod site;
pub mod switch;
pub mod user;

pub use crate::config::control::{ControlSocket, Metrics};
pub use crate::config::limits::{MAX_WORKERS, Timeouts};
pub use crate::config::listen::{BindAddr, Endpoint, EndpointSource, ListenSpec, Purpose};
pub use crate::config::logs::{LogSettings, Syslog, SyslogServer, Target};
pub(crate) use crate::config::nginx::time;
pub use crate::config::settings::Config;
pub use crate::config::site::{
    CertificateFiles, Cors, PageSource, SiteConfig, TlsConfig, TlsVersions,
};
pub use crate::config::switch::SwitchConfig;
pub use crate::config::user::Identity;
