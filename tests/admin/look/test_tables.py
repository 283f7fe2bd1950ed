"""The pure parts: a mount table, Landlock's rights, the owner's wishes."""

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from admin.look import rights
from admin.look.cover import expand
from admin.look.mounts import Table
from admin.look.settings import draw_uid, read
from contract.errors import MachineError
from contract.looking import UIDS, Wishes
from contract.userdata import decode

TABLE = Table(
    "20 1 8:1 / / rw - ext4 /dev/a rw\n"
    "21 20 8:2 / /var rw shared:1 - ext4 /dev/b rw\n"
    "22 20 8:2 /lib /srv/lib rw - ext4 /dev/b rw\n"
    "23 20 8:2 /lib/secret/part /mnt/part\\040of rw - ext4 /dev/b rw\n"
    "24 20 0:40 / /home rw - nfs4 server:/home rw\n"
    "25 20 0:41 / /misc rw - autofs systemd-1 rw\n"
    "26 20 0:42 / /boot rw - autofs systemd-1 rw\n"
    "27 26 8:3 / /boot rw - vfat /dev/c rw\n"
)


def test_a_file_is_found_wherever_it_shows() -> None:
    """By its own mount, by another of the same file system, and by one of a part of it."""
    assert TABLE.inner("/var/lib/secret") == ("8:2", "/lib/secret")
    assert TABLE.showing("8:2", "/lib/secret") == [
        "/var/lib/secret", "/srv/lib/secret", "/mnt/part of",
    ]  # fmt: skip
    assert TABLE.inner("/etc/x") == ("8:1", "/etc/x")


def test_what_may_hang_is_known() -> None:
    """A dead server's mount is not walked; an automount point is covered, not triggered."""
    assert TABLE.may_hang("/home/x/.ssh")
    assert not TABLE.may_hang("/homes")
    assert TABLE.automounts() == ["/misc"]
    assert expand("/home/*/.ssh", TABLE) == []
    assert not Table("1 0 0:9 / / rw - nfs4 s:/ rw").may_hang("/etc")


@given(st.lists(st.sampled_from(["a", "b", "ab"]), min_size=1, max_size=4))
def test_a_path_always_shows_at_itself(parts: list[str]) -> None:
    """Whatever the path, one of the places that show it is the path."""
    path = "/var/" + "/".join(parts)
    assert path in TABLE.showing(*TABLE.inner(path))


def test_patterns(tmp_path: Path) -> None:
    """A star matches within one component; what does not exist is passed over."""
    for name in ("ssh_host_rsa_key", "ssh_host_rsa_key.pub", "resource0", "resource", "resource12"):
        (tmp_path / name).touch()
    table = Table("1 0 8:1 / / rw - ext4 /dev/a rw\n")
    assert expand(f"{tmp_path}/ssh_host_*_key", table) == [f"{tmp_path}/ssh_host_rsa_key"]
    found = expand(f"{tmp_path}/resource[0-9]*", table)
    assert sorted(found) == [f"{tmp_path}/resource0", f"{tmp_path}/resource12"]
    assert expand(f"{tmp_path}/none", table) == []


def test_rights_by_abi() -> None:
    """An older kernel is asked only for what it knows; reading is always handled."""
    assert rights.files(1) == 0x1FF6
    assert rights.files(2) == 0x3FF6
    assert rights.files(3) == 0x7FF6
    assert rights.files(7) == rights.files(5) == 0xFFF6
    assert [rights.network(abi) for abi in (3, 4)] == [0, 3]
    assert [rights.scopes(abi) for abi in (5, 6)] == [0, 3]
    assert rights.SCRATCH & ~rights.files(7) == 0


def wishes(tmp_path: Path, document: object) -> Wishes:
    """Return the settings that a user-data gives."""
    path = tmp_path / "user-data"
    path.write_text(document if isinstance(document, str) else json.dumps(document))
    return read(str(path))


def test_wishes_and_their_defaults(tmp_path: Path) -> None:
    """Missing user-data or section: the defaults; both spellings of a key are taken."""
    for settings in (read(str(tmp_path / "none")), wishes(tmp_path, {"sheltie": {"listen": ":1"}})):
        assert (settings.first, settings.last, settings.masks, settings.syslog) == (*UIDS, (), True)
    section = {"look-uids": "5-6", "look_masks": ["/etc/x", "/srv/*/key"], "look-syslog": False}
    settings = wishes(tmp_path, {"sheltie": section})
    assert (settings.first, settings.last, settings.syslog) == (5, 6, False)
    assert settings.masks == ("/etc/x", "/srv/*/key")
    _, problems = decode(json.dumps({"sheltie": section}).encode())
    assert not [one for one in problems if "look" in one]


BAD: dict[str, list[object]] = {
    "look-uids": ["0-5", "6-5", "1", "1-4294967295", "a-b", 7, "-1-5", "1-2-3", "1-" + "9" * 5000],
    "look-masks": ["/x", ["x"], ["/"], ["/a/../b"], ["/a//b"], ["/**"], [3]],
    "look-syslog": ["yes", 1, []],
}


@pytest.mark.parametrize(
    "section", [{name: value} for name, values in BAD.items() for value in values]
)
def test_a_wish_that_cannot_be_kept_ends_it(tmp_path: Path, section: dict[str, object]) -> None:
    """A look that masks less than its owner wished would be none: it is refused, and said so."""
    with pytest.raises(MachineError) as raised:
        wishes(tmp_path, {"sheltie": section})
    assert raised.value.code == "LOOK_SETTINGS"
    _, problems = decode(json.dumps({"sheltie": section}).encode())
    assert any(f"sheltie.{next(iter(section))}" in one for one in problems)


def test_broken_user_data_that_wishes_something_ends_it(tmp_path: Path) -> None:
    """Half a document may have held a mask."""
    with pytest.raises(MachineError):
        wishes(tmp_path, '{"sheltie": {"look-masks": [')


def test_uids_are_free_and_of_the_range() -> None:
    """One that a process has is never drawn."""
    uids = {draw_uid(Wishes()) for _ in range(20)}
    assert len(uids) == 20
    assert all(UIDS[0] <= uid <= UIDS[1] for uid in uids)
    with pytest.raises(MachineError) as raised:
        draw_uid(Wishes((0, 0)))  # root's: always taken
    assert raised.value.code == "LOOK_UID"
