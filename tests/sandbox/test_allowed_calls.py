"""The list of allowed system calls, held against what real nodes make and what headers say.

The calls of a node are recorded by a filter that asks about every one of them, the way the host is
asked about a few: in a forked process, whose listener this process answers.
"""

from __future__ import annotations

import ctypes
import os
import re
import socket
import struct
import sys
import textwrap
import threading
from pathlib import Path

import pytest

from onex.sandbox import seccomp_filter
from onex.sandbox.availability import why_not_strict
from onex.sandbox.lockdown import _Program
from onex.sandbox.notification import Listener
from onex.sandbox.seccomp_filter import ALLOW, NOTIFY, Answer, FilterOptions
from onex.sandbox.system_calls import NUMBERS, Kernel, number_of

HEADERS = {
    0: (Path("/usr/include/x86_64-linux-gnu/asm/unistd_64.h"), r"#define __NR_(\w+) (\d+)"),
    1: (Path("/usr/include/asm-generic/unistd.h"), r"#define __NR(?:3264)?_(\w+) (\d+)\s"),
}
WORKLOADS = {
    "python": "import json, re, decimal, dataclasses\njson.dumps(list(range(1000)))",
    "threads": "import threading\nt = [threading.Thread(target=sum, args=([1],)) for _ in range(8)]\n[x.start() for x in t]\n[x.join() for x in t]",
    "asyncio": "import asyncio\nasyncio.run(asyncio.sleep(0.01))",
    "files": "import os, shutil, tempfile, mmap\nd = tempfile.mkdtemp()\np = d + '/a'\nopen(p, 'w').write('x' * 9999)\nshutil.copy2(p, d + '/b')\nos.replace(d + '/b', d + '/c')\nlist(os.scandir(d))\nf = open(p, 'r+b')\nmmap.mmap(f.fileno(), 0).close()\nos.fsync(f.fileno())\nos.truncate(p, 5)\nshutil.rmtree(d)",
    "sqlite": "import sqlite3, tempfile\nc = sqlite3.connect(tempfile.mkdtemp() + '/db')\nc.execute('pragma journal_mode=wal')\nc.execute('create table t (a)')\nc.execute('insert into t values (1)')\nc.commit()\nc.close()",
    "signals": "import signal, time\nsignal.signal(signal.SIGALRM, lambda *_: None)\nsignal.setitimer(signal.ITIMER_REAL, 0.01)\ntime.sleep(0.05)",
    "numpy": "import numpy\nnumpy.random.rand(300, 300).dot(numpy.ones((300, 300))).sum()",
}  # fmt: skip
KEPT_FOR_OTHERS = """
    mbind get_mempolicy set_mempolicy
    access alarm arch_prctl capget chdir chmod clock_getres clock_gettime clone close_range
    copy_file_range creat dup dup2 dup3 epoll_create epoll_pwait epoll_pwait2 eventfd eventfd2
    exit exit_group faccessat faccessat2 fadvise64 fallocate fchdir fchmod fchmodat fchmodat2
    fdatasync flock fork fstat fstatfs futex_waitv getcpu getdents getegid geteuid getgid
    getgroups getitimer getpeername getpgid getpgrp getppid getpriority getrandom getresgid
    getresuid getrlimit getrusage getsid getsockname getsockopt gettimeofday getuid kill link
    linkat lstat madvise membarrier mincore mkdirat mknod mknodat mlock mlock2 mprotect mremap
    msync munlock nanosleep open pause pipe pipe2 poll ppoll prctl preadv preadv2 prlimit64
    pselect6 pwritev pwritev2 readahead readlinkat readv recvfrom recvmmsg recvmsg renameat
    renameat2 restart_syscall rmdir rseq rt_sigpending rt_sigreturn rt_sigsuspend
    rt_sigtimedwait sched_get_priority_max sched_get_priority_min sched_getaffinity
    sched_getparam sched_getscheduler sched_setaffinity sched_yield select sendfile sendmmsg
    sendmsg sendto set_robust_list set_tid_address setpriority setrlimit setsockopt shutdown
    sigaltstack signalfd signalfd4 socketpair splice stat statfs statx symlink symlinkat
    sync_file_range sysinfo tee tgkill time timer_create timer_delete timer_getoverrun
    timer_gettime timer_settime timerfd_create timerfd_gettime timerfd_settime times truncate
    umask uname unlinkat utimensat vfork wait4 waitid writev
"""
"""Calls that other versions of C libraries, of Python and of its modules make for the same things."""


