"""What every command shares: parsing, exit codes, and errors as sentences."""

import sys
from collections.abc import Callable
from typing import TypeVar

import tyro
from rich.console import Console
from rich.markup import escape

from data.validation import InputError

Arguments = TypeVar("Arguments")

DONE, FAILED, BAD_INPUT, INTERRUPTED = 0, 1, 2, 130


def run_command(
    arguments: type[Arguments], run: Callable[[Arguments, Console], None], description: str
) -> None:
    """Parse the command line, run the command, exit with the code the ecosystem expects.

    Exit codes: 0 done, 1 failed (with a traceback), 2 wrong usage or bad input, 130 interrupted.

    Args:
        arguments: Dataclass of the command's options, documented per field.
        run: The command; prints its result to the console.
        description: What `--help` says first.
    """
    parsed = tyro.cli(arguments, description=description, config=(tyro.conf.OmitArgPrefixes,))
    try:
        run(parsed, Console())
    except InputError as error:
        Console(stderr=True).print(f"[red]error:[/] {escape(str(error))}", soft_wrap=True)
        sys.exit(BAD_INPUT)
    except KeyboardInterrupt:
        Console(stderr=True).print("interrupted")
        sys.exit(INTERRUPTED)
    sys.exit(DONE)
