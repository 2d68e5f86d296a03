//! maintd with stand-ins for the system's commands: the whole command line as a process of its own, and no root needed.
//!
//! `MAINTD_PFCTL`, `MAINTD_NFT` and `MAINTD_SS` name the stand-ins; `MAINTD_NEED_ROOT` has it ask for root all the same.

use std::env;
use std::path::PathBuf;
use std::process::ExitCode;

use maintd::cli;
use maintd::switch::Tools;

fn main() -> ExitCode {
    let tool = |variable: &str| {
        env::var_os(variable).map_or_else(|| PathBuf::from("/nonexistent"), PathBuf::from)
    };
    cli::main_with(&Tools {
        pfctl: tool("MAINTD_PFCTL"),
        nft: tool("MAINTD_NFT"),
        ss: tool("MAINTD_SS"),
        need_root: env::var_os("MAINTD_NEED_ROOT").is_some(),
    })
}
