"""The system calls of a look, by ctypes; names, numbers and structures are the kernel's own.

Each raises OSError. From 424 on the numbers are the same on every architecture.
"""

from __future__ import annotations

import ctypes
import os

from admin.look.numbers import ARCHITECTURES, NUMBERS, architecture

__all__ = [
    "CAP_DAC_READ_SEARCH",
    "CAP_SYSLOG",
    "add_rule",
    "bind",
    "clone_mount",
    "drop_bounding_set",
    "filter_calls",
    "hold_only",
    "join_session_keyring",
    "landlock_abi",
    "lock_securebits",
    "make_private",
    "make_ruleset",
    "mount",
    "move_mount",
    "no_new_privileges",
    "restrict_self",
    "set_attributes",
    "set_death_signal",
    "unshare_mounts",
]

CLONE_NEWNS = 0x00020000
MS_BIND = 4096
MS_REC = 16384
MS_PRIVATE = 1 << 18

SYS_open_tree = 428
SYS_move_mount = 429
SYS_mount_setattr = 442
SYS_landlock_create_ruleset = 444
SYS_landlock_add_rule = 445
SYS_landlock_restrict_self = 446

AT_FDCWD = -100
AT_EMPTY_PATH = 0x1000
AT_RECURSIVE = 0x8000
OPEN_TREE_CLONE = 1
MOVE_MOUNT_F_EMPTY_PATH = 4

MOUNT_ATTR_RDONLY = 0x01
MOUNT_ATTR_NOSUID = 0x02
MOUNT_ATTR_NODEV = 0x04
MOUNT_ATTR_NOATIME = 0x10
MOUNT_ATTR__ATIME = 0x70

PR_SET_PDEATHSIG = 1
PR_SET_SECCOMP = 22
PR_CAPBSET_DROP = 24
PR_SET_SECUREBITS = 28
PR_SET_NO_NEW_PRIVS = 38
PR_CAP_AMBIENT = 47
PR_CAP_AMBIENT_RAISE = 2
PR_CAP_AMBIENT_CLEAR_ALL = 4
SECCOMP_MODE_FILTER = 2
SECUREBITS = 0x0F
"""NOROOT and NO_SETUID_FIXUP, both locked (capabilities(7))."""
CAP_DAC_READ_SEARCH = 2
CAP_SYSLOG = 34
CAPABILITIES = 64
"""More than any kernel knows: unknown ones answer EINVAL."""
CAPABILITY_VERSION_3 = 0x20080522
KEYCTL_JOIN_SESSION_KEYRING = 1

LANDLOCK_CREATE_RULESET_VERSION = 1
LANDLOCK_RULE_PATH_BENEATH = 1

_libc = ctypes.CDLL(None, use_errno=True)
_prctl = _libc.prctl
_prctl.argtypes = [ctypes.c_int, *[ctypes.c_ulong] * 4]
_syscall = _libc.syscall
_syscall.restype = ctypes.c_long
_long = ctypes.c_long


class mount_attr(ctypes.Structure):  # noqa: N801  the kernel's name
    """mount_setattr(2)."""

    _fields_ = [(name, ctypes.c_uint64) for name in ("set", "clear", "propagation", "userns")]


class landlock_ruleset_attr(ctypes.Structure):  # noqa: N801  the kernel's name
    """landlock_create_ruleset(2)."""

    _fields_ = [(name, ctypes.c_uint64) for name in ("files", "network", "scopes")]


class landlock_path_beneath_attr(ctypes.Structure):  # noqa: N801  the kernel's name
    """landlock_add_rule(2): packed."""

    _pack_ = 1
    _layout_ = "ms"  # what _pack_ meant before it could be said
    _fields_ = (("access", ctypes.c_uint64), ("parent", ctypes.c_int32))


class sock_fprog(ctypes.Structure):  # noqa: N801  the kernel's name
    """seccomp(2)."""

    _fields_ = (("length", ctypes.c_ushort), ("filter", ctypes.c_char_p))


def unshare_mounts() -> None:
    """Leave for a mount namespace of our own (unshare(2))."""
    _check(_libc.unshare(CLONE_NEWNS), "unshare")


def make_private() -> None:
    """Cut every mount off from its peers: under SLAVE a later mount would appear, writable."""
    _mount(None, "/", None, MS_REC | MS_PRIVATE, None)


def mount(kind: str, target: str, options: str) -> None:
    """Mount a file system that needs no device (mount(2))."""
    _mount(kind, target, kind, 0, options)


def bind(source: str, target: str) -> None:
    """Put the file or directory `source` over `target` (MS_BIND)."""
    _mount(source, target, None, MS_BIND, None)


def clone_mount(path: str) -> int:
    """Return a descriptor of a detached mount of `path` alone (open_tree(2))."""
    return _call(SYS_open_tree, AT_FDCWD, os.fsencode(path), OPEN_TREE_CLONE | os.O_CLOEXEC)


def move_mount(descriptor: int, target: str) -> None:
    """Attach a detached mount at `target` (move_mount(2))."""
    target_ = os.fsencode(target)
    _call(SYS_move_mount, descriptor, b"", AT_FDCWD, target_, MOVE_MOUNT_F_EMPTY_PATH)


