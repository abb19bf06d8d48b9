"""One resource registration, exactly as the program asked for it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from rehearsal.values import Properties, decode_struct, shown

ROOT_TYPE = "pulumi:pulumi:Stack"


@dataclass(frozen=True, slots=True)
class Registration:
    """What the engine is told about a resource. `inputs` are in the provider's own camelCase."""

    urn: str
    type: str
    name: str
    parent: str
    custom: bool
    inputs: Properties = field(repr=False)
    dependencies: tuple[str, ...] = ()
    property_dependencies: Mapping[str, tuple[str, ...]] = field(default_factory=dict[str, tuple[str, ...]])
    provider: str = ""
    protect: bool = False
    ignore_changes: tuple[str, ...] = ()
    replace_on_changes: tuple[str, ...] = ()
    delete_before_replace: bool | None = None
    aliases: tuple[str, ...] = ()
    deleted_with: str = ""
    retain_on_delete: bool = False
    additional_secret_outputs: tuple[str, ...] = ()
    import_id: str = ""
    version: str = ""

    @property
    def needs(self) -> tuple[str, ...]:
        """Every resource that must exist while this one does."""
        through = (urn for urns in self.property_dependencies.values() for urn in urns)
        provider = self.provider.rsplit("::", 1)[0] if self.provider else ""
        found = dict.fromkeys([*self.dependencies, *through, provider, self.parent, self.deleted_with])
        return tuple(urn for urn in found if urn and urn != self.urn)

    def to_json(self) -> dict[str, Any]:
        """The registration as programs read it; no secret in plain."""
        return {
            "type": self.type,
            "name": self.name,
            "parent": self.parent,
            "urn": self.urn,
            "custom": self.custom,
            "inputs": shown(self.inputs),
            "dependencies": list(self.dependencies),
            "propertyDependencies": {key: list(urns) for key, urns in self.property_dependencies.items()},
            "provider": self.provider,
            "protect": self.protect,
            "ignoreChanges": list(self.ignore_changes),
            "deleteBeforeReplace": bool(self.delete_before_replace),
            "deleteBeforeReplaceDefined": self.delete_before_replace is not None,
            "aliases": list(self.aliases),
            "deletedWith": self.deleted_with,
            "retainOnDelete": self.retain_on_delete,
            "replaceOnChanges": list(self.replace_on_changes),
        }


def make_urn(stack: str, project: str, parent: str, type_: str, name: str) -> str:
    """The URN the engine would give: with the types of all parents, except the stack itself."""
    above = parent.split("::")[2] if parent else ""
    chain = f"{above}${type_}" if above and above != ROOT_TYPE else type_
    return f"urn:pulumi:{stack}::{project}::{chain}::{name}"


def registration(request: Any, stack: str, project: str) -> Registration:
    """Read a ``RegisterResourceRequest``."""
    parent = str(request.parent)
    type_, name = str(request.type), str(request.name)
    return Registration(
        urn=make_urn(stack, project, parent, type_, name),
        type=type_,
        name=name,
        parent=parent,
        custom=bool(request.custom),
        inputs=decode_struct(request.object),
        dependencies=tuple(sorted({str(urn) for urn in request.dependencies})),
        property_dependencies={
            str(key): tuple(sorted(str(urn) for urn in found.urns))
            for key, found in sorted(request.propertyDependencies.items())
            if found.urns
        },
        provider=str(request.provider),
        protect=bool(request.protect),
        ignore_changes=tuple(str(path) for path in request.ignoreChanges),
        replace_on_changes=tuple(str(path) for path in request.replaceOnChanges),
        delete_before_replace=bool(request.deleteBeforeReplace) if request.deleteBeforeReplaceDefined else None,
        aliases=_aliases(request, stack, project),
        deleted_with=str(request.deletedWith),
        retain_on_delete=bool(request.retainOnDelete),
        additional_secret_outputs=tuple(str(key) for key in request.additionalSecretOutputs),
        import_id=str(request.importId),
        version=str(request.version),
    )


def _aliases(request: Any, stack: str, project: str) -> tuple[str, ...]:
    found = [str(urn) for urn in request.aliasURNs]
    for alias in request.aliases:
        if alias.urn:
            found.append(str(alias.urn))
            continue
        spec = alias.spec
        parent = "" if spec.noParent else str(spec.parentUrn or request.parent)
        found.append(
            make_urn(
                str(spec.stack or stack),
                str(spec.project or project),
                parent,
                str(spec.type or request.type),
                str(spec.name or request.name),
            )
        )
    return tuple(dict.fromkeys(found))
