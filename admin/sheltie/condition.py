"""What is known about the host one enters: verity, slot, lockdown, taint, our image's digest.

The kernel's own words where there are any; nothing is guessed, and what cannot be read is left out.
A host that has been subverted can say what it likes: this tells an honest host's state, not more.
"""

from __future__ import annotations

import posix as os  # all that `os` has of use here, without its 1.3 ms

from contract import places, verity

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["Condition", "read"]

LIMIT = 1 << 16
TAINTS = "PFSRMBUDAWCIOELKXTNJ"
"""A letter for each bit of /proc/sys/kernel/tainted (the kernel's tainted-kernels.rst)."""
BAD_TAINTS = frozenset("FRMBUDAOEKJ")
"""Foreign or forced code in the kernel, or a kernel that came to harm."""
SLOT = "LoaderEntrySelected-4a67b082-0a4c-41cf-b6c7-440b29bb8c4f"
"""What systemd-boot booted (the Boot Loader Interface)."""
HASHES = ("roothash", "usrhash", "verity.roothash")
DIGEST_SECONDS = 0.5
CORRUPTED = "CORRUPTED"


class Condition:
    """The host's condition; an empty text is what could not be read."""

    __slots__ = ("image", "lockdown", "root_hash", "slot", "taint", "verity")

    def __init__(
        self, verity: str, root_hash: str, slot: str, lockdown: str, taint: str, image: str
    ) -> None:
        self.verity = verity
        """`active`, `CORRUPTED` since a wrong block was read, or `none`."""
        self.root_hash = root_hash
        self.slot = slot
        self.lockdown = lockdown
        """`none`, `integrity` or `confidentiality`."""
        self.taint = taint
        """Letters, or `none`."""
        self.image = image

    def line(self) -> str:
        """Return the one line that a person reads."""
        shown = [
            ("verity", self.verity),
            ("root hash", self.root_hash[:16]),
            ("slot", self.slot),
            ("lockdown", self.lockdown),
            ("taint", self.taint),
            ("admin's image", self.image[:19]),
        ]
        return "the host: " + ", ".join(f"{name} {value}" for name, value in shown if value)

    def doubts(self) -> list[str]:
        """Return why the host is not known to be as it was delivered; what is unknown counts."""
        found = []
        if self.verity == CORRUPTED:
            found.append("its root is not what was delivered: verity found a block that is wrong")
        elif self.verity != "active":
            found.append("its root is not under verity")
        if self.lockdown in ("", "none"):
            found.append("its kernel is not locked down")
        if not self.taint:
            found.append("its kernel's taint cannot be read")
        elif BAD_TAINTS & set(self.taint) and self.taint != "none":
            found.append(f"its kernel is tainted: {self.taint}")
        return found


def read(root: str = "/proc/1/root") -> Condition:
    """Read the condition of the host whose files are at `root`."""
    command_line = _text("/proc/cmdline")

    def state(device: str) -> str:
        return verity.state(device, f"{root}/dev/mapper/control")

    return Condition(
        verity=watched(_text("/proc/1/mountinfo"), verity.is_verity, state),
        root_hash=root_hash(command_line),
        slot=slot(_bytes(f"{root}/sys/firmware/efi/efivars/{SLOT}"), command_line),
        lockdown=chosen(_text(f"{root}/sys/kernel/security/lockdown")),
        taint=letters(_text("/proc/sys/kernel/tainted")),
        image=_image(),
    )


def watched(mountinfo: str, is_verity: Callable[[str], bool], state: Callable[[str], str]) -> str:
    """Return whether the root, or /usr, is a device that verity watches over, and content with."""
    devices = [verity.device(mountinfo, point) for point in ("/", "/usr")]
    if not devices[0]:
        return ""
    found = [one for one in devices if one and is_verity(one)]
    if not found:
        return "none"
    return CORRUPTED if verity.CORRUPTED in map(state, found) else "active"


def root_hash(command_line: str) -> str:
    """Return the hash that the kernel's command line demands, as dm-verity or systemd spells it."""
    words = command_line.replace('"', " ").split()
    for word in words:
        name, _, value = word.partition("=")
        if name in HASHES and _is_hash(value):
            return value
    # dm-mod.create="root,,,ro,0 N verity 1 DATA HASH 4096 4096 BLOCKS START sha256 ROOT SALT"
    for position, word in enumerate(words):
        target = words[position : position + 10]
        if word == "verity" and len(target) > 9 and _is_hash(target[9]):  # noqa: PLR2004  as above
            return target[9]
    return ""


def slot(variable: bytes, command_line: str) -> str:
    """Return which boot entry runs: the loader's variable, else the kernel's file or partition."""
    entry = variable[4:].decode("utf-16-le", "replace").rstrip("\0")  # behind the attributes
    if entry:
        return _plain(entry)
    for word in command_line.split():
        name, _, value = word.partition("=")
        if name == "BOOT_IMAGE" and value:
            return _plain(value)
    return ""


def chosen(modes: str) -> str:
    """Return the mode in brackets of /sys/kernel/security/lockdown."""
    return modes.partition("[")[2].partition("]")[0]


def letters(tainted: str) -> str:
    """Return the letters of a taint mask."""
    try:
        mask = int(tainted.encode("ascii"))
    except ValueError:
        return ""
    if mask < 0:
        return ""
    found = "".join(letter for bit, letter in enumerate(TAINTS) if mask >> bit & 1)
    if mask >> len(TAINTS):
        found += "?"
    return found or "none"


def _image() -> str:
    """Return the digest that the host's daemon started us from; a stock host does not tell.

    It cannot change while this container lives, so it is asked once.
    """
    kept = _text(places.IMAGE_DIGEST)
    if kept:
        return kept
    from admin.sheltie import digest

    return digest.ask_and_keep(DIGEST_SECONDS)


def _is_hash(text: str) -> bool:
    return len(text) in (64, 128) and all(one in "0123456789abcdef" for one in text)


def _plain(text: str) -> str:
    """Return a name that writes nothing strange to a terminal."""
    return "".join(one if one.isascii() and one.isprintable() else "?" for one in text)[:64]


def _text(path: str) -> str:
    return _bytes(path).decode(errors="replace").strip()


def _bytes(path: str) -> bytes:
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    except OSError:
        return b""
    try:
        return os.read(descriptor, LIMIT)
    except OSError:
        return b""
    finally:
        os.close(descriptor)
