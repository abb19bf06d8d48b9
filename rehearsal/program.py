"""Runs the unchanged ``__main__.py`` as Pulumi's language host would: one event loop, exceptions on the surface."""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import importlib
import logging
import os
import runpy
import sys
import threading
import traceback
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pulumi
from pulumi.runtime import mocks, set_all_config

from rehearsal.checks import Finding
from rehearsal.config import StackConfig
from rehearsal.errors import RehearsalError
from rehearsal.monitor import RecordingMonitor

_settings: Any = importlib.import_module("pulumi.runtime.settings")
_stack: Any = importlib.import_module("pulumi.runtime.stack")
_PARALLEL = 32


@dataclass(slots=True)
class _Log(logging.Handler):
    """Keeps what the program logs through ``pulumi.log``, in place of printing it at any time."""

    lines: list[str] = field(default_factory=list[str])

    def __post_init__(self) -> None:
        logging.Handler.__init__(self, logging.INFO)

    def emit(self, record: logging.LogRecord) -> None:
        self.lines.append(record.getMessage())

    def __hash__(self) -> int:
        return id(self)


def run_program(config: StackConfig, monitor: RecordingMonitor, *, preview: bool) -> list[str]:
    """Run the program to its end, all registrations included; returns what it logged.

    Raises RehearsalError with the program's own message. The SDK keeps its state in context variables: each run gets a
    fresh context, so that a preview and an apply can follow one another in one process.
    """
    log = _Log()
    logger = logging.Logger("rehearsal")
    logger.addHandler(log)
    try:
        contextvars.Context().run(_run, config, monitor, logger, preview)
    except pulumi.RunError as error:
        raise RehearsalError(str(error), _problems(error)) from error
    except RehearsalError:
        raise
    except SystemExit as error:
        if error.code not in (None, 0):
            message = f"the program ended itself with exit code {error.code}"
            raise RehearsalError(message, [Finding("__main__.py", message)]) from error
    except Exception as error:
        if os.environ.get("QUAYSIDE_DEBUG"):
            traceback.print_exc()
        message, fix = _describe(error, config.root)
        raise RehearsalError(f"{message}\n    {fix}", [Finding("__main__.py", message, fix)]) from error
    return log.lines


def _run(config: StackConfig, monitor: RecordingMonitor, logger: logging.Logger, preview: bool) -> None:
    pending, guard = set[Any](), threading.Lock()
    _settings.configure(
        mocks.MockSettings(
            monitor=monitor,
            monitor_features=set[int](),
            engine=mocks.MockEngine(logger),
            project=config.project,
            stack=config.stack,
            root_directory=str(config.root),
            organization="organization",
            dry_run=preview,
            legacy_apply_enabled=False,
            callbacks=None,
            outputs=pending,
            lock=guard,
            package_refs=dict[str, Any](),
            base_providers_by_ref=dict[str, Any](),
        )
    )
    set_all_config(dict(config.values), list(config.secret_keys))
    with contextlib.chdir(config.root), _import_root(config.root):
        asyncio.run(_host(config.root / "__main__.py", pending, guard))


async def _host(program: Path, pending: set[Any], guard: threading.Lock) -> None:
    loop = asyncio.get_running_loop()
    # Every registration blocks a thread for as long as it takes, and the default pool holds six on two cores.
    loop.set_default_executor(ThreadPoolExecutor(_PARALLEL, thread_name_prefix="resource"))
    loop.set_exception_handler(lambda _loop, _context: None)  # the first failure is raised; its echoes are noise

    async def start() -> None:
        runpy.run_path(str(program), run_name="__main__")
        await _settle(pending, guard)

    await _stack.run_in_stack(start)


async def _settle(pending: set[Any], guard: threading.Lock) -> None:
    """Wait for the program's outputs before the SDK does, which looks at all of them again for each that is done.

    That is the square of their number: minutes for some thousand resources. A failure is left to the SDK to raise.
    """
    while True:
        with guard:
            waiting = [task for task in pending if not task.done()]
        if not waiting:
            return
        done, _ = await asyncio.wait(waiting, return_when=asyncio.FIRST_EXCEPTION)
        if any(task.cancelled() or task.exception() is not None for task in done):
            return


@contextlib.contextmanager
def _import_root(root: Path) -> Any:
    """The project's folder on sys.path, as when Python starts the program itself, but behind our own packages.

    `import platforms` is the one that decides there which folder is meant, and ours corrects the rest.
    """
    house = Path(__file__).parents[1]
    if root != house:
        for own in (root / "platforms", root / "platforms.py"):
            if own.exists():
                message = f"{own.name} is what quayside calls its own: `pulumi up` would import this one, which is none"
                fix = "give it another name"
                raise RehearsalError(f"{own}: {message}\n    {fix}", [Finding(own.name, message, fix)])
    sys.path.insert(int(sys.path[:1] == [str(house)]), str(root))
    try:
        yield
    finally:
        with contextlib.suppress(ValueError):
            sys.path.remove(str(root))


def _problems(error: BaseException) -> list[Finding]:
    """The problems of the ConfigError that a RunError was made of, word for word.

    By what it has and not by its class: the program may be another revision's, with settings of its own.
    """
    cause: BaseException | None = error
    seen: set[int] = set()
    while cause is not None and id(cause) not in seen:  # what several outputs raised is its own context
        seen.add(id(cause))
        found: Any = getattr(cause, "problems", None)
        if found:
            return [Finding(str(each.path), str(each.message), str(each.fix)) for each in found]
        cause = cause.__cause__ or cause.__context__
    return [Finding("__main__.py", str(error))]


def _describe(error: BaseException, root: Path) -> tuple[str, str]:
    """One line for an exception nobody meant: what, and where in the project's own code; and how to see more."""
    frames = traceback.extract_tb(error.__traceback__)
    ours = [f for f in frames if f.filename.startswith(str(root)) and "site-packages" not in f.filename]
    where = ""
    if ours:
        where = f" (in {Path(ours[-1].filename).relative_to(root)}, line {ours[-1].lineno})"
    return f"the program failed: {type(error).__name__}: {error}{where}", "QUAYSIDE_DEBUG=1 shows the whole traceback"
