"""`localmind engine`: the llama.cpp binding and how it was built."""

import click

from localmind.cli._groups import Group
from localmind.cli._output import note, print_json, show_progress
from localmind.paths import Paths


@click.group(cls=Group)
def engine() -> None:
    """Show or rebuild the engine that runs models, llama.cpp.

    Its Python binding is compiled on your machine for its processor. `build` uses the compiler flags that this
    machine needs, keeps the result, and leaves a working binding alone.
    """


@engine.command()
@click.option("--json", "as_json", is_flag=True, help="Print as JSON.")
def show(as_json: bool) -> None:
    """Show which binding is installed and how it was built."""
    from localmind.machine import build

    found = build.installed_binding()
    if as_json:
        print_json(None if found is None else build.describe(found))
    elif found is None:
        note("llama-cpp-python is not installed\nhint: localmind engine build")
    else:
        for key, value in build.describe(found).items():
            click.echo(f"{key:10} {value}")


@engine.command("build")
@click.option("--force", is_flag=True, help="Compile again even if the binding is right.")
@click.option(
    "--backend",
    type=click.Choice(["cuda", "rocm", "vulkan", "metal", "rpc", "cpu"]),
    help="Compile for this kind of GPU, instead of what is found.",
)
def build_(force: bool, backend: str | None) -> None:
    """Compile and install the binding with the flags this machine needs.

    Takes about ten minutes the first time and seconds afterwards. A failed build leaves the old one in place.
    """
    from localmind.machine import build

    for _ in show_progress(build.build(Paths.find(), force=force, backend=build.BACKEND_NAMES.get(backend or ""))):
        pass
