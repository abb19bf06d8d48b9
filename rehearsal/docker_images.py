"""Docker images by name, with the semantics of pulumi-docker's ``RemoteImage``."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from rehearsal.docker_hosts import DockerRefusalError, Hosts, asked, is_conflict, is_missing
from rehearsal.providers import Diff, Made, Step, StepError, changed_keys
from rehearsal.state import Entry
from rehearsal.values import Properties, items_of, revealed

IMAGE: Final = "docker:index/remoteImage:RemoteImage"


class ImageProvider:
    """An image by name: the one that is there, else pulled."""

    _IN_PLACE = frozenset({"keepLocally", "forceRemove"})

    def __init__(self, hosts: Hosts) -> None:
        self._hosts = hosts

    def unsupported(self, inputs: Properties) -> list[str]:
        return sorted(inputs.keys() - {"name", "keepLocally", "forceRemove", "pullTriggers", "triggers", "platform"})

    def diff(self, old: Properties, new: Properties) -> Diff:
        changed = changed_keys(old, new, frozenset({"pullTriggers"}))
        return Diff(changed, tuple(key for key in changed if key not in self._IN_PLACE))

    def create(self, step: Step) -> Made:
        name = str(step.inputs["name"])
        found = brought(self._hosts, step, name, step.inputs.get("platform"))
        return Made(f"{found['Id']}{name}", _image_outputs(step.inputs, found))

    def update(self, step: Step, old: Entry) -> Made:
        return Made(old.id, {**old.outputs, **step.inputs})

    def delete(self, step: Step, old: Entry) -> None:
        inputs = revealed(old.inputs)
        if inputs.get("keepLocally"):
            return
        client = self._hosts.client(old.host)
        try:
            asked("remove", lambda: client.remove_image(inputs["name"], force=bool(inputs.get("forceRemove"))))
        except DockerRefusalError as error:
            if is_conflict(error):
                step.note(f"image {inputs['name']} stays: a container uses it")
            elif not is_missing(error):
                raise

    def refresh(self, entry: Entry) -> Mapping[str, Any] | None:
        """The name may point at another image by now, built or pulled again; gone, it is made anew."""
        inputs = revealed(entry.inputs)
        found = _inspect(self._hosts.client(entry.host), str(inputs["name"]))
        return {} if found is None else _image_outputs(inputs, found)


def brought(hosts: Hosts, step: Step, name: str, platform: str | None = None) -> Mapping[str, Any]:
    """What the step's engine knows of an image: one that it lacks is pulled, as containers and images do alike."""
    client = hosts.client(step.host)
    found = _inspect(client, name)
    if found is None:
        step.note("pulling")
        image, _, tag = name.partition("@") if "@" in name else _split_tag(name)
        arguments = {"tag": tag or "latest", "platform": platform, "auth_config": hosts.settings(step.host).login(name)}
        asked(f"pull {name}", lambda: client.pull(image, **arguments))
        found = _inspect(client, name)
    if found is None:
        raise StepError(f"image {name} was pulled, and is still not there")
    return found


def _inspect(client: Any, name: str) -> dict[str, Any] | None:
    try:
        return asked("inspect", lambda: client.inspect_image(name))
    except DockerRefusalError as error:
        if is_missing(error):
            return None
        raise


def _split_tag(name: str) -> tuple[str, str, str]:
    head, colon, tail = name.rpartition(":")
    return (head, colon, tail) if colon and "/" not in tail else (name, "", "")


def _image_outputs(inputs: Properties, found: Mapping[str, Any]) -> dict[str, Any]:
    digests = items_of(found.get("RepoDigests"))
    return {**inputs, "imageId": str(found["Id"]), "repoDigest": str(digests[0]) if digests else ""}
