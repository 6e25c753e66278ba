"""Sums events up."""


def digest(events: list) -> dict:
    """Count events, and add their amounts by kind."""
    amounts = {}
    for event in events:
        amounts[event["kind"]] = amounts.get(event["kind"], 0) + event["amount"]
    return {"count": len(events), "amounts": dict(sorted(amounts.items()))}
