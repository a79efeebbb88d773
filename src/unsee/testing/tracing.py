"""Stops a process and its threads and children at each system call that writes: ptrace(2) and a seccomp(2) filter, through ctypes.

Only the calls of `_CALLS` stop the process, and only where they reach a file, a directory or a socket; everything else runs at full
speed. The tracer sees what no hook inside the interpreter sees: writes by C, C++ and Rust code, in whatever thread. It cannot see
stores through a memory map (`msync` counts) and turns io_uring off (ENOSYS), so that libraries fall back to plain calls.

For Linux on x86-64. The tracer is the process that forks; it must have one thread.
"""

from __future__ import annotations

import ctypes
import errno
import os
import signal
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, Literal, NamedTuple

_LIBC: Final = ctypes.CDLL(None, use_errno=True)
_LIBC.ptrace.restype = ctypes.c_long
_LIBC.ptrace.argtypes = (ctypes.c_long, ctypes.c_long, ctypes.c_void_p, ctypes.c_void_p)

# ptrace(2), linux/ptrace.h
_CONT, _SYSCALL, _POKEUSER, _SEIZE, _GET_SYSCALL_INFO = 7, 24, 6, 0x4206, 0x420E
_OPTIONS = 0x1 | 0x2 | 0x4 | 0x8 | 0x10 | 0x80 | 0x100000  # SYSGOOD, FORK, VFORK, CLONE, EXEC, SECCOMP, EXITKILL
_EVENT_SECCOMP, _EVENT_STOP = 7, 128
_ORIG_RAX, _RAX = 15 * 8, 10 * 8  # offsets in `struct user`, sys/user.h
_WALL = 0x40000000  # waitpid(2): threads too
# seccomp(2), linux/seccomp.h, linux/filter.h
_PR_SET_NO_NEW_PRIVS, _PR_SET_SECCOMP, _MODE_FILTER = 38, 22, 2
_ALLOW, _TRACE, _ERRNO = 0x7FFF0000, 0x7FF00000, 0x00050000
_LOAD, _EQUAL, _ANY_BIT, _RETURN = 0x20, 0x15, 0x45, 0x06
_NR_AT, _ARCH_AT, _ARGS_AT = 0, 4, 16  # offsets in `struct seccomp_data`
_X86_64 = 0xC000003E
_IO_URING_SETUP = 425

_WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC
_CLONES = (0x40049409, 0x4020940D)  # FICLONE, FICLONERANGE: an ioctl that gives a file the blocks of another

Reach = Literal["descriptor", "path", "nothing"]


class _Call(NamedTuple):
    name: str
    number: int
    reach: Reach
    argument: int = 0
    """Which argument names what is written to."""


_CALLS: Final = (
    *(
        _Call(name, number, "descriptor")
        for name, number in {
            "write": 1, "pwrite64": 18, "writev": 20, "pwritev": 296, "pwritev2": 328, "sendfile": 40, "ftruncate": 77,
            "fsync": 74, "fdatasync": 75, "syncfs": 306, "sync_file_range": 277, "fallocate": 285, "fchmod": 91, "fchown": 93,
            "fsetxattr": 190, "fremovexattr": 199, "sendto": 44, "sendmsg": 46, "sendmmsg": 307,
        }.items()
    ),
    _Call("copy_file_range", 326, "descriptor", 2),
    _Call("splice", 275, "descriptor", 2),
    _Call("ioctl", 16, "descriptor"),
    *(
        _Call(name, number, "path")
        for name, number in {
            "open": 2, "creat": 85, "truncate": 76, "rename": 82, "mkdir": 83, "rmdir": 84, "link": 86, "unlink": 87,
            "symlink": 88, "mknod": 133, "chmod": 90, "chown": 92, "lchown": 94, "utime": 132, "utimes": 235, "setxattr": 188,
            "lsetxattr": 189, "removexattr": 197, "lremovexattr": 198,
        }.items()
    ),
    *(
        _Call(name, number, "path", 1)
        for name, number in {
            "openat": 257, "openat2": 437, "mkdirat": 258, "mknodat": 259, "fchownat": 260, "unlinkat": 263, "renameat": 264,
            "renameat2": 316, "linkat": 265, "fchmodat": 268, "fchmodat2": 452, "utimensat": 280,
        }.items()
    ),
    _Call("symlinkat", 266, "path"),
    _Call("msync", 26, "nothing"),
    _Call("sync", 162, "nothing"),
)  # fmt: skip
"""The calls that change files, directories or what another process is told, as x86-64 numbers them (syscalls(2))."""
NAMES: Final = frozenset(call.name for call in _CALLS)
"""The system calls that count."""
_BY_NUMBER: Final = {call.number: call for call in _CALLS}
_ONLY_SOME: Final = {"open": (1, (_WRITING,)), "openat": (2, (_WRITING,)), "ioctl": (1, _CLONES)}
"""Calls that write only with certain arguments: which argument, and its bits (open) or its values (ioctl)."""


