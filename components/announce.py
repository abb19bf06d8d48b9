"""What a person has to do elsewhere: logged as soon as it is known, and returned for the stack's outputs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import pulumi


def announce(
    resource: pulumi.Resource, why: str, name: pulumi.Input[str], type_: pulumi.Input[str], value: pulumi.Input[str]
) -> pulumi.Output[Mapping[str, str]]:
    """A DNS record for a person to make: logged by an update as soon as it is known, and returned."""

    def tell(known: Sequence[str]) -> Mapping[str, str]:
        if not pulumi.runtime.is_dry_run():
            pulumi.log.info(f"DNS, {why}: {known[0]} {known[1]} {known[2]}", resource)
        return {"name": known[0], "type": known[1], "value": known[2]}

    parts: pulumi.Output[list[str]] = pulumi.Output.all(name, type_, value)  # pyright: ignore[reportAssignmentType]
    return parts.apply(tell)