def recording(kernel: Kernel) -> dict[str, tuple[Answer, ...]]:
    """Rules that ask about every call but those that the recording itself needs."""
    rules = {name: (Answer(NOTIFY),) for name in NUMBERS}
    own = {"exit_group", "exit", "rt_sigreturn", "sendmsg"}
    return {**rules, **{name: (Answer(ALLOW),) for name in own}}


def calls_of(code: str) -> set[str]:
    """The system calls that a piece of Python makes, by their names."""
    kernel = Kernel()
    names = {number_of(name, kernel.architecture): name for name in NUMBERS}
    ours, theirs = socket.socketpair()
    child = os.fork()
    if not child:
        try:
            kernel.control(38, 1)
            program = seccomp_filter.assemble(recording(kernel), kernel.architecture)
            loaded = _Program(len(program) // 8, program)
            listener = kernel.call("seccomp", 1, 8, ctypes.byref(loaded))
            theirs.sendmsg(
                [b"L"], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, struct.pack("i", listener))]
            )
            os.execve(
                sys.executable, [sys.executable, "-c", textwrap.dedent(code)], dict(os.environ)
            )
        finally:
            os._exit(1)
    theirs.close()
    _, rights, _, _ = ours.recvmsg(1, socket.CMSG_SPACE(4))
    listener = Listener(struct.unpack("i", rights[0][2])[0])
    found: set[str] = set()
    is_over = threading.Event()

    def answer() -> None:
        while not is_over.is_set():
            call = listener.receive()
            if call is not None:
                found.add(names[call.number])
                listener.proceed(call)

    thread = threading.Thread(target=answer)
    thread.start()
    _, status = os.waitpid(child, 0)
    is_over.set()
    thread.join()
    listener.close()
    ours.close()
    assert os.waitstatus_to_exitcode(status) == 0, code
    return found


@pytest.mark.parametrize("place", HEADERS)
def test_numbers_are_those_of_the_kernel(place: int) -> None:
    header, pattern = HEADERS[place]
    if not header.exists():
        pytest.skip(f"THE NUMBERS WERE NOT COMPARED: {header} is not there")
    said = {
        name.removeprefix("3264_"): int(n) for name, n in re.findall(pattern, header.read_text())
    }
    said.setdefault("newfstatat", said.get("fstatat", -1))
    for name, numbers in NUMBERS.items():
        if name in said and numbers[place] is not None:
            assert numbers[place] == said[name], name


@pytest.mark.skipif(why_not_strict() is not None, reason=f"NO FILTERS HERE: {why_not_strict()}")
def test_what_nodes_really_call_is_allowed_and_little_else() -> None:
    options = FilterOptions(Kernel().architecture, 7, 1, listens=True)
    allowed = seccomp_filter.allowed_calls(options)
    used: set[str] = set()
    for name, code in WORKLOADS.items():
        if name == "numpy":
            pytest.importorskip("numpy", reason="NUMPY WAS NOT TRIED: it is not installed")
        calls = calls_of(code)
        # The interpreter is started by a call that nodes may not make, and looks for itself.
        missing = calls - allowed.keys() - {"execve", "clone3"}
        assert not missing, (name, missing)
        used |= calls
    refused = {
        n for n, answers in allowed.items() if all(a.action not in (ALLOW, NOTIFY) for a in answers)
    }
    assert allowed.keys() - used - refused <= set(KEPT_FOR_OTHERS.split())


def verdict(program: bytes, data: bytes) -> int:
    """What the kernel would answer: the filter's program, run step by step."""
    code = [struct.unpack_from("=HBBI", program, at) for at in range(0, len(program), 8)]
    at = word = 0
    while True:
        operation, then, otherwise, value = code[at]
        at += 1
        if operation == 0x20:
            (word,) = struct.unpack_from("=I", data, value)
        elif operation == 0x54:
            word &= value
        elif operation == 0x06:
            return value
        else:
            is_true = {0x15: word == value, 0x25: word > value, 0x35: word >= value}[operation]
            at += then if is_true else otherwise


