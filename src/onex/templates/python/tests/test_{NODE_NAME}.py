"""Tests of the node {NODE_NAME}, for pytest; onex brings the fixture along."""

import onex


def test_it_greets(onex_registry: onex.Registry) -> None:
    result = onex_registry.run("{NODE_TYPE}://{NAMESPACE}", {"who": "Grace"}).raise_for_status()
    assert result["node"].output == {"greeting": "Hello, Grace!"}


def test_it_refuses_what_is_no_name(onex_registry: onex.Registry) -> None:
    result = onex_registry.run("{NODE_TYPE}://{NAMESPACE}", {"who": 7})
    assert not result.success
