"""The seccomp filter of a node's process: a list of the system calls that it may make.

``allowed_calls`` is the list, as a value; ``assemble`` makes the program of it that the kernel
runs (seccomp(2), classic BPF). What is not on the list is answered with EPERM, and calls that
this list cannot know yet with ENOSYS, so that libraries fall back to older ones.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

from onex.sandbox.system_calls import number_of

KILL_PROCESS = 0x8000_0000
NOTIFY = 0x7FC0_0000
ALLOW = 0x7FFF_0000
_ERRNO = 0x0005_0000
EPERM, ENOSYS, ENOTSUP = _ERRNO | 1, _ERRNO | 38, _ERRNO | 95

AUDIT_ARCHITECTURE = {"x86_64": 0xC000_003E, "aarch64": 0xC000_00B7}
NEWEST_KNOWN_CALL = 470
_X32_BIT = 0x4000_0000

_LOAD, _AND, _RETURN = 0x20, 0x54, 0x06
_IF_EQUAL, _IF_GREATER, _IF_AT_LEAST = 0x15, 0x25, 0x35
_NUMBER_OFFSET, _ARCHITECTURE_OFFSET, _ARGUMENTS_OFFSET = 0, 4, 16


@dataclass(frozen=True, slots=True)
class Argument:
    """A condition on one argument: its bits under ``mask`` are one of ``values``.

    An integer is compared by its lower 32 bits, which is all that the kernel reads of it; a
    ``pointer`` by all 64.
    """

    index: int
    values: tuple[int, ...]
    mask: int = 0xFFFF_FFFF
    pointer: bool = False


@dataclass(frozen=True, slots=True)
class Answer:
    """What is answered to a system call if all conditions hold."""

    action: int = ALLOW
    conditions: tuple[Argument, ...] = ()


CallRules = dict[str, tuple[Answer, ...]]
"""For each system call its answers; the first whose conditions hold counts, and EPERM if none."""


@dataclass(frozen=True, slots=True)
class FilterOptions:
    """What the filter of one process depends on.

    ``landlock_version``: what Landlock governs here. ``process_id``: the process. ``listens``: the
    host answers calls that need a decision. ``starts_processes``, ``executes``, ``connects``: what
    was granted. ``asks_for_files``: opening a file is such a call.
    """

    architecture: str
    landlock_version: int
    process_id: int
    listens: bool
    starts_processes: bool = False
    executes: bool = False
    connects: bool = False
    asks_for_files: bool = False


def _names(text: str) -> tuple[str, ...]:
    return tuple(text.split())


_ALWAYS = _names("""
    read write readv writev pread64 pwrite64 preadv pwritev preadv2 pwritev2 lseek close close_range
    dup dup2 dup3 pipe pipe2 open openat stat fstat lstat newfstatat statx access faccessat
    faccessat2 readlink readlinkat getdents getdents64 getcwd chdir fchdir umask mkdir mkdirat rmdir
    unlink unlinkat rename renameat renameat2 link linkat symlink symlinkat ftruncate fallocate
    fsync fdatasync sync_file_range fadvise64 readahead flock sendfile copy_file_range splice tee
    statfs fstatfs mmap munmap mremap mprotect brk madvise mincore msync mlock munlock mlock2
    membarrier rt_sigaction rt_sigprocmask rt_sigreturn rt_sigsuspend rt_sigpending rt_sigtimedwait
    sigaltstack pause exit exit_group wait4 waitid set_tid_address set_robust_list
    rseq futex futex_waitv arch_prctl gettid getpid getppid getpgid getpgrp getsid getuid geteuid
    getgid getegid getresuid getresgid getgroups getrlimit setrlimit getrusage times uname sysinfo
    getcpu getpriority sched_yield sched_getaffinity sched_getparam sched_getscheduler
    sched_get_priority_max sched_get_priority_min clock_gettime clock_getres clock_nanosleep
    nanosleep gettimeofday time alarm getitimer setitimer timerfd_create timerfd_settime
    timerfd_gettime timer_create timer_settime timer_gettime timer_delete timer_getoverrun
    select pselect6 poll ppoll epoll_create epoll_create1 epoll_ctl epoll_wait epoll_pwait
    epoll_pwait2 eventfd eventfd2 recvfrom recvmsg recvmmsg shutdown getsockname getpeername
    getsockopt getrandom restart_syscall capget signalfd signalfd4
    mbind get_mempolicy set_mempolicy
""")

_FALLBACK = ("clone3", "openat2", "io_uring_setup", "io_uring_enter", "io_uring_register")
"""Calls for which libraries have another way if the kernel does not know them."""

_UNSUPPORTED = _names("""
    setxattr lsetxattr fsetxattr getxattr lgetxattr fgetxattr listxattr llistxattr flistxattr
    removexattr lremovexattr fremovexattr
