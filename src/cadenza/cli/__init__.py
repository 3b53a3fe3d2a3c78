"""The command line: one small file per command."""

import os
import sys
from collections.abc import Sequence

INTERRUPTED = 130  # what shells call a program that Ctrl-C ended


def main(arguments: Sequence[str] | None = None) -> None:
    """Run `cadenza` and exit: 0 done, 2 the user can put it right, 1 failure, 130 interrupted.

    Whatever goes wrong is one line on stderr; CADENZA_DEBUG=1 shows the traceback instead.
    """
    code = run(sys.argv[1:] if arguments is None else list(arguments))
    distributed = sys.modules.get("torch.distributed")
    if distributed is not None and distributed.is_available() and distributed.is_initialized():
        # Failed beside other processes, to which PyTorch's threads still cling: they would abort an orderly exit (134).
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)
    sys.exit(code)


def run(arguments: list[str]) -> int:
    """Run one command and return its exit code."""
    from cadenza.cli.app import app
    from cadenza.errors import CadenzaError, UserError

    debug = os.environ.get("CADENZA_DEBUG") == "1"
    try:
        result = app(arguments, prog_name="cadenza", standalone_mode=False)
        return result if isinstance(result, int) else 0
    except KeyboardInterrupt:
        return _say("interrupted", INTERRUPTED)
    except BrokenPipeError:  # `cadenza info | head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except Exception as error:
        if debug:
            raise
        if hasattr(error, "format_message"):  # typer: a word it does not know, or no word at all
            message = str(error.format_message())
            if message.startswith("Usage:"):
                print(message, file=sys.stderr)
                return 2
            return _say(f"{message} (see cadenza --help)", 2)
        if isinstance(error, UserError):
            return _say(str(error), 2)
        if isinstance(error, CadenzaError):
            return _say(str(error), 1)
        if type(error).__name__ in ("OutOfMemoryError", "MemoryError"):
            return _say("out of memory: use a smaller model, --precision bf16, or a shorter --duration", 1)
        detail = (str(error).splitlines() or [""])[0]
        return _say(f"{type(error).__name__}: {detail} (a fault of Cadenza; CADENZA_DEBUG=1 shows where)", 1)


def _say(message: str, code: int) -> int:
    print(f"cadenza: {message}", file=sys.stderr)
    return code