class NotTraceable(RuntimeError):
    """The kernel, or what this process runs in, does not let it trace its own child; the message says what to change."""


class _Instruction(ctypes.Structure):
    _fields_ = (("code", ctypes.c_uint16), ("yes", ctypes.c_uint8), ("no", ctypes.c_uint8), ("value", ctypes.c_uint32))


class _Program(ctypes.Structure):
    _fields_ = (("length", ctypes.c_uint16), ("instructions", ctypes.POINTER(_Instruction)))


class _SyscallInfo(ctypes.Structure):
    """`struct ptrace_syscall_info` at a seccomp stop."""

    _fields_ = (
        ("kind", ctypes.c_uint8),
        ("_", ctypes.c_uint8 * 3),
        ("architecture", ctypes.c_uint32),
        ("instruction", ctypes.c_uint64),
        ("stack", ctypes.c_uint64),
        ("number", ctypes.c_uint64),
        ("arguments", ctypes.c_uint64 * 6),
        ("data", ctypes.c_uint64),
    )


@dataclass(frozen=True, slots=True)
class Stop:
    """A thread that is about to make a system call that writes."""

    thread: int
    call: str
    """`pwrite64 /the/file`, `sendto socket`."""


Decision = Literal["run", "kill before", "kill after"] | int
"""What becomes of a call: it runs, the process is killed before or after it, or it does nothing and returns this errno."""


def stop_at_writes() -> None:
    """In the child: from now on each call of `_CALLS`, by this thread and all that it starts, stops it for its tracer.

    Raises:
        NotTraceable: the kernel refuses the filter.
    """
    code = _filter()
    program = _Program(len(code), (_Instruction * len(code))(*code))
    for arguments in (
        (_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0),
        (_PR_SET_SECCOMP, _MODE_FILTER, ctypes.byref(program), 0, 0),
    ):
        if _LIBC.prctl(*arguments) != 0:
            raise NotTraceable(f"The kernel refuses a seccomp filter: {os.strerror(ctypes.get_errno())}.")


def _filter() -> list[_Instruction]:
    """The BPF program: which calls stop. Each test of a number falls through to the next."""

    def answer(what: int) -> _Instruction:
        return _Instruction(_RETURN, 0, 0, what)

    code = [
        _Instruction(_LOAD, 0, 0, _ARCH_AT),
        _Instruction(_EQUAL, 1, 0, _X86_64),
        answer(_ALLOW),
        _Instruction(_LOAD, 0, 0, _NR_AT),
    ]
    for call in _CALLS:
        if call.name in _ONLY_SOME:
            argument, values = _ONLY_SOME[call.name]
            test = _EQUAL if call.name == "ioctl" else _ANY_BIT
            inner = [_Instruction(_LOAD, 0, 0, _ARGS_AT + 8 * argument)]
            for value in values:
                inner += [_Instruction(test, 0, 1, value), answer(_TRACE)]
            inner.append(answer(_ALLOW))
        else:
            inner = [answer(_TRACE)]
        code += [_Instruction(_EQUAL, 0, len(inner), call.number), *inner]
    return [
        *code,
        _Instruction(_EQUAL, 0, 1, _IO_URING_SETUP),
        answer(_ERRNO | errno.ENOSYS),
        answer(_ALLOW),
    ]


def require_x86_64_linux() -> None:
    """Nothing, where this module knows the numbers of the system calls.

    Raises:
        NotTraceable: it does not.
    """
    system = os.uname()
    if (system.sysname, system.machine) != ("Linux", "x86_64"):
        raise NotTraceable(
            f"Faults at system calls need Linux on x86_64; this is {system.sysname} on {system.machine}. "
            "Run these tests there, or `kill_everywhere`, which works everywhere."
        )


