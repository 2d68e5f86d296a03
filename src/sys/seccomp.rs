//! The filter of a worker's system calls on Linux (seccomp(2)).
//!
//! There are two filters, because a filter has only two actions: the first kills the worker at a call that only an attacker
//! would make, the second refuses all calls that a worker does not need. For a call that both allow whatever its arguments,
//! the kernel (from 5.11) uses a bitmap and does not run the filters: that holds for every call of a request.

use std::collections::BTreeMap;
use std::io;

use seccompiler::{
    BackendError, BpfProgram, SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition,
    SeccompFilter, SeccompRule, TargetArch,
};

/// Calls that kill: to execute a program, to access another process, to open a socket, also by `io_uring`.
const KILLED: [libc::c_long; 12] = [
    libc::SYS_execve,
    libc::SYS_execveat,
    libc::SYS_ptrace,
    libc::SYS_process_vm_readv,
    libc::SYS_process_vm_writev,
    libc::SYS_pidfd_getfd,
    libc::SYS_socket,
    libc::SYS_socketpair,
    libc::SYS_connect,
    libc::SYS_bind,
    libc::SYS_listen,
    libc::SYS_io_uring_setup,
];

/// Calls that are allowed with all arguments: those that strace(1) shows under the tests, and those that libc and the crypto
/// libraries may make instead. A new call of a worker must be added here, or it fails with `EPERM`.
const ALLOWED: [libc::c_long; 30] = [
    // Connections and the pipes to the supervisor.
    libc::SYS_accept4,
    // The address that a client has connected to, where one socket listens for several endpoints.
    libc::SYS_getsockname,
    libc::SYS_recvfrom,
    libc::SYS_sendto,
    libc::SYS_read,
    libc::SYS_write,
    libc::SYS_writev,
    libc::SYS_shutdown,
    libc::SYS_close,
    libc::SYS_fcntl,
    // epoll.
    libc::SYS_epoll_create1,
    libc::SYS_epoll_ctl,
    libc::SYS_epoll_pwait,
    // Time, where the vDSO does not have it, and randomness.
    libc::SYS_clock_gettime,
    libc::SYS_getrandom,
    // Memory and locks.
    libc::SYS_brk,
    libc::SYS_munmap,
    libc::SYS_mremap,
    libc::SYS_madvise,
    libc::SYS_futex,
    libc::SYS_sched_yield,
    // Signals and the end of the process.
    libc::SYS_rt_sigaction,
    libc::SYS_rt_sigprocmask,
    libc::SYS_rt_sigreturn,
    libc::SYS_sigaltstack,
    libc::SYS_restart_syscall,
    libc::SYS_getpid,
    libc::SYS_gettid,
    libc::SYS_exit,
    libc::SYS_exit_group,
];

/// An older call that newer architectures do not have.
#[cfg(target_arch = "x86_64")]
const OLDER: [libc::c_long; 1] = [libc::SYS_epoll_wait];
#[cfg(not(target_arch = "x86_64"))]
const OLDER: [libc::c_long; 0] = [];

/// The only request of ioctl(2). Its type is not the same in every libc.
#[allow(
    clippy::cast_lossless,
    clippy::cast_sign_loss,
    clippy::unnecessary_cast,
    reason = "it is positive"
)]
const UNACKNOWLEDGED: u64 = libc::TIOCOUTQ as u64;

/// Whether this kernel has filters that can kill a process (4.14).
pub(crate) fn is_available() -> bool {
    let action = libc::SECCOMP_RET_KILL_PROCESS;
    let no_flags: libc::c_ulong = 0;
    // SAFETY: the call reads one u32, and `action` is one.
    let status = unsafe {
        libc::syscall(
            libc::SYS_seccomp,
            libc::SECCOMP_GET_ACTION_AVAIL,
            no_flags,
            &raw const action,
        )
    };
    status == 0
}

