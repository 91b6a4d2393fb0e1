"""The `pocketllm` command: a table of commands, each imported only when it is called.

A command is a module with a docstring (its help), FLAGS (its own absl.flags.FlagValues) and
run(), which reads FLAGS, prints for people and returns one JSON-ready value for `--json`. A command
that takes arguments names them in ARGUMENTS, and its run() gets their list too. A module with
COMMANDS, a table like the one here, is a group: its commands have names of two words.
"""

import os
import sys
from importlib import import_module
from pathlib import Path

from absl import flags

from .commands.result_path import FOLDERS, check_result_path
from .errors import InputError, RunError, panic_of
from .host import native_output, signals
from .host.files import NO_SPACE, write_json
from .host.partials import sweep_around

DONE, FAILED, BAD_INPUT = 0, 1, 2
INTERRUPTED = 130

# command -> (module, summary); the modules outside the runtime exist on the desktop only
COMMANDS = {
    "quickstart": (
        "pocketllm.benchmarks.quickstart",
        "export, fine-tune and evaluate a small model",
    ),
    "export": ("pocketllm.export.commands.export", "turn a checkpoint into a bundle"),
    "inspect": ("pocketllm.runtime.commands.inspect", "print what a bundle holds"),
    "train": ("pocketllm.runtime.commands.train", "fine-tune a bundle"),
    "encode": ("pocketllm.runtime.commands.encode", "write rows for programs without a tokenizer"),
    "eval": ("pocketllm.runtime.commands.eval", "evaluate a bundle or a run"),
    "generate": ("pocketllm.runtime.commands.generate", "write text with a bundle or a run"),
    "replay": ("pocketllm.export.commands.replay", "write what a run reached, for other programs"),
    "report": ("pocketllm.benchmarks.report.command", "draw runs and put their figures in a table"),
    "reproduce": ("pocketllm.benchmarks.reproduce.command", "repeat the paper's comparison"),
    "bench": ("pocketllm.benchmarks.bench.command", "measure step time and memory"),
    "torture": ("pocketllm.benchmarks.torture", "kill, soak and fuzz runs, for hours"),
    "device": ("pocketllm.android_harness.commands", "do it on a phone, over adb"),
    "federate": ("pocketllm.federated.commands", "train one model on many clients' data"),
}

# flags that name what commands write; where they point, what dead processes left is removed
WRITTEN = (*FOLDERS, "json")

ABOUT = "Fine-tune language models through the signatures of a TensorFlow Lite file."


def main(argv: list[str] | None = None) -> int:
    """Runs one command; returns the exit code: 0 done, 1 failure, 2 bad input."""
    arguments = sys.argv[1:] if argv is None else argv
    _open_streams()
    name, commands, about = "", COMMANDS, ABOUT
    try:
        while True:
            if not arguments or arguments[0] in ("--help", "-h", "help"):
                print(_usage(name, commands, about))
                return DONE if arguments else BAD_INPUT
            if arguments[0] == "--version" and not name:
                print(import_module("pocketllm.runtime.version").describe_version())
                return DONE
            chosen, arguments = arguments[0], arguments[1:]
            name = f"{name} {chosen}".lstrip()
            if chosen not in commands:
                expected = f"expected one of {', '.join(commands)}"
                raise InputError(f"unknown command {chosen!r}, {expected}")
            command = import_module(commands[chosen][0])
            if not hasattr(command, "COMMANDS"):
                return _run(name, command, arguments)
            commands, about = command.COMMANDS, command.__doc__
    except InputError as error:
        return _complain(name, error, BAD_INPUT)
    except RunError as error:
        return _complain(name, error, FAILED)
    except ModuleNotFoundError as error:
        remedy = "this command needs the desktop installation (see what `make install` says)"
        return _complain(name, f"{error}; {remedy}", BAD_INPUT)
    except BrokenPipeError:  # the reader of our output has closed it
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return FAILED
    except OSError as error:
        where = f"{error.filename}: " if error.filename else ""
        remedy = "free some space" if error.errno in NO_SPACE else "check the path"
        return _complain(name, f"{where}{error.strerror or error}; {remedy}", FAILED)
    except MemoryError:
        return _complain(name, "out of memory; free some, or take a smaller model", FAILED)
    except KeyboardInterrupt:
        return _complain(name, "interrupted", INTERRUPTED)
    except BaseException as error:
        if (reason := panic_of(error)) is None:
            raise
        remedy = "its tokenizer.json does not fit; take the checkpoint's own"
        return _complain(name, f"tokenizers: {reason}; {remedy}", BAD_INPUT)


def _open_streams():
    """Lets no line end a command: closed streams are null, signs that they lack are escaped."""
    for number, name in enumerate(("stdin", "stdout", "stderr")):
        stream = getattr(sys, name)
        if stream is None:  # closed by the caller; the lowest free descriptor is its own
            null = os.open(os.devnull, os.O_RDWR)
            setattr(sys, name, os.fdopen(null, "w" if number else "r"))
        elif hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace" if number else "replace")


def _run(name, command, arguments):
    values, accepted = command.FLAGS, getattr(command, "ARGUMENTS", "")
    values.set_gnu_getopt()  # flags may stand behind arguments
    values.unparse_flags()  # a second call in one process starts from the defaults
    for flag in values:
        values[flag].unparse()
    if "json" not in values:
        what = "also write the result to this file, as one JSON object"
        flags.DEFINE_string("json", None, what, flag_values=values)
    if "--help" in arguments or "-h" in arguments:
        usage = f"pocketllm {name} [flags] {accepted}".rstrip()
        print(f"usage: {usage}\n\n{command.__doc__.strip()}\n\nflags:")
        print(_flag_help(values))
        return DONE
    try:
        rest = values([f"pocketllm {name}", *arguments])[1:]
    except flags.Error as error:
        raise InputError(
            f"{' '.join(str(error).split())}; see `pocketllm {name} --help`"
        ) from error
    if rest and not accepted:
        raise InputError(f"unexpected argument {rest[0]!r}; see `pocketllm {name} --help`")
    if values.json:  # refused now, not after the work
        others = {name: getattr(values, name) for name in values if name != "json"}
        check_result_path(Path(values.json), others)
    native_output.divert()
    signals.install()
    for path in [getattr(values, name) for name in WRITTEN if name in values] + rest:
        if path and isinstance(path, str):
            sweep_around(Path(path))
    result = command.run(values, rest) if accepted else command.run(values)
    sys.stdout.flush()
    if values.json:
        write_json(Path(values.json), result)
    return DONE


def _usage(group, commands, about):
    called = f"pocketllm {group}".rstrip()
    lines = [f"  {name:<12}{summary}" for name, (_, summary) in commands.items()]
    return "\n".join(
        [
            f"usage: {called} COMMAND [flags]",
            "",
            about.strip(),
            "",
            *lines,
            "",
            f"`{called} COMMAND --help` lists its flags.",
            *(
                []
                if group
                else ["`pocketllm --version` prints the versions of package, formats, engines."]
            ),
        ]
    )


def _flag_help(values):
    lines = []
    for name in sorted(values):
        flag = values[name]
        shown = flag.default_as_str or "none"
        lines.append(f"  --{name}  {flag.help} (default: {shown})")
    return "\n".join(lines)


def _complain(name, error, code):
    print(f"pocketllm {name}: error: {' '.join(str(error).split())}", file=sys.stderr)
    return code


if __name__ == "__main__":
    sys.exit(main())
