"""``onex explain``"""

from __future__ import annotations

import click

from onex.cli.options import no_home_option, output_options
from onex.cli.output import Output
from onex.domain.error_catalog import ERROR_CATALOG
from onex.domain.errors import UsageError


@click.command()
@click.argument("code", required=False)
@no_home_option
@output_options
def explain(output: Output, code: str | None) -> None:
    """Explain an error code.

    Without CODE, all of them are listed.
    """
    if code is None:
        listed = dict(ERROR_CATALOG)
    elif code.upper() in ERROR_CATALOG:
        listed = {code.upper(): ERROR_CATALOG[code.upper()]}
    else:
        raise UsageError(f"{code!r} is not a code of onex", hint="onex explain lists all codes")

    def human() -> None:
        for name, text in listed.items():
            output.line(f"{name}: {text}")

    output.emit({"codes": dict(listed)}, human)
