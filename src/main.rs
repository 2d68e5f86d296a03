//! The maintenance daemon. Everything is in the library.

use std::process::ExitCode;

fn main() -> ExitCode {
    maintd::cli::main()
}
