"""`mprun dashboard`: all runs of a home in a browser, live and past.

options ──► ListenAddress, refusals ──► a server that listens ──► its link on stdout ──► served until a signal
"""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

import click

from runner.cli.options import examples
from runner.cli.output import print_message, write
from runner.errors import ExitCode, MprunError, UsageError
from runner.store.run_folder import home as home_of

EXAMPLES = examples(
    "mprun dashboard                      print a link to open in a browser",
    "mprun dashboard --port 8765          on the same port each time",
    "mprun dashboard --read-only          shows runs, changes none",
    "ssh -L 8765:localhost:8765 HOST mprun dashboard --port 8765",
    "                                     that of another machine, here",
    "mprun dashboard --uds /run/user/1000/mprun.sock",
)
_NEEDS = ("starlette", "uvicorn")


@click.command(epilog=EXAMPLES)
@click.option(
    "--port", type=click.IntRange(0, 65535), default=0, show_default=True, help="0 is any that is free."
)
@click.option("--host", default="127.0.0.1", show_default=True, metavar="HOST", help="What to listen on.")
@click.option(
    "--uds",
    type=click.Path(path_type=Path),
    metavar="PATH",
    help="Listen on a socket in the file system instead, which nobody else may open.",
)
@click.option(
    "--read-only/--read-write",
    "read_only",
    default=None,
    help="Whether its pages may stop and scale runs and put back letters: they may, but with --allow-remote.",
)
@click.option(
    "--allow-remote",
    is_flag=True,
    help="Let HOST be one that other machines reach. What is sent is not encrypted: whoever reads along gets in.",
)
@click.option(
    "--metrics-open",
    is_flag=True,
    help="Let whoever reaches it read /metrics; else that needs the token in the link on stderr, or to be signed in.",
)
@click.option(
    "--home",
    type=click.Path(path_type=Path, file_okay=False),
    metavar="DIR",
    help="The folder of the runs, instead of `.mprun` here or $MPRUN_HOME.",
)
def command(
    port: int,
    host: str,
    uds: Path | None,
    read_only: bool | None,
    allow_remote: bool,
    metrics_open: bool,
    home: Path | None,
) -> int:
    """Show the runs that were started in this folder in a browser, live and past, until Ctrl-C.

    The link that it prints signs a browser in, once: it goes on to work when the dashboard is started again. Whoever
    has it may do with these runs what the pages can do. A run knows nothing of a dashboard, which may be started and
    ended at any time.

    Needs an extra: pip install 'mprun[web]'.
    """
    if any(find_spec(name) is None for name in _NEEDS):
        raise UsageError("the dashboard needs an extra: pip install 'mprun[web]'")
    from runner.web.server import ListenAddress, open_dashboard, serve_dashboard

    address = ListenAddress(host, port, uds)
    if address.is_remote and not allow_remote:
        raise UsageError(
            f"--host {host}: other machines could reach it, and what is sent is not encrypted; "
            "`ssh -L` brings a port of 127.0.0.1 to another machine, or say --allow-remote"
        )
    place = home_of() if home is None else home.absolute()
    is_read_only = address.is_remote if read_only is None else read_only
    try:
        serving = open_dashboard(place, address, read_only=is_read_only, metrics_open=metrics_open)
    except OSError as error:
        raise MprunError(f"'{place}' can't be written: {error.strerror or error}") from error
    if address.is_remote:
        what = "read" if is_read_only else "read and change"
        print_message(f"mprun: whoever has the link, or reads along on the network, can {what} these runs")
    if find_spec("prometheus_client") is not None:
        print_message(f"metrics of these runs, for Prometheus: {serving.metrics_link}")
    number = serve_dashboard(place, serving, lambda link: write(f"{link}\n"))
    return ExitCode.SIGNAL + number if number else ExitCode.DONE
