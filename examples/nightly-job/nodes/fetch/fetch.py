"""Fetches events."""

import json
from urllib.request import Request, urlopen


def execute(context, *, service: str, day: str) -> dict:
    """Fetch the events of a day; raises OSError if the service does not answer."""
    token = context.get_secret("SERVICE_TOKEN")
    request = Request(f"{service}/{day}.json", headers={"authorization": f"Bearer {token}"})
    with urlopen(request, timeout=20) as answer:
        events = json.load(answer)
    context.get_logger().info("%d events of %s", len(events), day)
    return {"events": events}
