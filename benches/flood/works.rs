//! What is measured, and what it is to be.

use rustls::{CipherSuite, NamedGroup, ProtocolVersion};

use crate::load::Plan;
use crate::servers::{Kind, Port, Server};
use crate::tls::{Settings, Wish};

/// What maintd's figure is held against.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Goal {
    /// At most this share of another server's.
    Of(Kind, f64),
    /// At most this much.
    AtMost(f64),
}

/// A kind of load whose CPU time is measured.
pub struct Work {
    pub name: &'static str,
    pub title: &'static str,
    pub port: Port,
    pub tls: Option<Wish>,
    /// As [`Plan::depth`].
    pub depth: usize,
    /// The bare limit that fits.
    pub bare: Option<Kind>,
    pub goals: &'static [Goal],
}

impl Work {
    pub fn plan(&self, server: &Server) -> std::io::Result<Plan> {
        let tls = self.tls.map(Settings::new).transpose()?;
        Plan::new(server.address(self.port), tls, self.depth)
    }
}

const RESUMED: Wish = Wish {
    resumed: true,
    ..Wish::FULL
};

const CLEAR: Work = Work {
    name: "new",
    title: "new clear connection",
    port: Port::Clear,
    tls: None,
    depth: 0,
    bare: Some(Kind::BareClose),
    goals: &[Goal::Of(Kind::Nginx, 0.66), Goal::Of(Kind::BareClose, 1.10)],
};

const TLS: Work = Work {
    name: "tls-p256",
    title: "new TLS 1.3, P-256",
    port: Port::P256,
    tls: Some(Wish::FULL),
    depth: 0,
    bare: None,
    goals: &[Goal::Of(Kind::Nginx, 0.38)],
};

/// The loads whose CPU time for each answer is measured.
pub const WORKS: &[Work] = &[
    CLEAR,
    Work {
        name: "keepalive",
        title: "clear keep-alive",
        depth: 1,
        bare: Some(Kind::BareKeep),
        goals: &[Goal::Of(Kind::Nginx, 0.58), Goal::Of(Kind::BareKeep, 1.15)],
        ..CLEAR
    },
    Work {
        name: "pipelined",
        title: "pipelined by 16",
        depth: 16,
        bare: None,
        goals: &[Goal::Of(Kind::Nginx, 0.40)],
        ..CLEAR
    },
    TLS,
    Work {
        name: "tls-p256-aes128",
        title: "the same, all on AES-128-GCM-SHA256",
        tls: Some(Wish {
            suite: Some(CipherSuite::TLS13_AES_128_GCM_SHA256),
            ..Wish::FULL
        }),
        goals: &[Goal::Of(Kind::Nginx, 0.39)],
        ..TLS
    },
    Work {
        name: "tls-rsa",
        title: "new TLS 1.3, RSA-2048",
        port: Port::Rsa,
        goals: &[Goal::Of(Kind::Nginx, 0.63)],
        ..TLS
    },
    Work {
        name: "tls-mlkem",
        title: "new TLS 1.3, P-256, X25519MLKEM768",
        tls: Some(Wish {
            group: NamedGroup::X25519MLKEM768,
            ..Wish::FULL
        }),
        goals: &[],
        ..TLS
    },
    Work {
        name: "tls12",
        title: "new TLS 1.2, P-256",
        tls: Some(Wish {
            version: ProtocolVersion::TLSv1_2,
            ..Wish::FULL
        }),
        goals: &[],
        ..TLS
    },
    Work {
        name: "tls-resumed",
        title: "resumed TLS 1.3",
        tls: Some(RESUMED),
        goals: &[Goal::Of(Kind::Nginx, 0.42)],
        ..TLS
    },
    Work {
        name: "tls12-resumed",
        title: "resumed TLS 1.2",
        tls: Some(Wish {
            version: ProtocolVersion::TLSv1_2,
            ..RESUMED
        }),
        goals: &[],
        ..TLS
    },
    Work {
        name: "tls-keepalive",
        title: "TLS keep-alive",
        depth: 1,
        goals: &[Goal::Of(Kind::Nginx, 0.50)],
        ..TLS
    },
];

/// The loads at half of whose greatest rate the time to an answer is measured.
pub const PACED: &[Work] = &[
    Work {
        name: "latency-new",
        goals: &[Goal::Of(Kind::Nginx, 1.0)],
        ..CLEAR
    },
    Work {
        name: "latency-tls",
        goals: &[Goal::Of(Kind::Nginx, 1.0)],
        ..TLS
    },
];

/// What idle connections hold.
pub struct Held {
    pub name: &'static str,
    pub title: &'static str,
    pub tls: bool,
    /// The connection stops within its first message.
    pub half: bool,
    pub goals: &'static [Goal],
}

pub const HELD: &[Held] = &[
    Held {
        name: "memory-idle",
        title: "memory of an idle clear connection",
        tls: false,
        half: false,
        goals: &[Goal::AtMost(200.0)],
    },
    Held {
        name: "memory-idle-tls",
        title: "memory of an idle TLS connection",
        tls: true,
        half: false,
        goals: &[Goal::AtMost(6.0 * 1024.0)],
    },
    Held {
        name: "memory-half-hello",
        title: "memory of a half-sent ClientHello",
        tls: true,
        half: true,
        goals: &[Goal::AtMost(3000.0)],
    },
];