/// Installs the filters for this thread. `PR_SET_NO_NEW_PRIVS` must be set.
pub(crate) fn install() -> io::Result<()> {
    let killed = killed().map_err(io::Error::other)?;
    let allowed = allowed().map_err(io::Error::other)?;
    for program in [killed, allowed] {
        seccompiler::apply_filter(&program).map_err(|error| match error {
            seccompiler::Error::Prctl(error) | seccompiler::Error::Seccomp(error) => error,
            seccompiler::Error::Backend(_)
            | seccompiler::Error::EmptyFilter
            | seccompiler::Error::ThreadSync(_) => io::Error::other(error),
        })?;
    }
    Ok(())
}

fn architecture() -> Result<TargetArch, BackendError> {
    std::env::consts::ARCH.try_into()
}

fn killed() -> Result<BpfProgram, BackendError> {
    let rules = KILLED.map(|call| (call, Vec::new()));
    SeccompFilter::new(
        BTreeMap::from(rules),
        SeccompAction::Allow,
        SeccompAction::KillProcess,
        architecture()?,
    )?
    .try_into()
}

fn allowed() -> Result<BpfProgram, BackendError> {
    let mut rules: BTreeMap<libc::c_long, Vec<SeccompRule>> = ALLOWED
        .into_iter()
        .chain(OLDER)
        .map(|call| (call, Vec::new()))
        .collect();
    // No executable memory; the protection is the third argument of both calls.
    let executable = u64::from(libc::PROT_EXEC.unsigned_abs());
    let not_executable = || one(2, SeccompCmpOp::MaskedEq(executable), 0);
    rules.insert(libc::SYS_mmap, vec![not_executable()?]);
    rules.insert(libc::SYS_mprotect, vec![not_executable()?]);
    // No request for terminals: one of them inserts input.
    let unacknowledged = one(1, SeccompCmpOp::Eq, UNACKNOWLEDGED)?;
    rules.insert(libc::SYS_ioctl, vec![unacknowledged]);
    // abort(3) signals this process; others may run as the same user.
    let own = one(0, SeccompCmpOp::Eq, u64::from(std::process::id()))?;
    rules.insert(libc::SYS_tgkill, vec![own]);
    SeccompFilter::new(
        rules,
        SeccompAction::Errno(libc::EPERM.unsigned_abs()),
        SeccompAction::Allow,
        architecture()?,
    )?
    .try_into()
}

