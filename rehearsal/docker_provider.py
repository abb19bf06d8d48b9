"""Docker's containers, networks and volumes, with the semantics of pulumi-docker.

What the applier makes carries its own labels beside the program's: stack, URN and a digest of the inputs. A crash
between the engine's answer and the state file then leaves nothing that the next run could not place.
"""

from __future__ import annotations

import secrets
import threading
import time
from collections.abc import Mapping
from typing import Any, Final

from rehearsal import container_spec as spec
from rehearsal.docker_hosts import DockerRefusalError, Hosts, asked, is_conflict, is_missing
from rehearsal.docker_images import brought
from rehearsal.providers import Diff, Made, Step, StepError, changed_keys
from rehearsal.state import Entry, Intent
from rehearsal.values import Properties, items_of, members_of, revealed

CONTAINER: Final = "docker:index/container:Container"
NETWORK: Final = "docker:index/network:Network"
VOLUME: Final = "docker:index/volume:Volume"

STACK_LABEL: Final = "dev.quayside.stack"
URN_LABEL: Final = "dev.quayside.urn"
INPUTS_LABEL: Final = "dev.quayside.inputs"


def same_name_needs_delete_first(old: Properties, new: Properties) -> bool:
    """A name can be held once: keeping an explicit one means that the old object has to go first."""
    return bool(new.get("name")) and old.get("name") == new.get("name")


class Strays:
    """Containers of this stack that no state knows: left by a killed run, free to be taken over."""

    def __init__(self) -> None:
        self._found: dict[tuple[str, str], dict[str, Any]] = {}
        self._lock = threading.Lock()

    def add(self, host: str, container: dict[str, Any]) -> None:
        self._found[host, str(container["Id"])] = container

    def take(self, host: str, urn: str, digest: str) -> dict[str, Any] | None:
        """A running stray made for `urn` of the very same inputs: it is running, so all of its creation was done."""
        with self._lock:
            for key, container in self._found.items():
                labels: Mapping[str, str] = container["Labels"]
                same = labels.get(URN_LABEL) == urn and labels.get(INPUTS_LABEL) == digest
                if key[0] == host and same and container["State"] == "running":
                    return self._found.pop(key)
        return None

    def take_name(self, host: str, name: str) -> dict[str, Any] | None:
        with self._lock:
            for key, container in self._found.items():
                if key[0] == host and f"/{name}" in container["Names"]:
                    return self._found.pop(key)
        return None

    def rest(self) -> list[tuple[str, dict[str, Any]]]:
        with self._lock:
            return [(host, container) for (host, _), container in self._found.items()]


class ContainerProvider:
    """A container is replaced on any change but those that the engine makes in place; by default, delete-first."""

    def __init__(self, hosts: Hosts, strays: Strays) -> None:
        self._hosts = hosts
        self._strays = strays

    def unsupported(self, inputs: Properties) -> list[str]:
        return sorted(inputs.keys() - spec.HANDLED)

    def diff(self, old: Properties, new: Properties) -> Diff:
        changed = changed_keys(old, new, spec.UNORDERED)
        replace = tuple(key for key in changed if key not in spec.UPDATABLE | spec.BOOKKEEPING)
        return Diff(changed, replace, delete_first=True)

    def create(self, step: Step) -> Made:
        client = self._hosts.client(step.host)
        digest = spec.digest(step.inputs)
        stray = self._strays.take(step.host, step.urn, digest)
        if stray is not None:
            # A step of this run may have removed it since.
            try:
                return self._made(client, step, str(stray["Id"]), adopted=True)
            except DockerRefusalError as error:
                if not is_missing(error):
                    raise
        name = str(step.inputs.get("name") or f"{step.name}-{secrets.token_hex(4)[:7]}")
        blocking = self._strays.take_name(step.host, name)
        if blocking is not None:
            step.note(f"removing the unfinished container {name} of an interrupted run")
            remove_container(client, str(blocking["Id"]), None, volumes=True)
        step.intend(Intent(name, step.type, digest, step.host))
        body = spec.create_body(step.inputs, {**step.labels, URN_LABEL: step.urn, INPUTS_LABEL: digest})
        brought(self._hosts, step, str(step.inputs["image"]))
        created = asked("create", lambda: client.create_container_from_config(body, name))
        id_ = str(created["Id"])
        try:
            self._finish(client, step, id_)
        except BaseException:
            remove_container(client, id_, None, volumes=True)
            raise
        return self._made(client, step, id_)

    def _finish(self, client: Any, step: Step, id_: str) -> None:
        for network in (items_of(step.inputs.get("networksAdvanced")))[1:]:
            name = spec.network_name(network)
            config = {"Container": id_, "EndpointConfig": spec.endpoint(network)}
            url = client._url("/networks/{0}/connect", name)
            asked(f"connect to {name}", lambda url=url, config=config: _checked(client, client._post_json(url, config)))
        for upload in items_of(step.inputs.get("uploads")):
            archive = spec.upload_archive(upload)
            asked(f"upload {upload['file']}", lambda archive=archive: client.put_archive(id_, "/", archive))
        if step.inputs.get("start", True):
            asked("start", lambda: client.start(id_))
            if step.inputs.get("wait"):
                _wait_healthy(client, id_, float(step.inputs.get("waitTimeout") or 60))

    def _made(self, client: Any, step: Step, id_: str, *, adopted: bool = False) -> Made:
        inspected = asked("inspect", lambda: client.inspect_container(id_))
        return Made(id_, spec.outputs_of(inspected, step.inputs), adopted)

    def update(self, step: Step, old: Entry) -> Made:
        client = self._hosts.client(step.host)
        changed = set(changed_keys(revealed(old.inputs), step.inputs, spec.UNORDERED))
        if changed & spec.UPDATABLE:
            body = {**spec.resources(step.inputs), "RestartPolicy": spec.restart_policy(step.inputs)}
            url = client._url("/containers/{0}/update", old.id)
            asked("update", lambda: _checked(client, client._post_json(url, body)))
        return self._made(client, step, old.id)

    def delete(self, step: Step, old: Entry) -> None:
        inputs = revealed(old.inputs)
        grace = inputs.get("destroyGraceSeconds")
        client = self._hosts.client(old.host)
        remove_container(client, old.id, int(grace) if grace else None, volumes=bool(inputs.get("removeVolumes", True)))

    def refresh(self, entry: Entry) -> Mapping[str, Any] | None:
        return None


