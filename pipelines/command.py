"""What every command shares: parsing, exit codes, and errors as sentences."""

import sys
from collections.abc import Callable, Sequence
from typing import NoReturn, TypeVar

import tyro
from rich.console import Console
from rich.markup import escape

from data.validation import Fault, InputError
from pipelines.processes import is_first, joined, num_processes

Arguments = TypeVar("Arguments")

DONE, FAILED, BAD_INPUT, TRY_AGAIN, INTERRUPTED = 0, 1, 2, 75, 130


class NotNowError(Exception):
    """The input is right, but the work cannot be done now and may be repeated later.

    Someone else is at it, a store does not answer, the disk is full.
    """


def run_command(
    arguments: type[Arguments],
    run: Callable[[Arguments, Console], None],
    description: str | None,
    command_line: Sequence[str] | None = None,
    several_processes: bool = False,
) -> NoReturn:
    """Parse the command line, run the command, exit with the code the ecosystem expects.

    Where torchrun started several processes, the first speaks for all.

    Exit codes: 0 done, 1 failed (with a traceback), 2 wrong usage or bad input, 75 not possible now
    (`EX_TEMPFAIL` of sysexits.h, which schedulers know), 130 interrupted.

    Args:
        arguments: Dataclass of the command's options, documented per field.
        run: The command; prints its result to the console.
        description: What `--help` says first.
        command_line: Words after the command's name; None: those of this process.
        several_processes: Whether the command knows what to do in several processes.
    """
    config = (tyro.conf.OmitArgPrefixes,)
    name = arguments.__module__ if arguments.__module__ != "__main__" else _module_run()
    errors = Console(stderr=True, quiet=not is_first())
    try:
        with joined():
            parsed = tyro.cli(
                arguments,
                prog=f"python -m {name}",
                args=command_line,
                description=description,
                config=config,
                console_outputs=is_first(),
            )
            if num_processes() > 1 and not several_processes:
                message = "the command works in one process"
                raise InputError([Fault("torchrun", message, f"Start it with python -m {name}")])
            run(parsed, Console(quiet=not is_first()))
    except InputError as error:
        errors.print(f"[red]error:[/] {escape(str(error))}", soft_wrap=True)
        sys.exit(BAD_INPUT)
    except NotNowError as reason:
        errors.print(f"[yellow]not now:[/] {escape(str(reason))}", soft_wrap=True)
        sys.exit(TRY_AGAIN)
    except KeyboardInterrupt:
        errors.print("interrupted")
        sys.exit(INTERRUPTED)
    sys.exit(DONE)


def _module_run() -> str:
    """Dotted name of the module that `python -m` runs."""
    specification = getattr(sys.modules["__main__"], "__spec__", None)
    return specification.name if specification is not None else sys.argv[0]
