"""Where the SSH server can be reached."""

from control.addresses import own_addresses, reachable

EVERY = "0.0.0.0"  # noqa: S104  compared, not bound
OWN = ["10.0.0.5", "fd00::5", "127.0.0.1", "::1"]


def test_an_address_stands_for_itself() -> None:
    """A server on one address is reached there."""
    assert reachable([("192.0.2.1", 22)], OWN) == [("192.0.2.1", 22)]


def test_a_wildcard_stands_for_the_hosts_own_addresses() -> None:
    """IPv4 comes first, and loopback is nothing to tell others."""
    assert reachable([(EVERY, 22), ("::", 22)], OWN) == [("10.0.0.5", 22), ("fd00::5", 22)]


def test_loopback_is_told_where_there_is_nothing_else() -> None:
    """In a namespace without a network the way in is loopback."""
    assert reachable([(EVERY, 22)], ["127.0.0.1", "::1"]) == [("127.0.0.1", 22)]


def test_the_machines_own_addresses_are_literals() -> None:
    """No name and no DNS: each is an IP address, and none comes twice."""
    import ipaddress

    found = own_addresses()
    assert found
    assert len(found) == len(set(found))
    assert all(ipaddress.ip_address(text) for text in found)
