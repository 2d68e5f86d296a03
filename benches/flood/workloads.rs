//! The workloads and their goals.

use rustls::{CipherSuite, NamedGroup, ProtocolVersion};

use crate::load::Plan;
use crate::servers::{Port, Server, ServerKind};
use crate::tls::{Settings, TlsProfile};

/// The limit of maintd's figure.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Goal {
    /// At most this ratio to another server's figure.
    Of(ServerKind, f64),
    /// At most this much.
    AtMost(f64),
}

/// A load whose CPU time is measured.
pub struct Workload {
    pub name: &'static str,
    pub title: &'static str,
    pub port: Port,
    pub tls: Option<TlsProfile>,
    /// As [`Plan::depth`].
    pub depth: usize,
    /// The bare limit to compare with.
    pub bare: Option<ServerKind>,
    pub goals: &'static [Goal],
}

impl Workload {
    pub fn plan(&self, server: &Server) -> std::io::Result<Plan> {
        let tls = self.tls.map(Settings::new).transpose()?;
        Plan::new(server.address(self.port), tls, self.depth)
    }
}

const RESUMED: TlsProfile = TlsProfile {
    resumed: true,
    ..TlsProfile::FULL
};

const CLEAR: Workload = Workload {
    name: "new",
    title: "new clear connection",
    port: Port::Clear,
    tls: None,
    depth: 0,
    bare: Some(ServerKind::BareClose),
    goals: &[
        Goal::Of(ServerKind::Nginx, 0.66),
        Goal::Of(ServerKind::BareClose, 1.10),
    ],
};

const TLS: Workload = Workload {
    name: "tls-p256",
    title: "new TLS 1.3, P-256",
    port: Port::P256,
    tls: Some(TlsProfile::FULL),
    depth: 0,
    bare: None,
    goals: &[Goal::Of(ServerKind::Nginx, 0.38)],
};

/// The loads whose CPU time for each answer is measured.
pub const WORKLOADS: &[Workload] = &[
    CLEAR,
    Workload {
        name: "keepalive",
        title: "clear keep-alive",
        depth: 1,
        bare: Some(ServerKind::BareKeep),
        goals: &[
            Goal::Of(ServerKind::Nginx, 0.58),
            Goal::Of(ServerKind::BareKeep, 1.15),
        ],
        ..CLEAR
    },
    Workload {
        name: "pipelined",
        title: "pipelined by 16",
        depth: 16,
        bare: None,
        goals: &[Goal::Of(ServerKind::Nginx, 0.40)],
        ..CLEAR
    },
    TLS,
    Workload {
        name: "tls-p256-aes128",
        title: "the same, all on AES-128-GCM-SHA256",
        tls: Some(TlsProfile {
            suite: Some(CipherSuite::TLS13_AES_128_GCM_SHA256),
            ..TlsProfile::FULL
        }),
        goals: &[Goal::Of(ServerKind::Nginx, 0.39)],
        ..TLS
    },
    Workload {
        name: "tls-rsa",
        title: "new TLS 1.3, RSA-2048",
        port: Port::Rsa,
        goals: &[Goal::Of(ServerKind::Nginx, 0.63)],
        ..TLS
    },
    Workload {
        name: "tls-mlkem",
        title: "new TLS 1.3, P-256, X25519MLKEM768",
        tls: Some(TlsProfile {
            group: NamedGroup::X25519MLKEM768,
            ..TlsProfile::FULL
        }),
        goals: &[],
        ..TLS
    },
    Workload {
        name: "tls12",
        title: "new TLS 1.2, P-256",
        tls: Some(TlsProfile {
            version: ProtocolVersion::TLSv1_2,
            ..TlsProfile::FULL
        }),
        goals: &[],
        ..TLS
    },
    Workload {
        name: "tls-resumed",
        title: "resumed TLS 1.3",
        tls: Some(RESUMED),
        goals: &[Goal::Of(ServerKind::Nginx, 0.42)],
        ..TLS
    },
    Workload {
        name: "tls12-resumed",
        title: "resumed TLS 1.2",
        tls: Some(TlsProfile {
            version: ProtocolVersion::TLSv1_2,
            ..RESUMED
        }),
        goals: &[],
        ..TLS
    },
    Workload {
        name: "tls-keepalive",
        title: "TLS keep-alive",
        depth: 1,
        goals: &[Goal::Of(ServerKind::Nginx, 0.50)],
        ..TLS
    },
];

/// The loads whose latency is measured.
pub const PACED: &[Workload] = &[
    Workload {
        name: "latency-new",
        goals: &[Goal::Of(ServerKind::Nginx, 1.0)],
        ..CLEAR
    },
    Workload {
        name: "latency-tls",
        goals: &[Goal::Of(ServerKind::Nginx, 1.0)],
        ..TLS
    },
];

/// Idle connections whose memory is measured.
pub struct IdleLoad {
    pub name: &'static str,
    pub title: &'static str,
    pub tls: bool,
    /// The client sends only half of its first message.
    pub half: bool,
    pub goals: &'static [Goal],
}

pub const IDLE_LOADS: &[IdleLoad] = &[
    IdleLoad {
        name: "memory-idle",
        title: "memory of an idle clear connection",
        tls: false,
        half: false,
        goals: &[Goal::AtMost(200.0)],
    },
    IdleLoad {
        name: "memory-idle-tls",
        title: "memory of an idle TLS connection",
        tls: true,
        half: false,
        goals: &[Goal::AtMost(6.0 * 1024.0)],
    },
    IdleLoad {
        name: "memory-half-hello",
        title: "memory of a half-sent ClientHello",
        tls: true,
        half: true,
        goals: &[Goal::AtMost(3000.0)],
    },
];
