"""Whatever a session changes on the host is named at its end: about forty kinds, each planted."""

import re

import pytest

from tests.admin.ledger.ledgered import Ledgered

pytestmark = [pytest.mark.privileged, pytest.mark.timeout(120)]

CGROUPS = "$(awk '/ - cgroup2 /{print $5; exit}' /proc/self/mountinfo)"
PYTHON = "/usr/bin/python3 -I -c"
MAPPED = """
import mmap
with open("/run/m1", "r+b") as file, mmap.mmap(file.fileno(), 4096) as mapped:
    mapped[0] = 1
"""
ATTRIBUTE = """import os; os.setxattr("/run/f10", "trusted.x", b"y")"""
NFT = """
nft add table inet planted
nft add chain inet planted c
nft add rule inet planted c tcp dport 4711 accept
"""
# Name, what is there before, what the session does, what its end must name.
PLANTED: tuple[tuple[str, str, str, str], ...] = (
    ("mount", "mkdir /run/p1", "mount -t tmpfs p /run/p1", r"mount added: /run/p1 \(tmpfs p rw"),
    ("bind", "mkdir /run/p2", "mount --bind /etc /run/p2", r"mount added: /run/p2 "),
    ("unmount", "mkdir /run/p3; mount -t tmpfs p /run/p3", "umount /run/p3",
     r"mount removed: /run/p3 "),
    ("remount", "mkdir /run/p4; mount -t tmpfs p /run/p4", "mount -o remount,bind,ro /run/p4",
     r"mount changed: /run/p4: tmpfs p rw,relatime -> tmpfs p ro,relatime"),
    ("sysctl", "sysctl -w net.ipv4.ip_default_ttl=64", "sysctl -w net.ipv4.ip_default_ttl=65",
     r"sysctl changed: net/ipv4/ip_default_ttl: 64 -> 65$"),
    ("sysctl by echo", "sysctl -w net.core.somaxconn=1000",
     "echo 1001 >/proc/sys/net/core/somaxconn",
     r"sysctl changed: net/core/somaxconn: 1000 -> 1001$"),
    ("hostname", "hostname before", "hostname after",
     r"sysctl changed: kernel/hostname: before -> after"),
    ("create", "", "echo x >/run/f1", r"file created: /run/f1 \(-rw-.*0:0\)$"),
    ("write", "echo x >/run/f2", "echo y >>/run/f2", r"file changed: /run/f2 "),
    ("truncate", "echo x >/run/f3", "truncate -s 1 /run/f3", r"file changed: /run/f3 "),
    ("remove", "echo x >/run/f4", "rm /run/f4", r"file removed: /run/f4$"),
    ("rename", "echo x >/run/f5", "mv /run/f5 /run/f5b", r"file renamed: /run/f5 \(/run/f5b\)$"),
    ("replace", "echo x >/run/f6", "echo y >/run/f6.new; mv /run/f6.new /run/f6",
     r"file changed: /run/f6 "),
    ("put in place", "", "echo y >/run/f6.new; mv /run/f6.new /run/f6b",
     r"file put in place: /run/f6b "),
    ("tree", "", "mkdir -p /run/d1/a/b; touch /run/d1/a/b/c /run/d1/x",
     r"file created: /run/d1 \(drwx.*, and 4 things in it\)$"),
    ("remove a tree", "mkdir -p /run/d2/a", "rm -r /run/d2", r"file removed: /run/d2$"),
    ("rename a directory", "mkdir /run/d3", "mv /run/d3 /run/d3b; touch /run/d3b/in",
     r"file created: /run/d3b/in "),
    ("mode", "touch /run/f7", "chmod 600 /run/f7", r"file attributes: /run/f7 \(-rw------- 0:0\)"),
    ("owner", "touch /run/f8", "chown 7:8 /run/f8", r"file attributes: /run/f8 \(-.* 7:8\)$"),
    ("times", "touch /run/f9", "touch -d 2001-01-01 /run/f9",
     r"file (attributes|changed): /run/f9"),
    ("extended attribute", "touch /run/f10",
     f"{PYTHON} '{ATTRIBUTE}'",
     r"file attributes: /run/f10 "),
    ("setuid", "cp /bin/true /run/s1", "chmod u+s /run/s1", r"setuid added: /run/s1 \(-rws"),
    ("a setuid copy", "", "cp /bin/true /run/s2; chmod 6755 /run/s2",
     r"setuid added: /run/s2 \(-rwsr-s"),
    ("symbolic link", "", "ln -s /etc/passwd /run/l1", r"file created: /run/l1 \(lrwx"),
    ("hard link", "touch /run/f11", "ln /run/f11 /run/l2", r"file created: /run/l2 "),
    ("pipe", "", "mkfifo /run/q1", r"file created: /run/q1 \(prw"),
    ("memory map", "head -c 4096 /dev/zero >/run/m1",
     f"{PYTHON} '{MAPPED}'", r"file changed: /run/m1 "),
    ("in a fresh file system", "mkdir /run/p5",
     "mount -t tmpfs p /run/p5; sleep 0.3; touch /run/p5/f",
     r"file created: /run/p5/f "),
    ("authorized_keys", "", "echo 'ssh-ed25519 AAAA x' >>/root/.ssh/authorized_keys",
     r"entrance (added|changed): /root/.ssh/authorized_keys \(.*\)$"),
    ("cron", "", "echo '* * * * * root true' >/etc/cron.d/planted",
     r"entrance added: /etc/cron.d/planted \(.*\)$"),
    ("crontab", "", "echo '* * * * * true' >/var/spool/cron/crontabs/root",
     r"entrance added: /var/spool/cron/crontabs/root \(.*\)$"),
    ("sudoers", "mkdir -p /etc/sudoers.d", "echo 'x ALL=(ALL) ALL' >/etc/sudoers.d/planted",
     r"entrance added: /etc/sudoers.d/planted \(.*\)$"),
    ("user", "", "echo 'eve:x:0:0::/:/bin/sh' >>/etc/passwd",
     r"account added: user eve \(0:0::/:/bin/sh\)$"),
    ("group", "", "echo 'planted:x:4711:' >>/etc/group", r"account added: group planted "),
    ("password", "echo 'mallory:!:1::::::' >>/etc/shadow",
     "sed 's/^mallory:!/mallory:x/' /etc/shadow >/run/shadow; cat /run/shadow >/etc/shadow",
     r"account changed: password mallory: [0-9a-f]{16} -> [0-9a-f]{16}$"),
    ("namespace", "touch /run/ns1", "unshare --net=/run/ns1 true",
     r"namespace kept: net:\[\d+\] \(/run/ns1\)$"),
    ("firewall", "", NFT,
     r"firewall added: table inet planted chain c: tcp dport 4711 accept"),
    ("unit", "", f"mkdir {CGROUPS}/planted.service",
     r"unit added: planted.service"),
    ("who leaves the cgroup", "",
     f"echo 0 >{CGROUPS}/cgroup.procs; echo x >/run/moved", r"file created: /run/moved .*0:0\)$"),
)  # fmt: skip


@pytest.mark.parametrize(
    ("before", "planted", "named"), [one[1:] for one in PLANTED], ids=[one[0] for one in PLANTED]
)
def test_it_is_named(ledger: Ledgered, before: str, planted: str, named: str) -> None:
    """One change, planted by a session, is named when the session ends."""
    if before:
        ledger.box.on_host("sh", "-ec", before)

    lines = ledger.session(planted)

    assert any(re.search(named, line) for line in lines), lines
