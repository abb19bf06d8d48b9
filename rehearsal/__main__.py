"""``python -m rehearsal STACK``: what the stack would be, and with ``--apply``, the stack itself."""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from rich.console import Console
from rich.text import Text

from rehearsal.compare import Difference, against
from rehearsal.errors import RehearsalError
from rehearsal.events import Event, short_type
from rehearsal.markdown import markdown
from rehearsal.preview import Report, rehearse, stopped
from rehearsal.report import UNLIMITED, print_difference, print_report


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m rehearsal", description=__doc__)
    parser.add_argument("stack", metavar="STACK", help="the stack of Pulumi.STACK.yaml")
    shape = parser.add_mutually_exclusive_group()
    shape.add_argument("--json", action="store_true", help="print the report for programs")
    shape.add_argument("--markdown", action="store_true", help="print the report for a pull request")
    shape.add_argument("--apply", action="store_true", help="carry the plan out on a real Docker engine")
    parser.add_argument("--against", metavar="REF", help="print the difference to another git revision as well")
    options = parser.parse_args(arguments)
    errors = Console(stderr=True, highlight=False)
    difference: Difference | None = None
    try:
        if options.apply:
            return _apply(options.stack)
        report = rehearse(options.stack, Path.cwd())
        if options.against:
            try:
                difference = against(report, Path.cwd(), options.against)
            except RehearsalError as error:
                if not (options.json or options.markdown):
                    raise
                report = replace(report, problems=(*report.problems, *error.problems))
    except RehearsalError as error:
        if not (options.json or options.markdown):
            errors.print(Text(str(error)), soft_wrap=True)
            return 1
        report = stopped(options.stack, Path.cwd(), error)
    except KeyboardInterrupt:
        errors.print("interrupted")
        return 130
    _show(report, difference, options)
    return 1 if report.problems else 0


def _show(report: Report, difference: Difference | None, options: argparse.Namespace) -> None:
    if options.json:
        document = report.to_json()
        if difference is not None:
            document["against"] = {"ref": options.against, **difference.to_json()}
        sys.stdout.write(json.dumps(document, indent=2, ensure_ascii=False) + "\n")
    elif options.markdown:
        sys.stdout.write(markdown(report, difference, options.against or ""))
    else:
        # Whoever reads a pipe has no edge to wrap or cut at.
        console = Console(highlight=False, width=None if sys.stdout.isatty() else UNLIMITED)
        print_report(report, console)
        if difference is not None:
            print_difference(difference, options.against, console)


def _apply(stack: str) -> int:
    from rehearsal.engine import apply

    console = Console(highlight=False)
    started = time.monotonic()

    def line(event: Event) -> None:
        if event.kind == "same":
            return
        seconds = f" ({event.seconds:.1f} s)" if event.seconds >= 0.05 else ""
        detail = f": {event.detail}" if event.detail else ""
        style = {"failed": "red", "note": "dim"}.get(event.kind, "")
        text = f"{event.kind:8} {short_type(event.type):12} {event.name}{detail}{seconds}"
        console.print(Text(text, style=style), soft_wrap=True)

    done = apply(stack, Path.cwd(), progress=line)
    counts = ", ".join(f"{number} {kind}" for kind, number in sorted(done.changes.items())) or "nothing to do"
    console.print(f"{counts} in {time.monotonic() - started:.1f} s")
    return 0


if __name__ == "__main__":
    sys.exit(main())