@dataclass(slots=True)
class Tracer:
    """Follows one child and whatever it starts to its end, and asks `decide` at each call that writes."""

    child: int
    decide: Callable[[Stop], Decision]
    process_of: dict[int, int] = field(default_factory=dict)
    """Each traced thread, and the process that it belongs to."""
    killed: bool = False

    def seize(self) -> None:
        """Begin to trace; the child waits for a sign from its parent until then.

        Raises:
            NotTraceable: the kernel forbids it.
        """
        if _LIBC.ptrace(_SEIZE, self.child, None, _OPTIONS) != 0:
            raise NotTraceable(
                f"The kernel does not let this process trace its child (ptrace: {os.strerror(ctypes.get_errno())}). "
                "Set /proc/sys/kernel/yama/ptrace_scope to 0 or 1; in a container, allow ptrace "
                "(docker run --cap-add SYS_PTRACE)."
            )
        self.process_of[self.child] = self.child

    def follow(self) -> int:
        """Until the child has ended, and all that it started; the child's wait status. What it left running is killed."""
        status = 0
        for thread, seen in _waits():
            if not os.WIFSTOPPED(seen):
                self.process_of.pop(thread, None)
                if thread == self.child:
                    status = seen
                    self.kill()  # what outlives it belongs to no test
                continue
            self._stopped(thread, seen)
        return status

    def kill(self) -> None:
        """SIGKILL to the child and to each process that it started: as when the machine goes down."""
        self.killed = True
        for process in set(self.process_of.values()):
            with suppress(ProcessLookupError):
                os.kill(process, signal.SIGKILL)

    def _stopped(self, thread: int, status: int) -> None:
        event, sent = status >> 16, os.WSTOPSIG(status)
        if thread not in self.process_of:
            self.process_of[thread] = _process_of(thread)
        if event == _EVENT_SECCOMP:
            self._at_call(thread)
        elif sent == signal.SIGTRAP | 0x80:  # the call that it was to be killed after has returned
            self.kill()
        else:  # a new thread, an exec, a stop; or a signal, which is handed on
            _ptrace(_CONT, thread, 0, 0 if event or sent == signal.SIGTRAP else sent)
        if self.killed:  # a process that was started meanwhile
            self.kill()

    def _at_call(self, thread: int) -> None:
        info = _SyscallInfo()
        size = ctypes.sizeof(info)
        if _LIBC.ptrace(_GET_SYSCALL_INFO, thread, size, ctypes.byref(info)) <= 0:
            return  # it was killed just now
        what = _what(thread, _BY_NUMBER[info.number], info.arguments)
        decision: Decision = "run" if what is None else self.decide(Stop(thread, what))
        match decision:
            case "kill before":
                self.kill()
            case "kill after":
                _ptrace(_SYSCALL, thread, 0, 0)
            case "run":
                _ptrace(_CONT, thread, 0, 0)
            case _:
                _ptrace(_POKEUSER, thread, _ORIG_RAX, -1)  # no such call: it does nothing
                _ptrace(_POKEUSER, thread, _RAX, -decision)
                _ptrace(_CONT, thread, 0, 0)


def _waits() -> Iterator[tuple[int, int]]:
    """Each news of a child or traced thread, until there is none left."""
    while True:
        try:
            yield os.waitpid(-1, _WALL)
        except ChildProcessError:
            return


def _ptrace(request: int, thread: int, address: int, data: int) -> None:
    """Does nothing where the thread died meanwhile."""
    if _LIBC.ptrace(request, thread, address, data) != 0 and ctypes.get_errno() != errno.ESRCH:
        raise OSError(ctypes.get_errno(), f"ptrace({request})")


def _process_of(thread: int) -> int:
    with suppress(FileNotFoundError, ProcessLookupError):  # it died meanwhile
        for line in Path(f"/proc/{thread}/status").read_text().splitlines():
            if line.startswith("Tgid:"):
                return int(line[5:])
    return thread


def _what(thread: int, call: _Call, arguments: ctypes.Array[ctypes.c_uint64]) -> str | None:
    """The call in words; None where it reaches no file, directory or socket of anybody's, or only looks."""
    if call.reach == "nothing":
        return call.name
    argument = arguments[call.argument]
    if call.reach == "path":
        path = os.fsdecode(_text_at(thread, argument))
        if call.name == "openat2" and not _number_at(thread, arguments[2]) & _WRITING:
            return None
        return None if _is_of_the_system(path) else f"{call.name} {path}"
    descriptor = argument & 0xFFFFFFFF
    if descriptor in {1, 2}:  # words to whoever watches the test
        return None
    try:
        place = str(Path(f"/proc/{thread}/fd/{descriptor}").readlink())
    except OSError:
        return None  # not open: the call fails by itself
    if place.startswith("socket:"):
        return f"{call.name} socket"
    return f"{call.name} {place}" if place.startswith("/") and not _is_of_the_system(place) else None


def _is_of_the_system(path: str) -> bool:
    return path.startswith(("/proc/", "/sys/", "/memfd:")) or (
        path.startswith("/dev/") and not path.startswith("/dev/shm/")  # noqa: S108  a place for files
    )


def _text_at(thread: int, address: int) -> bytes:
    return _memory(thread, address, 4096).partition(b"\0")[0]


def _number_at(thread: int, address: int) -> int:
    return int.from_bytes(_memory(thread, address, 8), "little")


def _memory(thread: int, address: int, length: int) -> bytes:
    """At most so many bytes of the thread's memory: fewer where its memory ends."""
    try:
        file = os.open(f"/proc/{thread}/mem", os.O_RDONLY)
    except OSError:
        return b""
    try:
        return os.pread(file, length, address)
    except (OSError, OverflowError):
        return b""
    finally:
        os.close(file)
