"""Which connections are granted: names, ports, pins, and addresses that names must not lead to."""

from __future__ import annotations

import pytest

from onex.sandbox.network_broker import GrantedHost, NetworkBroker, address_of

NAMES = {
    "api.example.org": ["93.184.216.34", "2606:2800:220:1::1"],
    "evil.example.org": [
        "127.0.0.1",
        "10.0.0.5",
        "169.254.169.254",
        "::1",
        "fd00::1",
        "93.184.216.99",
    ],
    "localhost": ["127.0.0.1", "::1", "93.184.216.77"],
}


def grants(*resources: str) -> list[GrantedHost]:
    return [GrantedHost.parse(resource) for resource in resources]


def resolve(name: str) -> list[str]:
    if name not in NAMES:
        raise OSError("no such name")
    return NAMES[name]


@pytest.mark.parametrize(
    ("granted", "address", "port", "is_allowed"),
    [
        ("api.example.org:443", "93.184.216.34", 443, True),
        ("api.example.org:443", "93.184.216.34", 80, False),
        ("api.example.org", "93.184.216.34", 80, True),
        ("api.example.org", "93.184.216.99", 80, False),
        ("evil.example.org", "127.0.0.1", 80, False),
        ("evil.example.org", "169.254.169.254", 80, False),
        ("evil.example.org", "93.184.216.99", 80, True),
        ("localhost:80", "127.0.0.1", 80, True),
        ("localhost:80", "::ffff:127.0.0.1", 80, True),
        ("localhost:80", "93.184.216.77", 80, False),
        ("10.0.0.5:5432", "10.0.0.5", 5432, True),
        ("10.0.0.5:5432", "10.0.0.6", 5432, False),
        ("[::1]:80", "::1", 80, True),
        ("*.example.org:443", "93.184.216.34", 443, False),
    ],
)
def test_what_is_granted_is_allowed_and_nothing_else(
    granted: str, address: str, port: int, is_allowed: bool
) -> None:
    found = address_of(address)
    assert found is not None
    assert NetworkBroker(resolve).allows(found, port, grants(granted)) is is_allowed


def test_a_pattern_holds_for_names_that_were_asked_for() -> None:
    broker, granted = NetworkBroker(resolve), grants("*.example.org:443")
    assert list(map(str, broker.addresses("API.example.org.", granted))) == NAMES["api.example.org"]
    address = address_of("93.184.216.34")
    assert address is not None
    assert broker.allows(address, 443, granted)
    assert not broker.allows(address, 444, granted)
    # What one node may reach by a name, another may not for that reason.
    assert not broker.allows(address, 443, grants("other.org"))
    with pytest.raises(PermissionError):
        broker.addresses("example.org", granted)


def test_a_name_leads_for_the_whole_run_to_where_it_led_first() -> None:
    answers = iter([["93.184.216.34"], ["93.184.216.35"]])
    broker, granted = NetworkBroker(lambda name: next(answers)), grants("a.org")
    first = broker.addresses("a.org", granted)
    assert broker.addresses("a.org", granted) == first
    assert broker.hosts_file(granted) == "93.184.216.34 a.org\n"
