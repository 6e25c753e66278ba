"""Attempts of a node to reach what it was not granted: each returns a proof that it did.

An attempt is the body of a function that is given the node's context and ``t``, the targets. It
raises, or returns something false, if it was stopped.
"""

from __future__ import annotations

PRELUDE = """
import ctypes, errno, json, mmap, os, signal, socket, struct, sys, threading, time
libc = ctypes.CDLL(None, use_errno=True)
X86 = os.uname().machine == "x86_64"
def nr(x86, arm):
    return x86 if X86 else arm
def call(number, *arguments):
    words = [ctypes.c_long(a) if isinstance(a, int) else a for a in arguments]
    result = libc.syscall(ctypes.c_long(number), *words)
    if result < 0:
        raise OSError(ctypes.get_errno(), "call %d" % number)
    return result
def checked(result):
    if result < 0:
        raise OSError(ctypes.get_errno(), "refused")
    return True
def attempt(context, t):
"""
POSTLUDE = """
def execute(context, *, t):
    proof = attempt(context, t)
    return {"escaped": repr(proof)[:300]} if proof else None
"""

FILES = {
    "read": "return open(t['secret']).read()",
    "read by a raw call": "return os.read(call(nr(257, 56), -100, t['secret'].encode(), 0, 0), 99)",
    "read by openat2": "return call(nr(437, 437), -100, t['secret'].encode(), struct.pack('QQQ', 0, 0, 0), 24)",
    "read by open": "return os.read(call(2, t['secret'].encode(), 0), 99) if X86 else None",
    "read by creat": "return call(85, t['secret'].encode(), 0o600) if X86 else None",
    "read through the root of this process": "return open('/proc/self/root' + t['secret']).read()",
    "read through the root of another process": "return open(f'/proc/{os.getppid()}/root' + t['secret']).read()",
    "read through a folder": "fd = os.open('/', os.O_PATH); return os.read(os.open(t['secret'][1:], os.O_RDONLY, dir_fd=fd), 9)",
    "read what was opened by path alone": "fd = os.open(t['secret'], os.O_PATH); return open(f'/proc/self/fd/{fd}').read()",
    "read through a link": "os.symlink(t['secret'], 'link'); return open('link').read()",
    "read through a hard link": "os.link(t['secret'], 'link'); return open('link').read()",
    "map into memory": "return mmap.mmap(os.open(t['secret'], os.O_RDONLY), 0, prot=mmap.PROT_READ)[:9]",
    "send a file": "a, b = os.pipe(); return os.sendfile(b, os.open(t['secret'], os.O_RDONLY), 0, 9)",
    "read accounts": "return open('/etc/passwd').read() or open('/etc/shadow').read()",
    "list a folder": "return os.listdir(t['folder'])",
    "list the home folder": "return os.listdir(t['home'])",
    "read the registry": "return open(t['state'] + '/registry.db', 'rb').read(9)",
    "read the history": "return open(t['state'] + '/history.db', 'rb').read(9)",
    "list the folders of other calls": "return os.listdir(os.path.dirname(os.path.dirname(str(context.workdir))))",
    "read the project": "return open(t['folder'] + '/onex.toml').read()",
    "append": "open(t['secret'], 'a').write('x'); return True",
    "create": "open(t['folder'] + '/new', 'w').close(); return True",
    "cut off": "return checked(libc.truncate(t['secret'].encode(), ctypes.c_long(0)))",
    "cut off while opening": "os.open(t['secret'], os.O_RDONLY | os.O_TRUNC); return True",
    "remove": "os.unlink(t['secret']); return True",
    "take away": "os.rename(t['secret'], 'mine'); return True",
    "replace": "open('mine', 'w').close(); os.replace('mine', t['secret']); return True",
    "exchange": "open('mine', 'w').close(); return not call(nr(316, 276), -100, b'mine', -100, t['secret'].encode(), 2)",
    "make a folder": "os.mkdir(t['folder'] + '/made'); return True",
    "remove a folder": "os.rmdir(t['folder'] + '/empty'); return True",
    "plant a link": "os.symlink('/etc/passwd', t['folder'] + '/planted'); return True",
    "plant a hard link": "open('mine', 'w').close(); os.link('mine', t['folder'] + '/planted'); return True",
    "make a device": "os.mknod('device', 0o600 | 0o020000, os.makedev(1, 1)); return True",
    "make a socket": "return checked(libc.mknod(t['folder'].encode() + b'/s', 0o140600, 0))",
    "change a mode": "os.chmod(t['secret'], 0o777); return True",
    "change a mode by a link": "os.symlink(t['secret'], 'link'); os.chmod('link', 0o777); return True",
    "change the mode of a readable file": "os.fchmod(os.open(json.__file__, os.O_RDONLY), 0o666); return True",
    "change an owner": "os.chown(t['secret'], 1, 1); return True",
    "change times": "os.utime(t['secret'], (1, 1)); return True",
    "change times by a link": "os.symlink(t['secret'], 'link'); os.utime('link', (1, 1)); return True",
    "set an attribute": "os.setxattr(t['secret'], 'user.x', b'1'); return True",
    "change its own code": "os.chmod(__file__, 0o600); open(__file__, 'a').write('x'); return True",
    "plant a module for the host": "p = [x for x in sys.path if 'site-packages' in x][0]; open(p + '/x.pth', 'w').close(); return True",
    "plant bytecode": "os.makedirs(os.path.dirname(__file__) + '/__pycache__'); return True",
    "write to /tmp": "open('/tmp/x-' + str(os.getpid()), 'w').close(); return True",
    "write to shared memory": "open('/dev/shm/x', 'w').close(); return True",
    "read devices": "return os.open('/dev/mem', os.O_RDONLY) or os.open('/dev/kmsg', os.O_RDONLY)",
    "read the terminal": "return os.open('/dev/tty', os.O_RDWR)",
    "open by handle": "h = ctypes.create_string_buffer(struct.pack('Ii', 64, 0) + bytes(64)); m = ctypes.c_int(); call(nr(303, 264), -100, t['secret'].encode(), h, ctypes.byref(m), 0); return call(nr(304, 265), -100, h, 0) or True",
    "watch files": "i = call(nr(294, 26), 0); return not call(nr(254, 27), i, t['folder'].encode(), 0x100) or True",
    "watch a file system": "return call(nr(300, 262), 0, 0) or True",
    "mount": "return checked(libc.mount(b'tmpfs', b'/mnt', b'tmpfs', 0, None))",
    "open a tree": "return call(nr(428, 428), -100, b'/', 1) or True",
    "change the root": "os.chroot('.'); return True",
    "pivot the root": "return not call(nr(155, 41), b'.', b'.')",
    "change a setting of the kernel": "open('/proc/sys/kernel/hostname', 'w').write('x'); return True",
    "hide from the killer": "open('/proc/self/oom_score_adj', 'w').write('-1000'); return True",
    "dump memory": "open('/proc/self/coredump_filter', 'w').write('ff'); return True",
}