def is_kept_running(inputs: Properties) -> bool:
    """Whether nobody but a person can have stopped it for good: Docker starts it again whenever it ends by itself."""
    return bool(inputs.get("start", True)) and inputs.get("restart") in ("always", "unless-stopped")


def start(client: Any, id_: str) -> None:
    asked("start", lambda: client.start(id_))


def remove_container(client: Any, id_: str, grace: int | None, *, volumes: bool) -> None:
    """Stop within `grace` seconds (None: kill at once), then remove. One that is gone already is fine."""
    try:
        if grace is not None:
            asked("stop", lambda: client.stop(id_, timeout=grace))
        asked("remove", lambda: client.remove_container(id_, force=True, v=volumes))
    except DockerRefusalError as error:
        if is_missing(error):
            return
        if not is_conflict(error):  # 409: another removal is under way
            raise
        _wait_gone(client, id_)


def _wait_gone(client: Any, id_: str) -> None:
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        try:
            asked("inspect", lambda: client.inspect_container(id_))
        except DockerRefusalError as error:
            if is_missing(error):
                return
            raise
        time.sleep(0.2)
    raise StepError(f"container {id_[:12]} is still being removed after 30 s")


def _wait_healthy(client: Any, id_: str, timeout: float) -> None:
    deadline = time.monotonic() + timeout
    while time.monotonic() < deadline:
        state = asked("inspect", lambda: client.inspect_container(id_))["State"]
        if not state["Running"]:
            raise StepError(f"the container ended with exit code {state['ExitCode']} before it was healthy")
        if (members_of(state.get("Health"))).get("Status") == "healthy":
            return
        time.sleep(0.25)
    raise StepError(f"the container was not healthy within {timeout:.0f} s")


def _checked(client: Any, response: Any) -> None:
    client._raise_for_status(response)


class NetworkProvider:
    """Any change replaces a network; where it keeps its name, delete-first, which attached containers prevent."""

    _SUPPORTED = frozenset(
        {"name", "labels", "driver", "options", "internal", "attachable", "ipv6", "ipamConfigs", "ipamDriver"}
    )

    def __init__(self, hosts: Hosts) -> None:
        self._hosts = hosts

    def unsupported(self, inputs: Properties) -> list[str]:
        return sorted(inputs.keys() - self._SUPPORTED)

    def diff(self, old: Properties, new: Properties) -> Diff:
        changed = changed_keys(old, new, frozenset({"labels", "ipamConfigs"}))
        return Diff(changed, changed, same_name_needs_delete_first(old, new))

    def create(self, step: Step) -> Made:
        client = self._hosts.client(step.host)
        digest = spec.digest(step.inputs)
        explicit = step.inputs.get("name")
        name = str(explicit or f"{step.name}-{secrets.token_hex(4)[:7]}")
        found = self._existing(client, step, name) if explicit else None
        if found is not None:
            if (members_of(found.get("Labels"))).get(INPUTS_LABEL) == digest:
                return self._made(client, step, str(found["Id"]), adopted=True)
            asked("remove", lambda: client.remove_network(found["Id"]))
        given = {str(item["label"]): str(item["value"]) for item in items_of(step.inputs.get("labels"))}
        body: dict[str, Any] = {
            "Name": name,
            "CheckDuplicate": True,
            "Driver": step.inputs.get("driver", "bridge"),
            "Options": members_of(step.inputs.get("options")),
            "Internal": bool(step.inputs.get("internal")),
            "Attachable": bool(step.inputs.get("attachable")),
            "EnableIPv6": bool(step.inputs.get("ipv6")),
            "Labels": {**given, **step.labels, URN_LABEL: step.urn, INPUTS_LABEL: digest},
        }
        if "ipamConfigs" in step.inputs or "ipamDriver" in step.inputs:
            configs = [_ipam(config) for config in items_of(step.inputs.get("ipamConfigs"))]
            body["IPAM"] = {"Driver": step.inputs.get("ipamDriver", "default"), "Config": configs}
        url = client._url("/networks/create")
        created = asked("create", lambda: client._result(client._post_json(url, body), True))
        return self._made(client, step, str(created["Id"]))

    def _existing(self, client: Any, step: Step, name: str) -> dict[str, Any] | None:
        """A network that an interrupted run of this stack left; anybody else's is an error."""
        networks: list[dict[str, Any]] = asked("list networks", lambda: client.networks(names=[name]))
        for network in networks:
            if network["Name"] != name:
                continue
            if (members_of(network.get("Labels"))).get(STACK_LABEL) != step.labels[STACK_LABEL]:
                raise StepError(
                    f"a network named {name} exists that is not of this stack\n"
                    f"    give the stack another name, or, if nothing is in it, `docker network rm {name}`"
                )
            return network
        return None

    def _made(self, client: Any, step: Step, id_: str, *, adopted: bool = False) -> Made:
        found = asked("inspect", lambda: client.inspect_network(id_))
        outputs = {
            **step.inputs,
            "name": found["Name"],
            "driver": found["Driver"],
            "scope": found["Scope"],
            "internal": found["Internal"],
        }
        return Made(id_, outputs, adopted)

    def update(self, step: Step, old: Entry) -> Made:
        return self._made(self._hosts.client(step.host), step, old.id)

    def delete(self, step: Step, old: Entry) -> None:
        remove_network(self._hosts.client(old.host), old.id, old.name)

    def refresh(self, entry: Entry) -> Mapping[str, Any] | None:
        return None


