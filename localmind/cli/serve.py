"""`localmind serve`: this process becomes the daemon."""

import logging
import os
import sys

import click

from localmind.paths import Paths


@click.command()
@click.option("--port", type=click.IntRange(1, 65535), help="TCP port instead of LOCALMIND_PORT or 11411.")
@click.option(
    "--ollama-port",
    type=click.IntRange(1, 65535),
    is_flag=False,
    flag_value=11434,
    help="Listen on Ollama's port too (11434 unless you name another), for programs that know nothing else.",
)
@click.option("--background", is_flag=True, hidden=True, help="How other commands start it: log to the file only.")
def serve(port: int | None, ollama_port: int | None, background: bool) -> None:
    """Run the daemon in the foreground.

    It serves the command line on a unix socket and editors on http://127.0.0.1:11411/v1 until Ctrl-C.
    You rarely need this: every command that needs the daemon starts it. For a daemon that always listens on
    Ollama's port, write `ollama_port = 11434` into settings.toml.
    """
    from localmind.daemon.run import run  # FastAPI, uvicorn and SQLite: 0.5 s that no other command pays

    run(Paths.find(), background=background, port=port, ollama_port=ollama_port)
    # Streams, workers and databases are closed. What CPython would still do is take a thousand modules apart,
    # which lasts 0.2 s on an idle machine and over a second on a busy one, after `localmind stop` said "stopped".
    logging.shutdown()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(0)