PROCESSES = {
    "kill": "os.kill(t['victim'], signal.SIGTERM); return True",
    "kill the host": "os.kill(os.getppid(), signal.SIGTERM); return True",
    "kill a thread": "return not call(nr(234, 131), t['victim'], t['victim'], 15)",
    "kill a thread by its number alone": "return not call(nr(200, 130), t['victim'], 15)",
    "queue a signal": "return not call(nr(129, 138), t['victim'], 15, bytes(128))",
    "kill everybody": "os.kill(-1, signal.SIGTERM); return True",
    "signal by descriptor": "return not call(nr(424, 424), call(nr(434, 434), t['victim'], 0), 15, 0, 0)",
    "signal by a file": "r, w = os.pipe(); import fcntl; fcntl.fcntl(r, fcntl.F_SETOWN, t['victim']); fcntl.fcntl(r, fcntl.F_SETFL, os.O_ASYNC); os.write(w, b'x'); return True",
    "trace": "return not call(nr(101, 117), 16, t['victim'], 0, 0)",
    "read memory": "return call(nr(310, 270), os.getppid(), bytes(16), 0, bytes(16), 0, 0) >= 0",
    "write memory": "return call(nr(311, 271), os.getppid(), bytes(16), 0, bytes(16), 0, 0) >= 0",
    "read memory as a file": "return open(f'/proc/{os.getppid()}/mem', 'rb')",
    "read an environment": "return open(f\"/proc/{t['victim']}/environ\").read()",
    "read the host's command": "return open(f'/proc/{os.getppid()}/cmdline').read()",
    "list processes": "return [p for p in os.listdir('/proc') if p.isdigit()]",
    "take a descriptor": "return call(nr(438, 438), call(nr(434, 434), os.getppid(), 0), 0, 0) or True",
    "compare processes": "return call(nr(312, 272), os.getpid(), os.getppid(), 1, 0, 0) >= 0",
    "slow a process down": "os.setpriority(os.PRIO_PROCESS, t['victim'], 19); return True",
    "bind a process to a processor": "os.sched_setaffinity(t['victim'], [0]); return True",
    "limit a process": "import resource; resource.prlimit(t['victim'], resource.RLIMIT_CPU, (1, 1)); return True",
    "change its class of disk access": "return not call(nr(251, 30), 1, t['victim'], 3 << 13)",
    "move its memory": "return call(nr(256, 238), t['victim'], 0, 0, 0) >= 0",
    "read the environment of the host": "return 'HOST_ONLY' in os.environ or b'HOST_ONLY' in open('/proc/self/environ', 'rb').read()",
    "use what was left open": "return [p for p in map(lambda f: os.readlink('/proc/self/fd/' + f) if os.path.exists('/proc/self/fd/' + f) else '', os.listdir('/proc/self/fd')) if p.startswith('/') and not p.startswith(('/dev/null', '/proc'))]",
    "use sockets that were left open": "return [f for f in range(3, 64) if os.path.exists(f'/proc/self/fd/{f}') and os.readlink(f'/proc/self/fd/{f}').startswith(('socket', 'anon'))]",
    "shared memory of System V": "return call(nr(29, 194), 99, 4096, 0o1666) >= 0",
    "messages of System V": "return call(nr(68, 186), 99, 0o1666) >= 0",
    "semaphores of System V": "return call(nr(64, 190), 99, 1, 0o1666) >= 0",
    "a message queue": "return call(nr(240, 180), b'q', 0o102, 0o600, 0) >= 0",
    "keys of the user": "return call(nr(248, 217), b'user', b'k', b'v', 1, -3) >= 0",
    "keys by control": "return call(nr(250, 219), 0, -3, 0) >= 0",
}