def remove_network(client: Any, id_: str, name: str) -> None:
    try:
        asked("remove", lambda: client.remove_network(id_))
    except DockerRefusalError as error:
        if is_missing(error):
            return
        if "active endpoints" not in str(error):
            raise
        found: dict[str, Any] = asked("inspect", lambda: client.inspect_network(id_))
        users = ", ".join(sorted(str(c["Name"]) for c in (members_of(found.get("Containers"))).values())) or "unknown"
        raise StepError(
            f"network {found['Name']} cannot be removed: these containers are still attached to it: {users}\n"
            f"    a network is only changed by removing it first; stop what uses `{name}`, then run again"
        ) from error


def _ipam(config: Mapping[str, Any]) -> dict[str, Any]:
    names = {"subnet": "Subnet", "gateway": "Gateway", "ipRange": "IPRange", "auxAddress": "AuxiliaryAddresses"}
    return {theirs: config[ours] for ours, theirs in names.items() if ours in config}


class VolumeProvider:
    """A volume of this stack that is already there is taken as it is: its data is why it exists."""

    def __init__(self, hosts: Hosts) -> None:
        self._hosts = hosts

    def unsupported(self, inputs: Properties) -> list[str]:
        return sorted(inputs.keys() - {"name", "labels", "driver", "driverOpts"})

    def diff(self, old: Properties, new: Properties) -> Diff:
        changed = changed_keys(old, new, frozenset({"labels"}))
        return Diff(changed, changed, same_name_needs_delete_first(old, new))

    def create(self, step: Step) -> Made:
        client = self._hosts.client(step.host)
        name = str(step.inputs.get("name") or f"{step.name}-{secrets.token_hex(4)[:7]}")
        try:
            found: dict[str, Any] = asked("inspect", lambda: client.inspect_volume(name))
        except DockerRefusalError as error:
            if not is_missing(error):
                raise
        else:
            if (members_of(found.get("Labels"))).get(STACK_LABEL) != step.labels[STACK_LABEL]:
                raise StepError(
                    f"a volume named {name} exists that is not of this stack\n"
                    f"    give the stack another name; `docker volume inspect {name}` shows whose data it is"
                )
            return self._made(step, found, adopted=True)
        labels = {str(item["label"]): str(item["value"]) for item in items_of(step.inputs.get("labels"))}
        labels |= {**step.labels, URN_LABEL: step.urn, INPUTS_LABEL: spec.digest(step.inputs)}
        made = asked(
            "create",
            lambda: client.create_volume(
                name, driver=step.inputs.get("driver"), driver_opts=step.inputs.get("driverOpts"), labels=labels
            ),
        )
        return self._made(step, made)

    def _made(self, step: Step, found: Mapping[str, Any], *, adopted: bool = False) -> Made:
        outputs = {**step.inputs, "name": found["Name"], "driver": found["Driver"], "mountpoint": found["Mountpoint"]}
        return Made(str(found["Name"]), outputs, adopted)

    def update(self, step: Step, old: Entry) -> Made:
        return Made(old.id, {**old.outputs, **step.inputs})

    def delete(self, step: Step, old: Entry) -> None:
        remove_volume(self._hosts.client(old.host), old.id)

    def refresh(self, entry: Entry) -> Mapping[str, Any] | None:
        return None


def remove_volume(client: Any, name: str) -> None:
    try:
        asked("remove", lambda: client.remove_volume(name))
    except DockerRefusalError as error:
        if not is_missing(error):
            raise
