"""What a docker provider says about its engine, and what ssh says about the way to it."""

from __future__ import annotations

import base64
import json
import os
import stat
from pathlib import Path
from typing import Any

import pytest

from rehearsal.docker_settings import EngineSettings, kept, settings_of, unsupported
from rehearsal.providers import StepError
from rehearsal.ssh_tunnel import Tunnel, TunnelError, parse_url
from rehearsal.values import UNKNOWN, Secret

URL = "ssh://deploy@10.99.0.11:2222"


def settings(*logins: dict[str, Any]) -> EngineSettings:
    inputs = {"host": URL, "sshOpts": '["-o", "Port=1"]', "registryAuth": Secret(json.dumps(logins))}
    return settings_of("host1", inputs)


def test_settings_travel_as_json_and_keep_their_secrets() -> None:
    made = settings({"address": "ghcr.io", "username": "robot", "password": "hush"})
    assert (made.host, made.name, made.ssh_opts) == (URL, "host1", ("-o", "Port=1"))
    assert made.login("ghcr.io/acme/web@sha256:0") == {"username": "robot", "password": "hush"}
    assert made.login("quay.io/acme/web") is None
    assert made.login("redis") is None
    assert "hush" not in repr(made)
    inputs = {"host": URL, "sshOpts": "[]", "registryAuth": Secret("[]"), "disableDockerDaemonCheck": "true"}
    assert kept("host1", inputs) == {"name": "host1", "sshOpts": "[]", "registryAuth": Secret("[]")}


@pytest.mark.parametrize("address", ["docker.io", "https://index.docker.io/v1/", "registry-1.docker.io"])
def test_docker_hub_has_several_names(address: str) -> None:
    made = settings({"address": address, "username": "robot", "password": "hush"})
    assert made.login("redis:7") == {"username": "robot", "password": "hush"}
    assert made.login("localhost/redis:7") is None


def test_a_login_may_come_from_a_docker_configuration(tmp_path: Path) -> None:
    auth = base64.b64encode(b"robot:hush:hush").decode()
    content = json.dumps({"auths": {"https://ghcr.io/v2/": {"auth": auth}}})
    expected = {"username": "robot", "password": "hush:hush"}
    assert settings({"address": "ghcr.io", "configFileContent": content}).login("ghcr.io/a") == expected
    (tmp_path / "config.json").write_text(content)
    file = str(tmp_path / "config.json")
    assert settings({"address": "ghcr.io", "configFile": file}).login("ghcr.io/a") == expected
    assert settings({"address": "ghcr.io", "authDisabled": True}).login("ghcr.io/a") is None
    with pytest.raises(StepError, match=r"registryAuth/quay\.io: .*has no login for it"):
        settings({"address": "quay.io", "configFileContent": content})
    with pytest.raises(StepError, match=r"registryAuth/quay\.io: configFileContent: is no Docker configuration"):
        settings({"address": "quay.io", "configFileContent": '{"auths": {"quay.io": {}}}'})


def test_what_would_be_ignored_is_named() -> None:
    inputs = {"host": URL, "certPath": "/x", "context": "y", "registryAuth": '[{"address": "a", "helper": "b"}]'}
    assert unsupported(inputs) == ["certPath", "context", "registryAuth/helper"]
    with pytest.raises(StepError, match="nothing has made"):
        settings_of("host1", {"host": UNKNOWN})
    with pytest.raises(StepError, match="should be words, got 22"):
        settings_of("host1", {"host": URL, "sshOpts": '["-p", 22]'})


def test_urls() -> None:
    assert str(parse_url("ssh://root@10.99.0.11")) == "root@10.99.0.11"
    assert parse_url("ssh://host1").socket == "/var/run/docker.sock"
    assert parse_url("ssh://me@host1/run/user/1000/docker.sock").socket == "/run/user/1000/docker.sock"
    found = parse_url(URL)
    assert (found.user, found.host, found.port) == ("deploy", "10.99.0.11", 2222)
    for wrong in (
        "ssh://-oProxyCommand=x",
        "ssh://",
        "tcp://host1",
        "ssh://a:b@host1",
        "ssh://host1:port",
        "ssh://h?x",
    ):
        with pytest.raises(StepError, match="ssh://"):
            parse_url(wrong)


@pytest.fixture
def fake_ssh(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A program in place of ssh, which says what `said` holds and fails."""
    path = tmp_path / "bin" / "ssh"
    path.parent.mkdir()
    path.write_text(f'#!/bin/sh\necho "$@" >{tmp_path}/words\ncat {tmp_path}/said >&2\nexit 255\n')
    path.chmod(path.stat().st_mode | stat.S_IXUSR)
    monkeypatch.setenv("PATH", f"{path.parent}:{os.environ['PATH']}")
    return tmp_path


@pytest.mark.parametrize(
    ("said", "advice"),
    [
        (
            "@@@@@@\n@ WARNING: REMOTE HOST IDENTIFICATION HAS CHANGED! @\r\nHost key verification failed.",
            "pin its new",
        ),
        ("deploy@10.99.0.11: Permission denied (publickey).", "does not take this login"),
        ("ssh: connect to host 10.99.0.11 port 2222: Connection timed out", "declare it down"),
        ("", "declare it down"),
    ],
)
def test_a_refusal_has_sshs_own_words_and_what_to_do(fake_ssh: Path, said: str, advice: str) -> None:
    (fake_ssh / "said").write_text(said + "\n")
    tunnel = Tunnel(parse_url(URL), ["-i", "my key"], fake_ssh, 1)
    with pytest.raises(TunnelError) as caught:
        tunnel.open()
    message = str(caught.value)
    assert message.startswith("cannot connect to deploy@10.99.0.11:2222 by ssh:\n    ")
    assert (said.splitlines()[-1] if said else "ssh ended with exit code 255") in message
    assert advice in message
    assert "@@@" not in message
    words = (fake_ssh / "words").read_text()
    # Sharing is off for good; everything else is the provider's first, then ours.
    assert words.startswith("-o ControlMaster=no -o ControlPath=none -o ControlPersist=no -i my key -o BatchMode=yes")
    assert words.endswith(f"-N -T -L {fake_ssh}/1.sock:/var/run/docker.sock -l deploy -p 2222 -- 10.99.0.11\n")
    tunnel.close()


def test_without_an_ssh_client_it_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for tool in ("sh", "rm", "rmdir"):
        (tmp_path / tool).symlink_to(f"/bin/{tool}")
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(TunnelError, match=r"ssh: not found\n.*openssh-client"):
        Tunnel(parse_url(URL), [], tmp_path, 1).open()
