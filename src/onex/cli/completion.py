"""``onex completion``"""

from __future__ import annotations

import click

from onex.cli.completing import COMPLETE
from onex.cli.options import no_home_option, output_options
from onex.cli.output import Output

_SCRIPTS = {
    "bash": f"""\
_onex_complete() {{
    local IFS=$'\\n'
    local line="${{COMP_LINE:0:$COMP_POINT}}"
    COMPREPLY=($(onex {COMPLETE} "$line" "$COMP_WORDBREAKS" 2>/dev/null))
}}
complete -o default -F _onex_complete onex onexr
""",
    "zsh": f"""\
#compdef onex onexr
_onex_complete() {{
    local -a found
    found=("${{(@f)$(onex {COMPLETE} "${{LBUFFER}}" 2>/dev/null)}}")
    if [[ -n "${{found[1]}}" ]]; then compadd -Q -- "${{found[@]}}"; else _files; fi
}}
compdef _onex_complete onex onexr
""",
    "fish": f"""\
function __onex_complete
    onex {COMPLETE} (commandline -cp) 2>/dev/null
end
complete -c onex -a '(__onex_complete)'
complete -c onexr -a '(__onex_complete)'
""",
}


@click.command()
@click.argument("shell", type=click.Choice(list(_SCRIPTS)))
@no_home_option
@output_options
def completion(output: Output, shell: str) -> None:
    """Print what makes a shell complete commands, options and the names of nodes.

    \b
    bash: add to ~/.bashrc                  eval "$(onex completion bash)"
    zsh:  add to ~/.zshrc, after compinit   eval "$(onex completion zsh)"
    fish: onex completion fish > ~/.config/fish/completions/onex.fish
    """
    script = _SCRIPTS[shell]
    output.emit({"shell": shell, "script": script}, lambda: click.echo(script, nl=False))
