//! The operating system, where the standard library does not reach it: the only module with unsafe code, and the only one with
//! code for a single system.
//!
//! `linux`, `freebsd` and `openbsd` define the same items; `system` re-exports those of the system that is compiled for.
//! `fallback` defines what a system does without a facility of its own, and is used on all other systems.
#![expect(unsafe_code, reason = "system calls")]

mod descriptors;
mod fallback;
#[cfg(target_os = "freebsd")]
mod freebsd;
mod host;
#[cfg(target_os = "linux")]
mod linux;
mod listen_fds;
#[cfg(target_os = "openbsd")]
mod openbsd;
mod poll;
mod privileges;
mod process;
mod root_directory;
#[cfg(all(
    target_os = "linux",
    any(
        target_arch = "x86_64",
        target_arch = "aarch64",
        target_arch = "riscv64"
    )
))]
mod seccomp;
mod shared_memory;
mod signals;
mod sockets;
mod syscall;
mod system;
mod terminal;
mod time;
mod users;

pub(crate) use crate::sys::descriptors::{next_descriptor, set_descriptor_limit};
pub(crate) use crate::sys::host::{host_name, own_addresses};
pub(crate) use crate::sys::listen_fds::take_listening;
pub(crate) use crate::sys::poll::{Source, is_writable, wait_for};
pub(crate) use crate::sys::privileges::Confinement;
pub(crate) use crate::sys::process::{
    ChildChange, Pid, child_change, exit, fork, ignore_signals, kill, unblock_signals,
};
pub(crate) use crate::sys::root_directory::check_root;
pub(crate) use crate::sys::shared_memory::shared_counters;
pub(crate) use crate::sys::signals::{
    forward_signals_to, hold_signals, is_signal_held, take_held_signal,
};
pub(crate) use crate::sys::sockets::{accept, peer_uid};
pub(crate) use crate::sys::syscall::ConfinementError;
pub(crate) use crate::sys::system::{
    CONTROL_SOCKET, DEFAULT_USER, HAS_CHROOT, HAS_PF, MORE_FOLLOWS, PF_IS_OF_FREEBSD,
    PF_KILLS_BY_LABEL, PIPE_BUF, SPREADS_CONNECTIONS, SYSLOG_SOCKET, backlog_limit,
    block_new_connections, confine_supervisor, defer_accept, missing_syscall_filter, share_port,
    unacknowledged, unblock_new_connections,
};
pub(crate) use crate::sys::terminal::{SingleKeys, terminal_size};
pub(crate) use crate::sys::time::{LocalTime, local_time, monotonic_micros, seconds_of, utc_time};
pub(crate) use crate::sys::users::{find_group, find_group_of, find_user, is_root, own_ids};