def set_attributes(path: str, add: int, remove: int = 0, *, recursive: bool = False) -> None:
    """Change the attributes of the mount at `path` (mount_setattr(2))."""
    attributes = mount_attr(add, remove)
    flags = AT_RECURSIVE if recursive else 0
    where = os.fsencode(path)
    size = ctypes.sizeof(attributes)
    _call(SYS_mount_setattr, AT_FDCWD, where, flags, ctypes.byref(attributes), size)


def join_session_keyring() -> None:
    """Start a session keyring of our own: root's may hold keys (keyctl(2)).

    A kernel without keys has nothing to keep away.
    """
    number = NUMBERS["keyctl"][ARCHITECTURES[architecture()][0]]
    try:
        _call(number, KEYCTL_JOIN_SESSION_KEYRING, None)
    except OSError as error:
        if error.errno != 38:  # noqa: PLR2004  ENOSYS
            raise


def set_death_signal(number: int) -> None:
    """Ask for a signal when the parent ends; a change of uid forgets it."""
    _check(_prctl(PR_SET_PDEATHSIG, number, 0, 0, 0), "prctl")


def drop_bounding_set(but: tuple[int, ...]) -> None:
    """Give up every capability that an executed file could bring, `but` those that we keep.

    They cannot be made inheritable when they are missing here.
    """
    for capability in range(CAPABILITIES):
        if capability not in but:
            _prctl(PR_CAPBSET_DROP, capability, 0, 0, 0)


def lock_securebits() -> None:
    """Uid 0 means nothing from now on, and a change of uid keeps what capset decides."""
    _check(_prctl(PR_SET_SECUREBITS, SECUREBITS, 0, 0, 0), "prctl SECUREBITS")


def hold_only(capabilities: tuple[int, ...]) -> None:
    """Hold these capabilities, hand them on across execve, and no others (capabilities(7))."""
    both = sum(1 << capability for capability in capabilities)
    low, high = both & 0xFFFFFFFF, both >> 32
    header = (ctypes.c_uint32 * 2)(CAPABILITY_VERSION_3, 0)
    data = (ctypes.c_uint32 * 6)(low, low, low, high, high, high)
    _check(_libc.capset(header, data), "capset")
    _check(_prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0), "prctl CAP_AMBIENT")
    for capability in capabilities:
        raised = _prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, capability, 0, 0)
        _check(raised, "prctl CAP_AMBIENT_RAISE")


def no_new_privileges() -> None:
    """No executed file gives more than we hold (prctl(2))."""
    _check(_prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0), "prctl NO_NEW_PRIVS")


def landlock_abi() -> int:
    """Return the version of Landlock's ABI, 0 where the kernel has none or it is switched off."""
    found: int = _syscall(
        _long(SYS_landlock_create_ruleset), None, _long(0), _long(LANDLOCK_CREATE_RULESET_VERSION)
    )
    return max(found, 0)


def make_ruleset(files: int, network: int, scopes: int) -> int:
    """Return a descriptor of a ruleset that handles these rights (landlock_create_ruleset(2))."""
    attributes = landlock_ruleset_attr(files, network, scopes)
    # An older kernel takes a shorter structure, or a longer one that ends in zeros.
    size = ctypes.sizeof(attributes)
    return _call(SYS_landlock_create_ruleset, ctypes.byref(attributes), size, 0)


def add_rule(ruleset: int, rights: int, descriptor: int) -> None:
    """Grant rights on a file, or beneath a directory (landlock_add_rule(2))."""
    rule = landlock_path_beneath_attr(rights, descriptor)
    _call(SYS_landlock_add_rule, ruleset, LANDLOCK_RULE_PATH_BENEATH, ctypes.byref(rule), 0)


def restrict_self(ruleset: int) -> None:
    """Live by the ruleset, with everything executed later (landlock_restrict_self(2))."""
    _call(SYS_landlock_restrict_self, ruleset, 0)


def filter_calls(program: bytes) -> None:
    """Live by a seccomp filter, an array of sock_filter (seccomp(2))."""
    filled = sock_fprog(len(program) // 8, program)
    pointer = ctypes.cast(ctypes.byref(filled), ctypes.c_void_p).value or 0
    _check(_prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, pointer, 0, 0), "prctl SECCOMP")


def _mount(
    source: str | None, target: str, kind: str | None, flags: int, options: str | None
) -> None:
    words = [None if one is None else os.fsencode(one) for one in (source, target, kind)]
    data = None if options is None else options.encode()
    _check(_libc.mount(*words, ctypes.c_ulong(flags), data), f"mount on {target}")


def _call(number: int, *arguments: object) -> int:
    # int arguments as longs: a variadic call would leave the upper half of a register undefined.
    words = [_long(one) if isinstance(one, int) else one for one in arguments]
    result: int = _syscall(_long(number), *words)
    _check(result, f"system call {number}")
    return result


def _check(result: int, what: str) -> None:
    if result < 0:
        number = ctypes.get_errno()
        raise OSError(number, f"{os.strerror(number)} ({what})")
