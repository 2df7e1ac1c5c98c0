"""`mooring serve`: a fine-tuning server on this machine."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import click

from attacks.base import UserError

_NEEDED = ("fastapi", "python_multipart", "sqlmodel", "uvicorn")


@click.command(
    epilog="\b\nExamples:\n"
    "  mooring serve\n"
    "  mooring serve --defense moderate+mix+audit\n"
    "  mooring serve --target organism:3 --port 9000 --folder /tmp/mine\n"
    "  MOORING_SERVE_TOKEN=... mooring serve --host 0.0.0.0"
)
@click.option("--target", default="organism", show_default=True, help="What is tuned and asked.")
@click.option("--defense", default="none", show_default=True, help="What every job goes through.")
@click.option("--host", default="127.0.0.1", show_default=True, help="Where to listen.")
@click.option("--port", type=click.IntRange(0, 65535), default=8471, show_default=True)
@click.option(
    "--folder",
    type=click.Path(path_type=Path, file_okay=False),
    help="Where everything is kept.  [default: MOORING_SERVE_FOLDER, or the user's data folder]",
)
def serve(target: str, defense: str, host: str, port: int, folder: Path | None) -> None:
    """Tune and serve a model in OpenAI's wire format, for any of its clients.

    Two lines are printed to paste into another terminal. The API key is MOORING_SERVE_TOKEN where
    that is set, and made up where it is not.
    """
    missing = [name for name in _NEEDED if importlib.util.find_spec(name) is None]
    if missing:
        raise UserError(
            f"serving needs {', '.join(missing)}: pip install 'mooring[provider]' "
            "(in a source tree: pip install -e '.[provider]')"
        )
    from provider.running import serve

    serve(target, defense, host, port, folder, click.echo)
