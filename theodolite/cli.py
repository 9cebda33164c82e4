"""The command line: finds the verb and turns its end into an exit code; all else is in `commands`, imported lazily.

Exit codes: 0 done, 1 a check failed (or a run did), 2 bad usage, 130 interrupted with everything saved.
"""

import os
import sys
from importlib import import_module

VERBS = {
    "list": "every item of the newsletter with its verdicts",
    "show": "what an item is and claims, and how to run it",
    "run": "rerun an item's claims: arms, intervals, verdict, figure, report",
    "train": "train a method on an environment; the same command continues a run",
    "evaluate": "play a trained policy and score it on the environment's own reward",
    "diagnose": "train a learner of Q, look inside, and say what limits it",
    "ask": "why an agent does this and not that, in terms of what would follow",
    "remember": "what character models look at when they guess words in a text of yours, on a page",
    "visualize": "what a channel, a layer or a class of an image network wants to see",
    "style": "the forms of one photograph with the textures of another",
    "demos": "record, inspect and convert demonstrations",
    "edition": "the newsletter itself: build its site, search it, export it, begin the next",
    "verify": "recompute every published verdict from its scores",
}


def usage() -> str:
    """The text of --help."""
    verbs = "\n".join(f"  {verb:<10} {about}" for verb, about in VERBS.items())
    return (
        "usage: theodolite VERB ...\n\nThe alignment literature, runnable.\n\n"
        f"{verbs}\n\n  theodolite run gail                rerun a paper's claims\n"
        "  theodolite train ppo --env CartPole-v1\n\ntheodolite VERB --help explains a verb."
    )


def main(argv: list[str] | None = None) -> int:
    """Do what the command line says and return the exit code."""
    from theodolite.core.errors import NotFinite, UserError

    try:
        code = answer(sys.argv[1:] if argv is None else argv)
        sys.stdout.flush()  # so that a reader who has left is noticed here
        return code
    except UserError as error:
        print(f"theodolite: {error}", file=sys.stderr)
        return 2
    except NotFinite as error:
        print(f"theodolite: {error}", file=sys.stderr)
        return 1
    except BrokenPipeError:  # the reader of a pipe, such as head, has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except KeyboardInterrupt as stop:
        print(f"theodolite: interrupted; {str(stop) or 'what was finished is saved.'}", file=sys.stderr)
        return 130


def answer(argv: list[str]) -> int:
    """Do what the words say, whatever may go wrong."""
    from theodolite.core.errors import unknown

    if not argv or argv[0] in ("-h", "--help"):
        print(usage())
        return 0 if argv else 2
    if argv[0] == "--version":
        print(import_module("theodolite").__version__)
        return 0
    if argv[0] not in VERBS:
        raise unknown("verb", argv[0], VERBS, f"The verbs are {', '.join(VERBS)}.")
    if argv[0] in ("verify", "edition"):  # judge folders in threads, under which those of OpenBLAS would only wait
        os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    return import_module(f"theodolite.commands.{argv[0]}").main(argv[1:])


def script() -> None:
    """The `theodolite` command."""
    sys.exit(main())


if __name__ == "__main__":
    script()
