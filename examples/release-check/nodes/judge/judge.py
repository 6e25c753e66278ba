"""Judges what was read of a project."""


def judge(facts: dict) -> dict:
    """Check that a project is ready to be released; raises ValueError with what is not."""
    dated = {one["version"] for one in facts["changelog"] if one["date"]}
    checks = [
        ("one version everywhere", len(set(facts["versions"].values())) == 1),
        ("the version is in the changelog with a date", facts["version"] in dated),
        ("there is a license", facts["has_license"]),
        ("no dependency is a direct reference", not facts["direct_references"]),
    ]
    failed = [name for name, ok in checks if not ok]
    if failed:
        raise ValueError("not ready, this does not hold: " + "; ".join(failed))
    return {"checks": [{"check": name, "ok": ok} for name, ok in checks]}
