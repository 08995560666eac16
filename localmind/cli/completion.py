"""`localmind completion`: what makes Tab work in a shell, with the names of models, threads and folders.

click writes the scripts. Bash takes words apart at colons, which are in the names of models, and
click's script hands over the pieces; ours hands over the line, and takes back what comes after the last colon.
"""

import os
from typing import ClassVar

import click
from click.shell_completion import (
    BashComplete,
    CompletionItem,
    FishComplete,
    add_completion_class,
    get_completion_class,
    split_arg_string,
)

WHERE = """\b
Where it goes:
  bash  localmind completion bash > ~/.localmind.bash
        echo '. ~/.localmind.bash' >> ~/.bashrc
  zsh   localmind completion zsh > ~/.zfunc/_localmind
        with fpath+=~/.zfunc before compinit in ~/.zshrc
  fish  localmind completion fish > ~/.config/fish/completions/localmind.fish
"""

BASH = """\
%(complete_func)s() {
    local IFS=$'\\n' typed="${COMP_LINE:0:COMP_POINT}" response item type value before
    response=$(env COMP_TYPED="$typed" %(complete_var)s=bash_complete "$1" 2>/dev/null)
    # What stands before the last colon of this word is no part of what bash replaces.
    before="${typed##*[[:space:]=]}"
    [[ $before == *:* && $COMP_WORDBREAKS == *:* ]] && before="${before%%:*}:" || before=""
    COMPREPLY=()
    for item in $response; do
        type="${item%%%%,*}" value="${item#*,}"
        case $type in
            dir) compopt -o dirnames ;;
            file) compopt -o default ;;
            plain)
                value="${value#"$before"}"
                [[ $value == *[[:space:]\\'\\"\\(\\)\\&\\;\\$]* ]] && printf -v value %%q "$value"
                COMPREPLY+=("$value") ;;
        esac
    done
}

complete -o nosort -F %(complete_func)s localmind
"""


@add_completion_class
class Bash(BashComplete):
    """Reads the line up to the cursor."""

    source_template: ClassVar[str] = BASH

    def get_completion_args(self) -> tuple[list[str], str]:
        typed = os.environ.get("COMP_TYPED", "")
        words = split_arg_string(typed)
        begun = words.pop() if words and not typed[-1:].isspace() else ""
        return words[1:], begun

    def format_completion(self, item: CompletionItem) -> str:
        return f"{item.type},{item.value}"


@add_completion_class
class Fish(FishComplete):
    """What is completed may have commas in it, as what is said of it has."""

    source_template: ClassVar[str] = FishComplete.source_template.replace('split ","', 'split -m 1 ","')


@click.command(epilog=WHERE)
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
@click.pass_context
def completion(ctx: click.Context, shell: str) -> None:
    """Print the completion script of a shell.

    Tab then completes commands, options, and the names of models, threads, folders and templates, as far as a
    running daemon knows them.
    """
    kind = get_completion_class(shell)
    assert kind is not None
    click.echo(kind(ctx.find_root().command, {}, "localmind", "_LOCALMIND_COMPLETE").source())
