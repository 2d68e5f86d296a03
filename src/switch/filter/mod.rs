//! The packet filters behind one front: each knows the command of a step, and what that command's output means.

pub(crate) mod means;
pub(crate) mod nft;
pub(crate) mod pf;
use crate::config::switch::{Backend, SwitchConfig};
use crate::switch::command::Output;
use crate::switch::filter::means::{Finding, Means, Tools};
use crate::switch::filter::nft::Nft;
use crate::switch::filter::pf::Pf;
use crate::switch::plan::Step;

/// One packet filter with its settings.
#[derive(Clone, Debug)]
pub(crate) enum Filter {
    Pf(Pf),
    Nft(Nft),
}

impl Filter {
    pub(crate) fn new(settings: SwitchConfig, tools: &Tools, own: Vec<std::net::IpAddr>) -> Self {
        match settings.backend {
            Backend::Pf => Self::Pf(Pf::new(settings, tools, own)),
            Backend::Nft => Self::Nft(Nft::new(settings, tools, own)),
        }
    }

    /// How a step is done that is the packet filter's.
    pub(crate) fn means(&self, step: &Step) -> Means {
        match self {
            Self::Pf(pf) => pf.means(step),
            Self::Nft(nft) => nft.means(step),
        }
    }

    /// What has come of a step.
    ///
    /// # Errors
    /// It is not as it should be: what is wrong, and what to do.
    pub(crate) fn judge(&self, step: &Step, output: &Output) -> Result<Finding, String> {
        match self {
            Self::Pf(pf) => pf.judge(step, output),
            Self::Nft(nft) => nft.judge(step, output),
        }
    }

    /// What has come of a step that takes several commands.
    ///
    /// # Errors
    /// As of [`Self::judge`].
    pub(crate) fn judge_several(&self, step: &Step, outputs: &[Output]) -> Result<Finding, String> {
        match self {
            Self::Pf(pf) => pf.judge_several(step, outputs),
            Self::Nft(nft) => nft.judge_several(step, outputs),
        }
    }
}
