"""One line a step, the same whoever carries the plan out."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from rehearsal.events import Event, short_type

SIGNS = {"create": "+", "update": "~", "replace": "±", "delete": "-", "run": "~", "failed": "✗"}
WORDS = {"Container": "container", "Network": "network", "Volume": "volume", "RemoteImage": "image", "Command": ""}
DONE = {"create": "created", "update": "changed", "run": "run", "replace": "replaced", "delete": "removed"}


def line(event: Event) -> str | None:
    """What to print for an event; None for what needs no line."""
    if event.kind == "same":
        return None
    if event.kind == "note":
        return f"    {event.detail}" if event.detail else None
    word = WORDS.get(short_type(event.type), short_type(event.type))
    subject = f"{word} {event.name}".strip()
    detail = f" ({event.detail.splitlines()[0]})" if event.detail and event.kind != "failed" else ""
    seconds = f"  {event.seconds:.1f} s" if event.seconds >= 0.05 else ""
    return f"  {SIGNS[event.kind]} {subject}{detail}{seconds}"


def printer(say: Callable[[str], None]) -> Callable[[Event], None]:
    """A progress callback that prints. What a failing step said is not printed here: the closing message has it."""
    held: dict[tuple[str, str], list[str]] = {}

    def progress(event: Event) -> None:
        text = line(event)
        if text is None:
            return
        step = (event.type, event.name)
        if event.kind == "note" and short_type(event.type) == "Command":
            held.setdefault(step, []).append(text)
            return
        said = held.pop(step, [])
        for each in said if event.kind != "failed" else ():
            say(each)
        say(text)

    return progress


def summary(by: str, changes: Mapping[str, int], seconds: float) -> str:
    """The closing line: who did it, how long it took, and what changed."""
    counts = [f"{changes[kind]} {word}" for kind, word in DONE.items() if changes.get(kind)]
    if not counts:
        return f"No changes. Checked by {by} in {seconds:.1f} s."
    return f"Applied by {by} in {seconds:.1f} s: {', '.join(counts)}."
