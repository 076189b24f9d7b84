"""The ``sipcore`` command. Heavy imports live inside the commands: ``sipcore --help`` is quick."""

from __future__ import annotations

import json
import sys
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any, NoReturn

import typer

from sipcore import __version__
from sipcore.errors import SipcoreError

app = typer.Typer(
    name="sipcore",
    help="Phone calls that are answered by software.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=False,
)
models_app = typer.Typer(help="Models: what there is, what is here, fetching them.", no_args_is_help=True)
plugins_app = typer.Typer(help="Plugins: what is installed and loaded.", no_args_is_help=True)
app.add_typer(models_app, name="models")
app.add_typer(plugins_app, name="plugins")

ConfigOption = Annotated[
    Path | None, typer.Option("--config", help="The settings' TOML file. [default: sipcore.toml, if there]")
]
PluginsOption = Annotated[
    str | None,
    typer.Option("--plugins", envvar="SIPCORE_PLUGINS", help="Load these plugins alone: names with commas between."),
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON, for programs.")]


def main() -> None:
    """Run the command line; what can go wrong ends with its message and status 1, Ctrl-C with 130: no traceback."""
    try:
        with _errors_told():
            app()
    except KeyboardInterrupt:
        sys.exit(130)


@contextmanager
def _errors_told() -> Generator[None]:
    try:
        yield
    except BaseExceptionGroup as group:
        problems = _leaves(group)
        known = [error for error in problems if isinstance(error, SipcoreError)]
        if len(known) < len(problems):
            raise
        _fail(known)
    except SipcoreError as error:
        _fail([error])


def _fail(errors: Sequence[SipcoreError]) -> NoReturn:
    from sipcore.app.terminal import fail

    fail("\n".join(str(error) for error in errors))


def _leaves(group: BaseExceptionGroup[BaseException]) -> list[BaseException]:
    found: list[BaseException] = []
    for error in group.exceptions:
        found.extend(_leaves(error) if isinstance(error, BaseExceptionGroup) else [error])  # pyright: ignore[reportUnknownArgumentType]
    return found


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"sipcore {__version__} (Python {sys.version.split()[0]})")
        raise typer.Exit