""")
"""Calls that a file system need not support, and Landlock does not govern."""

_FILE_COMMANDS = (0, 1, 2, 3, 4, 5, 6, 7, 36, 37, 38, 1030, 1031, 1032, 1033, 1034)
"""Commands of fcntl(2): descriptors, flags, locks, pipes and seals; none that sends signals."""

_DEVICE_COMMANDS = (0x5401, 0x5413, 0x541B, 0x5421, 0x5450, 0x5451, 0x802C_542A)
"""Commands of ioctl(2): what a terminal is, what can be read, blocking, close-on-exec."""

_PROCESS_OPTIONS = (3, 15, 16, 21, 23, 39, 0x5356_4D41)
"""Options of prctl(2): names, what the kernel says of the process, names of memory."""

_SOCKET_OPTIONS = {
    0: (1, 2),
    1: (2, 4, 5, 6, 7, 8, 9, 10, 12, 13, 15, 18, 20, 21, 29, 35),
    6: (1, 2, 3, 4, 5, 6, 7, 8, 10, 12, 18),
    41: (16, 26, 67),
}
"""Options of setsockopt(2) for sockets, IP, TCP and IPv6: none that routes, connects or loads."""

_UNIX, _INTERNET, _INTERNET_6, _TCP = 1, 2, 10, 6
_STREAM_ONLY = Argument(1, (1,), 0xF)
_OWN_PROCESS = Argument(0, (0,))
_FAST_OPEN = 0x2000_0000
_THREAD, _NAMESPACES = 0x0001_0000, 0x7E02_8080
"""Flags of clone(2): a thread; new namespaces, and a process that is nobody's child here."""
_PIPE, _KIND_MASK = 0o010000, 0o170000
_RUNS_AS_OWNER, _MAKES_FILES = 0o6000, 0o20000100
_TRUNCATE, _ACCESS_MODE = 0o1000, 0o3
_TRUNCATE_VERSION, _SCOPE_VERSION = 3, 6

CHANGE_CALLS = ("chmod", "fchmod", "fchmodat", "fchmodat2", "utimensat")
"""Calls that change modes and times of files, which Landlock does not govern."""

OPEN_CALLS = ("open", "openat")
NAME_CALLS = ("link", "linkat", "unlink", "unlinkat")
"""Calls by which semaphores and shared memory get and lose their names."""


def allowed_calls(options: FilterOptions) -> CallRules:
    """The system calls that a process may make, each with its conditions."""
    rules: CallRules = {name: (Answer(),) for name in _ALWAYS}
    rules |= dict.fromkeys(_FALLBACK, (Answer(ENOSYS),))
    rules |= dict.fromkeys(_UNSUPPORTED, (Answer(ENOTSUP),))
    rules |= {
        "fcntl": _if(Argument(1, _FILE_COMMANDS)),
        "ioctl": _if(Argument(1, _DEVICE_COMMANDS)),
        "prctl": _if(Argument(0, _PROCESS_OPTIONS)),
        "prlimit64": _if(_OWN_PROCESS),
        "sched_setaffinity": _if(_OWN_PROCESS),
        "setpriority": _if(_OWN_PROCESS, Argument(1, (0,))),
        "socketpair": _if(Argument(0, (_UNIX,)), _STREAM_ONLY),
        "sendto": _if(Argument(4, (0,), pointer=True), _no_fast_open(3)),
        "sendmsg": _if(_no_fast_open(2)),
        "sendmmsg": _if(_no_fast_open(3)),
        "clone": _if(Argument(0, (_THREAD,), _THREAD | _NAMESPACES)),
        "setsockopt": tuple(
            Answer(ALLOW, (Argument(1, (level,)), Argument(2, names)))
            for level, names in _SOCKET_OPTIONS.items()
        ),
    }
    for name, index in (("mknod", 1), ("mknodat", 2)):
        rules[name] = _if(Argument(index, (_PIPE,), _KIND_MASK))
    for name, index in (("open", 1), ("openat", 2)):
        # A file that runs as its owner, whoever starts it.
        rules[name] = (
            *_if(Argument(index + 1, (0,), _RUNS_AS_OWNER)),
            *_if(Argument(index, (0,), _MAKES_FILES)),
        )
    rules |= _depending_on_landlock(options)
    if options.connects and options.listens:
        families = Argument(0, (_INTERNET, _INTERNET_6))
        rules["socket"] = _if(families, _STREAM_ONLY, Argument(2, (0, _TCP)))
        rules["connect"] = (Answer(NOTIFY),)
    if options.executes:
        rules["execve"] = (Answer(),)
    if options.listens:
        rules |= dict.fromkeys(CHANGE_CALLS, (Answer(NOTIFY),))
        if options.asks_for_files:
            rules |= _notified(rules, OPEN_CALLS)
    if options.starts_processes:
        rules["clone"] = (*rules["clone"], *_if(Argument(0, (0,), _THREAD | _NAMESPACES)))
        rules |= dict.fromkeys(("fork", "vfork"), (Answer(),))
        if options.listens:
            rules |= _notified(rules, (*OPEN_CALLS, *NAME_CALLS))
    return rules


