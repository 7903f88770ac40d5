"""Errors, interruptions and warnings as a person at a terminal wants them."""

from __future__ import annotations

import signal
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, TextIO

import click

from xeo.errors import XeoError, XeoWarning

_TRACEBACK = "xeo.traceback"


class Commands(click.Group):
    """A group whose commands fail in one line, with the documented exit codes."""

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command."""
        try:
            with _plain_warnings():
                return super().invoke(ctx)
        except XeoError as err:
            if ctx.meta.get(_TRACEBACK):
                raise
            _say(_one_line(err))
            ctx.exit(1)
        except KeyboardInterrupt as err:
            _say(_one_line(err) if str(err) else "interrupted")
            ctx.exit(128 + getattr(err, "signum", signal.SIGINT))


def traceback_option(command: Any) -> Any:
    """Add ``--traceback``, which `Commands` asks for."""

    def note(ctx: click.Context, _: click.Parameter, value: bool) -> None:
        ctx.meta[_TRACEBACK] = value

    return click.option(
        "--traceback",
        is_flag=True,
        envvar="XEO_TRACEBACK",
        expose_value=False,
        callback=note,
        help="Show where in the code an error arose.  [env: XEO_TRACEBACK]",
    )(command)


def _say(text: str) -> None:
    click.echo(f"xeo: {text}", err=True)


def _one_line(err: BaseException) -> str:
    """Return the message and the notes of an error, without line breaks."""
    parts = [str(err), *getattr(err, "__notes__", ())]
    return ". ".join(" ".join(part.split()).rstrip(".") for part in parts)


@contextmanager
def _plain_warnings() -> Iterator[None]:
    with warnings.catch_warnings():
        usual = warnings.showwarning

        def show(
            message: Warning | str,
            category: type[Warning],
            filename: str,
            lineno: int,
            file: TextIO | None = None,
            line: str | None = None,
        ) -> None:
            if issubclass(category, XeoWarning):
                _say(f"warning: {message}")
            else:
                usual(message, category, filename, lineno, file, line)

        warnings.showwarning = show
        warnings.simplefilter("default", XeoWarning)
        yield