/// A rule for one argument, of which these calls use 32 bits.
fn one(argument: u8, operator: SeccompCmpOp, value: u64) -> Result<SeccompRule, BackendError> {
    let condition = SeccompCondition::new(argument, SeccompCmpArgLen::Dword, operator, value)?;
    SeccompRule::new(vec![condition])
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;
    use std::sync::Once;

    use super::*;

    /// The result of a call.
    #[derive(Debug, PartialEq, Eq)]
    enum Outcome {
        Allowed,
        Refused(i32),
        Killed(i32),
    }

    /// Makes a call with these arguments in a child process, with the filters installed.
    fn outcome(call: libc::c_long, arguments: [libc::c_long; 3]) -> Outcome {
        // SAFETY: the child has one thread, runs none of its parent's code but what is here, and ends by _exit.
        match unsafe { libc::fork() } {
            -1 => panic!("{}", io::Error::last_os_error()),
            0 => {
                let installed = install();
                let [first, second, third] = arguments;
                // SAFETY: none of the calls below reads or writes memory at these arguments, but to fail.
                let status = unsafe { libc::syscall(call, first, second, third) };
                let code = match (installed, status) {
                    (Err(_), _) => 255,
                    (Ok(()), -1) => io::Error::last_os_error().raw_os_error().unwrap_or(254),
                    (Ok(()), _) => 0,
                };
                // SAFETY: it does not return, and runs no exit handler of the parent.
                unsafe { libc::_exit(code) }
            }
            child => {
                let mut status = 0;
                // SAFETY: it writes one c_int, and `status` is one.
                assert_eq!(unsafe { libc::waitpid(child, &raw mut status, 0) }, child);
                if libc::WIFSIGNALED(status) {
                    return Outcome::Killed(libc::WTERMSIG(status));
                }
                match libc::WEXITSTATUS(status) {
                    0 => Outcome::Allowed,
                    error => Outcome::Refused(error),
                }
            }
        }
    }

    /// Whether this host has seccomp. Without it the tests are skipped: this is printed once, and fails them where CI=true.
    fn is_tested() -> bool {
        static PRINTED: Once = Once::new();
        let ci = std::env::var("CI").as_deref() == Ok("true");
        assert!(is_available() || !ci, "no seccomp, and CI=true");
        if !is_available() {
            // Unlike eprintln!, this is not captured by libtest.
            let print =
                || io::stderr().write_all(b"SKIPPED: the tests of seccomp: this host has none\n");
            PRINTED.call_once(|| print().unwrap());
        }
        is_available()
    }

    #[test]
    fn programs_other_processes_and_sockets_kill() {
        for call in KILLED {
            if is_tested() {
                assert_eq!(
                    outcome(call, [0; 3]),
                    Outcome::Killed(libc::SIGSYS),
                    "{call}"
                );
            }
        }
    }

    #[test]
    fn calls_that_a_worker_does_not_need_are_refused() {
        let calls = [
            libc::SYS_openat,
            libc::SYS_mkdirat,
            libc::SYS_unlinkat,
            libc::SYS_chroot,
            libc::SYS_fchdir,
            libc::SYS_setuid,
            libc::SYS_capset,
            libc::SYS_clone,
            libc::SYS_kill,
            libc::SYS_mount,
            libc::SYS_seccomp,
            libc::SYS_bpf,
            libc::SYS_prlimit64,
        ];
        for call in calls {
            if is_tested() {
                assert_eq!(
                    outcome(call, [0; 3]),
                    Outcome::Refused(libc::EPERM),
                    "{call}"
                );
            }
        }
    }

    #[test]
    fn calls_of_a_worker_are_allowed() {
        if is_tested() {
            assert_eq!(outcome(libc::SYS_getpid, [0; 3]), Outcome::Allowed);
            assert_eq!(outcome(libc::SYS_munmap, [0, 4096, 0]), Outcome::Allowed);
            // The call itself refuses the wrong arguments.
            assert_eq!(
                outcome(libc::SYS_read, [-1, 0, 0]),
                Outcome::Refused(libc::EBADF)
            );
            assert_eq!(
                outcome(libc::SYS_accept4, [-1, 0, 0]),
                Outcome::Refused(libc::EBADF)
            );
        }
    }

    #[test]
    fn dangerous_arguments_are_refused() {
        if !is_tested() {
            return;
        }
        let page = 4096;
        let protect = |protection| outcome(libc::SYS_mprotect, [0, page, protection]);
        let (read, execute) = (libc::PROT_READ.into(), libc::PROT_EXEC.into());
        assert_eq!(protect(read), Outcome::Refused(libc::ENOMEM));
        assert_eq!(protect(execute), Outcome::Refused(libc::EPERM));
        assert_eq!(protect(read | execute), Outcome::Refused(libc::EPERM));

        let control = |request| outcome(libc::SYS_ioctl, [-1, request, 0]);
        let unacknowledged = UNACKNOWLEDGED.try_into().unwrap();
        assert_eq!(control(unacknowledged), Outcome::Refused(libc::EBADF));
        // TIOCSTI, which inserts input into a terminal.
        assert_eq!(control(0x5412), Outcome::Refused(libc::EPERM));

        let parent = std::process::id().into();
        assert_eq!(
            outcome(libc::SYS_tgkill, [parent, parent, 0]),
            Outcome::Refused(libc::EPERM)
        );
    }
}