def _depending_on_landlock(options: FilterOptions) -> CallRules:
    """Rules for what older versions of Landlock do not govern: signals, and cutting files off."""
    if options.landlock_version >= _SCOPE_VERSION:
        # The kernel says that signalling everybody succeeded though it reached nobody.
        everybody = Answer(EPERM, (Argument(0, (0xFFFF_FFFF,)),))
        rules: CallRules = {"kill": (everybody, Answer()), "tgkill": (Answer(),)}
    else:
        itself = Argument(0, (options.process_id,))
        rules = {"kill": (*_if(itself), *_if(_OWN_PROCESS)), "tgkill": _if(itself)}
    if options.landlock_version >= _TRUNCATE_VERSION:
        return rules | {"truncate": (Answer(),)}
    for name, index in (("open", 1), ("openat", 2)):
        rules[name] = (
            *_if(Argument(index, (0,), _TRUNCATE | _MAKES_FILES)),
            *_if(Argument(index, (1, 2), _ACCESS_MODE), Argument(index + 1, (0,), _RUNS_AS_OWNER)),
        )
    return rules


def _notified(rules: CallRules, names: Iterable[str]) -> CallRules:
    """The rules of some calls, with a question to the host in place of what they allow."""
    return {name: tuple(replace(a, action=NOTIFY) for a in rules[name]) for name in names}


def _if(*conditions: Argument) -> tuple[Answer, ...]:
    return (Answer(ALLOW, conditions),)


def _no_fast_open(index: int) -> Argument:
    """TCP fast open connects by sending, past the rules for connecting."""
    return Argument(index, (0,), _FAST_OPEN)


def assemble(rules: Mapping[str, tuple[Answer, ...]], architecture: str) -> bytes:
    """The program that the kernel runs at each system call, as ``struct sock_filter`` entries."""
    program = [
        _instruction(_LOAD, _ARCHITECTURE_OFFSET),
        _instruction(_IF_EQUAL, AUDIT_ARCHITECTURE[architecture], then=1),
        _instruction(_RETURN, KILL_PROCESS),
        _instruction(_LOAD, _NUMBER_OFFSET),
    ]
    if architecture == "x86_64":
        program += [
            _instruction(_IF_AT_LEAST, _X32_BIT, otherwise=1),
            _instruction(_RETURN, KILL_PROCESS),
        ]
    for name, answers in rules.items():
        number = number_of(name, architecture)
        if number is None:
            continue
        block = [part for answer in answers for part in _answer(answer)]
        if answers[-1].conditions:
            block.append(_instruction(_RETURN, EPERM))
        program += [_instruction(_IF_EQUAL, number, otherwise=len(block)), *block]
    program += [
        _instruction(_IF_GREATER, NEWEST_KNOWN_CALL, otherwise=1),
        _instruction(_RETURN, ENOSYS),
        _instruction(_RETURN, EPERM),
    ]
    return b"".join(program)


def _answer(answer: Answer) -> list[bytes]:
    """The instructions of an answer, past whose end its conditions do not hold."""
    code = [_instruction(_RETURN, answer.action)]
    for condition in reversed(answer.conditions):
        offset = _ARGUMENTS_OFFSET + 8 * condition.index
        if condition.pointer:
            code = [*_compare(offset + 4, (0,), 0xFFFF_FFFF, len(code)), *code]
        code = [*_compare(offset, condition.values, condition.mask, len(code)), *code]
    return code


def _compare(offset: int, values: tuple[int, ...], mask: int, skipped: int) -> list[bytes]:
    """Go on if a word has one of some values; otherwise skip what follows."""
    code = [_instruction(_LOAD, offset)]
    if mask != 0xFFFF_FFFF:
        code.append(_instruction(_AND, mask))
    last = len(values) - 1
    for place, value in enumerate(values):
        code.append(
            _instruction(
                _IF_EQUAL, value, then=last - place, otherwise=skipped if place == last else 0
            )
        )
    return code


def _instruction(code: int, value: int, then: int = 0, otherwise: int = 0) -> bytes:
    return struct.pack("=HBBI", code, then, otherwise, value)