NETWORK = {
    "connect": "s = socket.create_connection(('127.0.0.1', t['port']), 2); return s",
    "connect by IPv6": "s = socket.socket(socket.AF_INET6); s.connect(('::1', t['port'])); return s",
    "connect by a raw call": "s = call(nr(41, 198), 2, 1, 0); return not call(nr(42, 203), s, struct.pack('=H', 2) + struct.pack('!H4s8x', t['port'], bytes([127, 0, 0, 1])), 16)",
    "datagrams": "s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); return s.sendto(b'x', ('127.0.0.1', t['port']))",
    "fast open": "s = socket.socket(); return s.sendto(b'x', 0x20000000, ('127.0.0.1', t['port']))",
    "many paths": "s = socket.socket(socket.AF_INET, socket.SOCK_STREAM, 262); s.connect(('127.0.0.1', t['port'])); return s",
    "raw packets": "return socket.socket(socket.AF_INET, socket.SOCK_RAW, 1)",
    "packets of the link": "return socket.socket(17, socket.SOCK_RAW, 0)",
    "a socket in the file system": "s = socket.socket(socket.AF_UNIX); s.connect(t['socket']); return s",
    "an abstract socket": "s = socket.socket(socket.AF_UNIX); s.connect('\\0' + t['abstract']); return s",
    "datagrams by a pair of sockets": "a, b = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM); return a.sendto(b'x', t['datagrams'])",
    "packets by a pair of sockets": "a, b = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET); return a",
    "connect a pair of sockets anew": "a, b = socket.socketpair(); return checked(libc.connect(a.fileno(), struct.pack('=H', 1) + t['socket'].encode() + b'\\0', len(t['socket']) + 3))",
    "every family": "found = []\n    for family in range(50):\n        for kind in (1, 2, 3, 5):\n            try:\n                found.append((family, kind, call(nr(41, 198), family, kind, 0)))\n            except OSError:\n                pass\n    return found",
    "listen": "s = socket.socket(); s.bind(('127.0.0.1', 0)); s.listen(); return s",
    "names": "return socket.getaddrinfo('localhost', 80)",
    "a page": "import urllib.request; return urllib.request.urlopen(f\"http://127.0.0.1:{t['port']}/\", timeout=2)",
    "a ring of calls": "return call(nr(425, 425), 8, ctypes.create_string_buffer(120)) >= 0",
}