@app.callback()
def _root(  # pyright: ignore[reportUnusedFunction]
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    del version


@app.command()
def run(
    plugins: PluginsOption = None,
    config: ConfigOption = None,
    no_pull: Annotated[bool, typer.Option("--no-pull", help="Do not fetch missing models at the start.")] = False,
) -> None:
    """Answer calls: SIP, RTP and the assistant in one program."""
    from sipcore.app.run import run_server

    run_server(config, _names(plugins), not no_pull)


@app.command()
def serve(config: ConfigOption = None) -> None:
    """Answer and place calls for programs on the WebSocket: SIP, RTP and control, no AI."""
    from sipcore.app.run import serve_clients

    serve_clients(config)


@app.command(name="call-center")
def call_center(
    url: Annotated[str | None, typer.Option(help="The server's WebSocket, ws://HOST:PORT. [default: WS_URL]")] = None,
    plugins: PluginsOption = None,
    config: ConfigOption = None,
    no_pull: Annotated[bool, typer.Option("--no-pull", help="Do not fetch missing models at the start.")] = False,
    heartbeat: Annotated[
        Path | None, typer.Option(help="Touch this file every 5 seconds while connected, for health checks.")
    ] = None,
) -> None:
    """Talk on the calls of a `sipcore serve`, here or elsewhere: the assistant alone. Run as many as you want."""
    from sipcore.app.call_center import run_call_center

    run_call_center(url, config, _names(plugins), not no_pull, heartbeat)


@app.command()
def call(
    target: Annotated[str, typer.Argument(help="Whom to call: sip:bob@192.168.1.10:5062")],
    play: Annotated[Path | None, typer.Option(help="Play this file when answered.")] = None,
    say: Annotated[str | None, typer.Option(help="Say this when answered (needs a text-to-speech plugin).")] = None,
    record: Annotated[Path | None, typer.Option(help="Record what is heard to this WAV file.")] = None,
    dtmf: Annotated[str | None, typer.Option(help="Send these digits when answered: 0-9 * # A-D.")] = None,
    wait: Annotated[float, typer.Option(min=0, help="Seconds to listen before saying anything.")] = 0.0,
    duration: Annotated[
        float | None,
        typer.Option(min=0, help="Hang up so many seconds after the answer. [default: when all was said]"),
    ] = None,
    timeout: Annotated[float, typer.Option(min=1, help="Seconds to let it ring.")] = 60.0,
    as_json: JsonOption = False,
) -> None:
    """Make a call: a small phone. Exit status 0: it was answered; 1: it was not."""
    from sipcore.app.phone_call import Errand, make_call

    errand = Errand(target, play, say, record, dtmf or "", wait, duration, timeout)
    raise typer.Exit(make_call(errand, as_json))


@app.command()
def demo(
    as_json: JsonOption = False,
) -> None:
    """An AI answers a phone call, here and now: offline, with no key."""
    from sipcore.app.demo import run_demo

    raise typer.Exit(run_demo(as_json))


@app.command(name="config")
def show_config(config: ConfigOption = None, as_json: JsonOption = False) -> None:
    """Print the settings in force, and where each comes from; secrets are masked."""
    from sipcore.app.config import load_settings
    from sipcore.app.terminal import print_table

    settings = load_settings(config_file=config)
    if as_json:
        typer.echo(json.dumps(settings.shown(), indent=2, default=str))
        return
    print_table(("setting", "value", "from"), [(row.name, str(row.value), row.source) for row in settings.rows()])
    for warning in settings.warnings():
        typer.echo(f"warning: {warning}", err=True)


@plugins_app.command("list")
def plugins_list(plugins: PluginsOption = None, as_json: JsonOption = False) -> None:
    """List the installed plugins: kind, version, and whether they load."""
    from sipcore.app.terminal import print_table
    from sipcore.plugins.manager import PluginManager

    manager = PluginManager()
    manager.load(_names(plugins))
    rows = [_plain(info) for info in manager.plugins()]
    if as_json:
        typer.echo(json.dumps(rows, indent=2))
        return
    if not rows:
        typer.echo("No plugin is installed: calls are answered by the core's echo. Try: pip install 'sipcore[demo]'")
        return
    print_table(("name", "kind", "distribution", "version", "status", "problem"), [_cells(row) for row in rows])


@models_app.command("list")
def models_list(as_json: JsonOption = False) -> None:
    """List the models that sipcore knows, and which are on this machine."""
    from sipcore.app.terminal import megabytes, print_table
    from sipcore.plugins import models

    found = models.list_models()
    if as_json:
        typer.echo(json.dumps([_plain(model) for model in found], indent=2))
        return
    print_table(
        ("name", "kind", "languages", "size", "licence", "here"),
        [
            (m.name, m.kind, " ".join(m.languages), megabytes(m.bytes), m.licence, "yes" if m.installed else "")
            for m in found
        ],
    )


@models_app.command("pull")
def models_pull(
    names: Annotated[list[str] | None, typer.Argument(help="Models or groups (demo, test). [default: demo]")] = None,
) -> None:
    """Fetch models, with progress, and check them. What was fetched before is not fetched again."""
    from sipcore.app.terminal import pull_with_bars

    for model in pull_with_bars(names or ["demo"]):
        typer.echo(f"{model.name}: {model.path}")


@models_app.command("where")
def models_where(name: str) -> None:
    """Print the folder of a model."""
    from sipcore.plugins import models

    typer.echo(models.find(name))


@models_app.command("verify")
def models_verify(
    names: Annotated[list[str] | None, typer.Argument(help="Models. [default: all that are here]")] = None,
) -> None:
    """Check the files of models against their checksums."""
    from sipcore.plugins import models

    wanted = names or [model.name for model in models.list_models() if model.installed]
    bad = 0
    for name in wanted:
        problems = models.verify(name)
        bad += bool(problems)
        typer.echo(f"{name}: {'; '.join(problems) or 'good'}")
    raise typer.Exit(1 if bad else 0)


def _names(plugins: str | None) -> list[str] | None:
    return [name.strip() for name in plugins.split(",") if name.strip()] if plugins is not None else None


def _plain(record: Any) -> dict[str, Any]:
    from dataclasses import asdict

    return {name: str(value) if isinstance(value, Path) else value for name, value in asdict(record).items()}


def _cells(row: dict[str, Any]) -> tuple[str, ...]:
    return tuple(str(row[name] or "") for name in ("name", "kind", "distribution", "version", "status", "problem"))