def asked(architecture: str, name: str | int, *arguments: int, audit: int | None = None) -> bytes:
    number = name if isinstance(name, int) else number_of(name, architecture)
    words = [argument & 0xFFFF_FFFF_FFFF_FFFF for argument in (*arguments, *(0,) * 6)][:6]
    audited = seccomp_filter.AUDIT_ARCHITECTURE[architecture] if audit is None else audit
    return struct.pack("=iIQ6Q", number, audited, 0, *words)


@pytest.mark.parametrize("architecture", ["x86_64", "aarch64"])
def test_each_condition_holds_on_both_architectures(architecture: str) -> None:
    options = FilterOptions(architecture, 7, 77, listens=True, connects=True)
    program = seccomp_filter.assemble(seccomp_filter.allowed_calls(options), architecture)
    refused, unknown, killed = 0x0005_0001, 0x0005_0026, 0x8000_0000

    def answer(name: str | int, *arguments: int, audit: int | None = None) -> int:
        return verdict(program, asked(architecture, name, *arguments, audit=audit))

    assert answer("read") == ALLOW
    assert answer("socket", 2, 1, 0) == answer("socket", 10, 0o2000001, 6) == ALLOW
    for family, kind, protocol in ((1, 1, 0), (2, 2, 0), (2, 1, 262), (16, 3, 0), (2, 3, 1)):
        assert answer("socket", family, kind, protocol) == refused
    assert answer("connect", 3, 1, 16) == NOTIFY
    assert answer("sendto", 3, 1, 1, 0, 0) == ALLOW
    assert answer("sendto", 3, 1, 1, 0, 1 << 40) == answer("sendto", 3, 1, 1, 1 << 29) == refused
    assert answer("clone", 0x3D0F00) == ALLOW
    assert answer("clone", 17) == answer("clone", 0x10000000 | 0x3D0F00) == refused
    assert answer("kill", 1, 9) == ALLOW  # Landlock keeps it in the session.
    assert answer("kill", -1, 9) == refused
    assert answer("prlimit64", 0) == ALLOW
    assert answer("prlimit64", 1) == refused
    assert answer("openat", 0, 0, 0o100, 0o644) == answer("openat", 0, 0, 0, 0o7777) == ALLOW
    assert answer("openat", 0, 0, 0o100, 0o4755) == refused
    assert answer("fcntl", 1, 8) == answer("ioctl", 1, 0x5412) == answer("prctl", 1) == refused
    assert answer("setsockopt", 1, 6, 1) == ALLOW
    assert answer("setsockopt", 1, 41, 57) == answer("setsockopt", 1, 1, 26) == refused
    assert answer("execve") == answer(101 if architecture == "x86_64" else 117) == refused
    assert answer("clone3") == answer(9999) == unknown
    assert answer("read", audit=0x4000_0003) == killed
    if architecture == "x86_64":
        assert answer(0x4000_0000) == killed


def test_what_an_older_landlock_does_not_govern_is_refused_by_the_filter() -> None:
    options = FilterOptions("x86_64", 1, 77, listens=False)
    program = seccomp_filter.assemble(seccomp_filter.allowed_calls(options), "x86_64")

    def is_allowed(name: str, *arguments: int) -> bool:
        return verdict(program, asked("x86_64", name, *arguments)) == ALLOW

    assert is_allowed("kill", 77, 15)
    assert is_allowed("kill", 0, 15)
    assert not is_allowed("kill", 78, 15)
    assert not is_allowed("tgkill", 78, 78, 15)
    assert is_allowed("openat", 0, 0, os.O_RDONLY)
    assert is_allowed("openat", 0, 0, os.O_WRONLY | os.O_TRUNC)
    assert not is_allowed("openat", 0, 0, os.O_RDONLY | os.O_TRUNC)
    assert not is_allowed("truncate")
    assert not is_allowed("chmod")