PROGRAMS = {
    "run a program": "import subprocess; return subprocess.run(['/bin/true']).returncode == 0",
    "become a program": "os.execve('/bin/true', ['true'], {}); return True",
    "spawn": "return os.posix_spawn('/bin/true', ['true'], {})",
    "a program in memory": "fd = os.memfd_create('x'); os.write(fd, b'#!/bin/sh\\n'); os.execve(fd, ['x'], {}); return True",
    "a program by its descriptor": "return call(nr(322, 281), os.open('/bin/true', os.O_PATH), b'', 0, 0, 0x1000) >= 0",
    "the loader of programs": "os.execve('/lib64/ld-linux-x86-64.so.2', ['ld', '/bin/true'], {}); return True",
    "a program of its own": "open('p', 'w').write('#!/bin/sh\\n'); os.chmod('p', 0o700); os.execve('p', ['p'], {}); return True",
    "fork": "return os.fork() >= 0",
    "fork by a raw call": "return call(56, 17, 0, 0, 0, 0) >= 0 if X86 else call(220, 17, 0, 0, 0, 0) >= 0",
    "fork by the newest call": "return call(435, struct.pack('8Q', 0, 0, 0, 0, 17, 0, 0, 0), 64) >= 0",
    "vfork": "return call(58) >= 0 if X86 else None",
}

KERNEL = {
    "a namespace": "return checked(libc.unshare(0x10000000))",
    "a namespace of mounts": "return checked(libc.unshare(0x00020000))",
    "a namespace by clone": "return call(nr(56, 220), 0x10000011, 0, 0, 0, 0) >= 0",
    "enter a namespace": "return checked(libc.setns(os.open(f'/proc/self/ns/net', os.O_RDONLY), 0))",
    "a program in the kernel": "return call(nr(321, 280), 0, bytes(128), 128) >= 0",
    "faults of its memory": "return call(nr(323, 282), 0) >= 0",
    "counters": "return call(nr(298, 241), bytes(128), 0, -1, -1, 0) >= 0",
    "a module": "return call(nr(175, 105), b'', 0, b'') >= 0",
    "messages of the kernel": "return call(nr(103, 116), 3, ctypes.create_string_buffer(99), 99) >= 0",
    "the clock": "return checked(libc.clock_settime(0, struct.pack('qq', 0, 0)))",
    "the name of the machine": "return checked(libc.sethostname(b'x', 1))",
    "another personality": "return call(nr(135, 92), 0x0400000) >= 0",
    "ports of the machine": "return call(172, 3) >= 0 if X86 else None",
    "swap": "return call(nr(167, 224), b'x', 0) >= 0",
    "accounting": "return call(nr(163, 89), b'x') >= 0",
    "quotas": "return call(nr(179, 60), 0, 0, 0, 0) >= 0",
    "secret memory": "return call(nr(447, 447), 0) >= 0",
    "a filter of its own": "return call(nr(317, 277), 1, 8, struct.pack('HxxxxxxP', 1, ctypes.addressof(ctypes.create_string_buffer(struct.pack('HBBI', 6, 0, 0, 0x7fff0000)))))",
    "outlive the host": "return checked(libc.prctl(1, 0, 0, 0, 0))",
    "hide its memory": "return checked(libc.prctl(4, 0, 0, 0, 0))",
    "be traced": "return checked(libc.prctl(0x59616d61, ctypes.c_ulong(-1), 0, 0, 0))",
    "adopt orphans": "return checked(libc.prctl(36, 1, 0, 0, 0))",
    "more memory": "import resource; resource.setrlimit(resource.RLIMIT_AS, (-1, -1)); return True",
    "more files": "import resource; resource.setrlimit(resource.RLIMIT_NOFILE, (99999, 99999)); return True",
    "larger files": "import resource; resource.setrlimit(resource.RLIMIT_FSIZE, (-1, -1)); return True",
    "a session of its own": "os.setsid(); return True",
    "a group of its own": "os.setpgid(0, 0); return True",
    "another user": "os.setuid(1); return True",
    "capabilities": "return call(nr(126, 91), struct.pack('Ii', 0x20080522, 0), struct.pack('6I', 255, 255, 255, 0, 0, 0)) >= 0",
    "real time": "os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(1)); return True",
    "calls of x32": "return call(0x40000000 + 39) >= 0 if X86 else None",
    "calls of 32 bits": "if not X86: return None\n    m = mmap.mmap(-1, 4096, prot=7); m.write(bytes([0xb8, 20, 0, 0, 0, 0xcd, 0x80, 0xc3])); return ctypes.CFUNCTYPE(ctypes.c_int)(ctypes.addressof(ctypes.c_char.from_buffer(m)))() > 0",
}

ATTEMPTS = {
    f"{kind}: {name}": body
    for kind, group in (
        ("files", FILES),
        ("processes", PROCESSES),
        ("network", NETWORK),
        ("programs", PROGRAMS),
        ("kernel", KERNEL),
    )
    for name, body in group.items()
}


def code_of(body: str) -> str:
    """The code of a node that makes an attempt."""
    lines = body.replace("; ", "\n    ") if "\n" not in body and ";" in body else body
    return f"{PRELUDE}    {lines}\n{POSTLUDE}"
