"""The resource monitor that the program talks to in place of Pulumi's engine."""

from __future__ import annotations

import importlib
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from pulumi.runtime import mocks

from rehearsal.record import ROOT_TYPE, Registration, make_urn, registration
from rehearsal.values import Properties, decode_struct, encode_struct

_proto: Any = importlib.import_module("pulumi.runtime.proto.resource_pb2")
_empty: Any = importlib.import_module("google.protobuf.empty_pb2")


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of a registration; `failed` leaves its outputs unknown, and the program goes on as under Pulumi."""

    id: str
    outputs: Mapping[str, Any]
    failed: bool = False


Handler = Callable[[Registration], Outcome]


Caller = Callable[[str, Mapping[str, Any], str], Mapping[str, Any] | None]
"""A data source's token, arguments and provider to its result; None where nobody taught it."""


class _NoMocks(mocks.Mocks):
    """The monitor below answers every request itself. A data source that nobody taught gets its arguments back."""

    def __init__(self, call: Caller | None) -> None:
        self._call = call

    def call(self, args: Any) -> Any:
        given: dict[str, Any] = dict(args.args)
        known = self._call(str(args.token), given, str(args.provider)) if self._call else None
        return given if known is None else dict(known)

    def new_resource(self, args: Any) -> tuple[str | None, dict[str, Any]]:
        return f"{args.name}-id", dict(args.inputs)


class RecordingMonitor(mocks.MockMonitor):
    """Records every registration and lets `handle` decide what the resource's outputs are."""

    def __init__(self, project: str, stack: str, handle: Handler, call: Caller | None = None) -> None:
        super().__init__(_NoMocks(call))
        self.project = project
        self.stack = stack
        self.recorded: list[Registration] = []
        self.duplicates: list[str] = []
        self.outputs: Properties = {}
        self._handle = handle
        self._seen: set[str] = set()
        self._guard = threading.Lock()
        self.root_urn = make_urn(stack, project, "", ROOT_TYPE, f"{project}-{stack}")

    def make_urn(self, parent: str, type_: str, name: str) -> str:
        return make_urn(self.stack, self.project, parent, type_, name)

    def RegisterResource(self, request: Any) -> Any:  # noqa: N802 (the protocol's name)
        if request.type == ROOT_TYPE:
            return _proto.RegisterResourceResponse(urn=self.root_urn)
        found = registration(request, self.stack, self.project)
        with self._guard:
            if found.urn in self._seen:
                self.duplicates.append(found.urn)
                return _failed(found.urn)
            self._seen.add(found.urn)
            self.recorded.append(found)
        outcome = self._handle(found)
        if outcome.failed:
            return _failed(found.urn)
        return _proto.RegisterResourceResponse(urn=found.urn, id=outcome.id, object=encode_struct(outcome.outputs))

    def ReadResource(self, request: Any) -> Any:  # noqa: N802
        urn = self.make_urn(str(request.parent), str(request.type), str(request.name))
        return _proto.ReadResourceResponse(urn=urn, properties=request.properties)

    def RegisterResourceOutputs(self, request: Any) -> Any:  # noqa: N802
        if request.urn == self.root_urn:
            self.outputs = decode_struct(request.outputs)
        return _empty.Empty()


def _failed(urn: str) -> Any:
    return _proto.RegisterResourceResponse(urn=urn, result=_proto.Result.FAIL)
