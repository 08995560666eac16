"""`localmind completion`: what makes Tab work in a shell, with the names of models, threads and folders."""

import click
from click.shell_completion import get_completion_class

PLACES = {
    "bash": "localmind completion bash > ~/.local/share/bash-completion/completions/localmind",
    "zsh": "localmind completion zsh > ~/.zfunc/_localmind   (with fpath+=~/.zfunc before compinit in ~/.zshrc)",
    "fish": "localmind completion fish > ~/.config/fish/completions/localmind.fish",
}


@click.command(epilog="\b\nWhere it goes:\n  " + "\n  ".join(PLACES.values()))
@click.argument("shell", type=click.Choice(list(PLACES)))
@click.pass_context
def completion(ctx: click.Context, shell: str) -> None:
    """Print the completion script of a shell.

    Tab then completes commands, options, and the names of models, threads, folders and templates, as far as a
    running daemon knows them.
    """
    kind = get_completion_class(shell)
    assert kind is not None
    click.echo(kind(ctx.find_root().command, {}, "localmind", "_LOCALMIND_COMPLETE").source())
