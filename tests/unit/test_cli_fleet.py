"""`status`, `logs`, `exec`, `secret` of a fleet, without a host; tests/hosts/test_fleet_outside.py has hosts."""

from __future__ import annotations

import contextlib
import dataclasses
import datetime
import io
import json
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from quayside import data, fleet, fleet_observe, fleet_status, host_state, lifecycle
from quayside.__main__ import main
from quayside.containers import Container
from quayside.shell import CommandError
from rehearsal.ssh_tunnel import TunnelError
from rehearsal.state import StateFile, state_path
from tests.unit.test_cli import container, program, quayside

NOW = datetime.datetime(2027, 1, 1, tzinfo=datetime.UTC)
KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIBSb5OD49ThVyjjPoxUM2LLUpzTnaSsqPJ4GLhIoMLkR"


def host(name: str, *slots: str, down: bool = False) -> fleet.Host:
    return fleet.Host(
        name=name, address="192.0.2.1", user="deploy", port=2222, host_key=KEY, down=down, slots=list(slots)
    )


def made(*hosts: fleet.Host) -> fleet.Fleet:
    return fleet.Fleet(stack="shop/t", hosts={one.name: one for one in hosts}, identity=Path(".quayside/ssh/t.key"))


@pytest.fixture
def where(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> lifecycle.Project:
    """A fleet that was never deployed, on a machine with nothing but ssh and docker."""
    (tmp_path / "Pulumi.yaml").write_text("name: shop\nruntime: python\n")
    (tmp_path / "Pulumi.t.yaml").write_text("config: {quayside:cloud: hetzner}\n")
    for name in ("ssh", "docker"):
        program(tmp_path / "bin", name, "exit 1\n")
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    monkeypatch.delenv("PULUMI_CONFIG_PASSPHRASE", raising=False)
    monkeypatch.chdir(tmp_path)
    return lifecycle.project("t", tmp_path)


# --- where the hosts are ---------------------------------------------------------------------------------------------


def test_without_a_deployment_or_the_cli_it_says_what_is_missing(where: lifecycle.Project) -> None:
    with pytest.raises(CommandError, match="not deployed from here by the rehearsal, and the Pulumi CLI is not on"):
        fleet.deployed(where)
    program(where.root / "bin", "pulumi", "echo \"error: no stack named 't' found\" >&2; exit 1\n")
    with pytest.raises(
        CommandError, match=r"nothing to show: error: no stack named 't' found\n    `pulumi up --stack t`"
    ):
        fleet.deployed(where)
    program(where.root / "bin", "pulumi", "echo '{}'\n")
    with pytest.raises(CommandError, match="it was never deployed"):
        fleet.deployed(where)
    program(where.root / "bin", "pulumi", "echo '{\"urls\": []}'\n")
    with pytest.raises(CommandError, match="deployed before it said where its hosts are"):
        fleet.deployed(where)
    (where.root / "bin" / "ssh").unlink()
    with pytest.raises(CommandError, match="the ssh client"):
        fleet.deployed(where)


def test_a_key_that_pulumi_does_not_give_out_is_asked_for(where: lifecycle.Project) -> None:
    known = {
        "h1": {"address": "192.0.2.1", "user": "root", "port": 22, "host_key": KEY, "down": False, "slots": ["web-1"]}
    }
    (where.root / "out.json").write_text(json.dumps({"fleet": known, "deploy_key": "[secret]"}))
    asked = f'case "$*" in *deploy_key*) %s;; *) /bin/cat {where.root}/out.json;; esac\n'
    program(where.root / "bin", "pulumi", asked % 'echo "error: incorrect passphrase" >&2; exit 1')
    with pytest.raises(CommandError, match="Pulumi does not give it out: error: incorrect passphrase") as refused:
        fleet.deployed(where)
    assert "pulumi stack output deploy_key --show-secrets --stack t" in str(refused.value)
    assert not (where.root / ".quayside" / "ssh" / "t.key").exists()
    program(where.root / "bin", "pulumi", asked % "echo KEY")
    found = fleet.deployed(where)
    assert found.identity.read_text() == "KEY\n"
    assert found.hosts["h1"].slots == ["web-1"]


def test_a_deployment_that_never_came_to_its_end_is_told_so(where: lifecycle.Project) -> None:
    state = StateFile("shop", "t", state_path(where.root, "t"))
    (where.root / ".quayside").mkdir()
    with state.change():
        pass
    with pytest.raises(CommandError, match="Pulumi CLI is not on PATH"):  # of an empty state there is nothing to say
        fleet.deployed(where)
    from rehearsal.state import Entry

    with state.change():
        state.live["urn"] = Entry("urn", "tls:index/privateKey:PrivateKey", "deploy", "1", {}, {})
    with pytest.raises(CommandError, match="never deployed to its end"):
        fleet.deployed(where)


def test_every_connection_pins_the_host_key_and_is_its_own(where: lifecycle.Project) -> None:
    words = made(host("h1")).ssh(host("h1"), ["docker", "exec", "x", "echo", "a b"], terminal=True)
    assert words[-2:] == ["192.0.2.1", "docker exec x echo 'a b'"]
    options = [words[index + 1] for index, word in enumerate(words) if word == "-o"]
    first = dict(reversed([tuple(option.split("=", 1)) for option in options]))  # ssh takes the first of each
    assert first["KnownHostsCommand"] == f"/bin/echo %H {KEY}"
    assert first["StrictHostKeyChecking"] == "yes"
    assert first["IdentityFile"] == ".quayside/ssh/t.key"
    assert first["ConnectTimeout"] == "5"
    assert first["ControlMaster"] == "no"
    assert words[words.index("-p") + 1] == "2222"
    assert words[words.index("-l") + 1] == "deploy"
    assert "-tt" in words


def test_up_and_down_of_a_fleet_point_to_who_does_it(where: lifecycle.Project) -> None:
    for goal, said in (("up", "pulumi up --stack t"), ("down", "pulumi destroy --stack t")):
        done = quayside(goal, "--stack", "t", cwd=where.root, PATH=str(where.root / "bin"))
        assert done.returncode == 1
        assert said in done.stderr
        assert "Traceback" not in done.stderr


# --- the table -------------------------------------------------------------------------------------------------------


def test_what_is_planned_and_not_there_is_told() -> None:
    there = [container("web-1", restarts=2), container("edge", role="edge", service="edge")]
    found = fleet_status.answer(host("h1", "web-1", "web-2", "api-canary1", "web_3_h1"), there, {}, [], [])
    assert [(row.service, row.healthy, row.declared, row.restarts) for row in found.rows] == [
        ("web", 1, 3, 2),
        ("edge", 1, 1, 0),
        ("api", 0, 1, 0),
    ]
    assert [line.split()[0] for line in found.trouble] == ["web-2", "api-canary1", "web_3_h1"]
    assert fleet_status.answer(host("h1"), [], {}, [], []).trouble == ["it has no edge; the next `up` makes one"]


def test_an_edge_tells_of_services_on_other_hosts_that_it_does_not_reach() -> None:
    stat = {
        ("svc_web", "web-1"): "DOWN",  # its own: the row says it
        ("svc_web", "web.h2"): "DOWN 1/2",
        ("svc_web", "web.h3"): "UP",
        ("svc_cart", "0-cart-1.h2"): "DOWN",
        ("up_web", "web.h2"): "DOWN",
        ("svc_web", "BACKEND"): "UP",
    }
    assert list(fleet_status.unseen(stat, ["h1", "h2", "h3"])) == [("cart", "h2"), ("web", "h2")]


def test_a_host_tells_of_its_disk_its_owner_and_what_others_changed() -> None:
    text = (
        "owner shop/staging 2e\ndisk 3145728 41943040\nchanged /etc/docker/daemon.json\nopen INPUT -j QUAYSIDE-INPUT\n"
    )
    found = host_state.told(text, dataclasses.replace(host("h1"), owner="shop/prod 1f"))
    assert (found.free, found.size) == (3 * 1024**3, 40 * 1024**3)
    assert [line.split(";")[0] for line in found.trouble] == [
        "it belongs to another stack now: shop/staging 2e",
        "/etc/docker/daemon.json is not as it was prepared",
        "its packet filter is not in force (no INPUT -j QUAYSIDE-INPUT)",
        "3.0 GiB of disk are free for Docker",
    ]
    assert (
        host_state.told(
            "owner shop/prod 1f\ndisk 31457280 41943040\n", dataclasses.replace(host("h1"), owner="shop/prod 1f")
        ).trouble
        == ()
    )
    assert host_state.told("", host("h1")) == host_state.HostState(free=0, size=0, trouble=())


def test_an_image_is_shown_with_as_much_of_its_digest_as_tells_two_apart() -> None:
    assert (
        fleet_status.short("ghcr.io/acme/web@sha256:" + "5a1d0c9b8e7f" + "0" * 52)
        == "ghcr.io/acme/web@sha256:5a1d0c9b8e7f"
    )
    assert fleet_status.short("redis:7-alpine") == "redis:7-alpine"


# --- certificates ----------------------------------------------------------------------------------------------------


def pem(name: str, issuer: str, days: float) -> str:
    key = ec.generate_private_key(ec.SECP256R1())
    names = [x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, one)]) for one in (name, issuer)]
    signed = (
        x509.CertificateBuilder()
        .subject_name(names[0])
        .issuer_name(names[1])
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(NOW - datetime.timedelta(days=5000))
        .not_valid_after(NOW + datetime.timedelta(days=days))
        .sign(key, hashes.SHA256())
    )
    return signed.public_bytes(serialization.Encoding.PEM).decode()


def told(*files: tuple[str, str]) -> list[str]:
    return list(fleet_status.ending("".join(f"file {name}\n{text}" for name, text in files), NOW))


def test_certificates_are_told_of_in_time() -> None:
    bundle = ("ca_1.pem", pem("old", "old", 10) + pem("now", "now", 1000) + pem("next", "next", 3000))
    assert told(bundle, ("host1-2.pem", pem("host1", "now", 400))) == []
    assert told(bundle, ("host1-2.pem", pem("host1", "now", 60.5))) == [
        "the certificate of its edge ends on 2027-03-02, in 60 days: any `up` renews it"
    ]
    assert told(bundle, ("host1-2.pem", pem("host1", "now", -1))) == [
        "the certificate of its edge ended on 2026-12-31: any `up` renews it"
    ]
    # The signer's end is the chain's end; that of an authority which only a last term trusted is nobody's trouble.
    assert told(bundle, ("host1-2.pem", pem("host1", "old", 400))) == [
        "the authority old of its edge ends on 2027-01-11, in 10 days: any `up` changes to the next"
    ]


def test_the_visitors_certificate_is_told_of_a_month_before() -> None:
    chain = pem("shop.example", "Some CA", 31) + pem("Some CA", "Root", 5)
    assert told(("site_3.pem", chain)) == []
    (said,) = told(("site_3.pem", pem("shop.example", "Some CA", 29.5)))
    assert said.startswith(
        "the visitors' certificate ends on 2027-01-30, in 29 days: `up` renews one that it has issued"
    )


# --- exec ------------------------------------------------------------------------------------------------------------


def test_what_is_meant_by_on() -> None:
    two = made(host("h1"), host("h2"))
    aim = fleet_observe._aim  # pyright: ignore[reportPrivateUsage]
    assert aim(two, None) == (None, None)
    assert aim(two, "h2") == (None, "h2")
    assert aim(two, "web-2") == ("web-2", None)
    assert aim(two, "web-2@h1") == ("web-2", "h1")
    with pytest.raises(CommandError, match=r"no host h3\n    there are h1, h2"):
        aim(two, "web-2@h3")


def test_a_host_that_is_declared_down_is_not_called() -> None:
    with fleet.tunnels(made(host("h1", down=True))) as opened:
        assert opened.reach() == ([], {"h1": "is declared down, and was not asked"})
    with pytest.raises(CommandError, match=r"no host of shop/t answers\nh1: is declared down"):
        fleet_observe.logs(made(host("h1", down=True)), "web", follow=False, tail=1)


# --- data ------------------------------------------------------------------------------------------------------------


def test_data_of_no_host_and_of_one_that_is_down() -> None:
    with pytest.raises(CommandError, match=r"--on h3: there is no host h3\n    there are h1, h2"):
        data.on_the_fleet(made(host("h1"), host("h2")), "db", "h3")
    with pytest.raises(CommandError, match=r"no service db with a volume in .*\n.*none\nh1: is declared down"):
        data.on_the_fleet(made(host("h1", down=True)), "db", None)


def test_data_on_several_hosts_is_that_of_the_container_that_runs(
    where: lifecycle.Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A volume is left behind where a service with data moved from."""
    edge = Container("e", "edge", "edge", "edge", "edge", "haproxy:3.2-alpine", 0, "running", "")
    running = Container("c", "shop_t_db", "db", "db-1", "stateful", "postgres", 0, "running", "")
    there = {"h1": [edge], "h2": [edge, running]}

    class Opened:
        def reach(self, names: Sequence[str] | None = None) -> tuple[list[fleet.Reached], dict[str, str]]:
            hosts = [host(name) for name in names or there]
            return [fleet.Reached(one, (one.name,), None) for one in hosts], {}  # pyright: ignore[reportArgumentType]

    monkeypatch.setattr(data, "tunnels", lambda _fleet: contextlib.nullcontext(Opened()))
    monkeypatch.setattr(data, "of_stack", lambda _stack, docker: there[docker[0]])
    listed = subprocess.CompletedProcess[str]([], 0, "shop_t_db db\n", "")
    monkeypatch.setattr(data, "ask", lambda *_given, **_more: listed)
    found = data.on_the_fleet(made(host("h1"), host("h2")), "db", None)
    assert (found.host, found.container, found.image, found.name) == ("h2", "c", "haproxy:3.2-alpine", "shop_t_db")
    words = found.script("backup")
    assert words[0] == "ssh"
    assert words[-1].endswith(" backup shop_t_db haproxy:3.2-alpine c")
    assert found.script("backup", hold=False)[-1].endswith(" haproxy:3.2-alpine ''")
    there["h2"] = [edge]
    with pytest.raises(CommandError, match=r"db has a volume on several hosts: h1, h2\n    say which one"):
        data.on_the_fleet(made(host("h1"), host("h2")), "db", None)
    assert data.on_the_fleet(made(host("h1"), host("h2")), "db", "h1").container == ""


def test_data_on_aws_is_aws_backups_affair(
    where: lifecycle.Project, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (where.root / "Pulumi.t.yaml").write_text("config: {quayside:cloud: aws}\n")
    monkeypatch.setattr(sys, "argv", ["quayside", "backup", "db", "--stack", "t"])
    assert main() == 1
    assert "AWS Backup copies each volume every day" in capsys.readouterr().err


# --- secrets ---------------------------------------------------------------------------------------------------------


def secret(monkeypatch: pytest.MonkeyPatch) -> int:
    monkeypatch.setattr(sys, "argv", ["quayside", "secret", "stripe", "--stack", "t"])
    monkeypatch.setattr(sys, "stdin", io.StringIO("hunter2\n"))
    return main()


def test_a_fleet_s_secret_goes_by_pulumi_in_the_backend_that_its_up_uses(
    where: lifecycle.Project, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv("PULUMI_BACKEND_URL", raising=False)
    program(where.root / "bin", "pulumi", 'echo "$* $PULUMI_BACKEND_URL" >asked; /bin/cat >value\n')
    assert secret(monkeypatch) == 0
    said = "config set --secret --path quayside:secrets.stripe --stack t --non-interactive"
    assert (where.root / "asked").read_text().strip() == said
    assert (where.root / "value").read_text() == "hunter2"
    assert "The next `pulumi up --stack t` brings it" in capsys.readouterr().out
    assert not (where.root / ".quayside" / "passphrase").exists()


def test_without_the_cli_a_fleet_s_secret_is_for_the_rehearsal_and_says_so(
    where: lifecycle.Project, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert secret(monkeypatch) == 0
    told = capsys.readouterr().out
    assert "The next `python -m rehearsal t --apply` brings it" in told
    assert "For `pulumi up` set it there: `pulumi config set --secret --path quayside:secrets.stripe --stack t`" in told
    assert "hunter2" not in (where.root / "Pulumi.t.yaml").read_text() + told


def test_a_dead_host_costs_its_own_time_and_delays_no_other(monkeypatch: pytest.MonkeyPatch) -> None:
    """Connecting took 10 s for a dead host, and only then were the others asked, for 5 s more."""
    asked: list[tuple[str, float]] = []
    began = time.monotonic()

    class Slow:
        def __init__(self, address: object, options: object, folder: object, number: int) -> None:
            self.number, self.alive, self.socket = number, True, f"/nowhere/{number}"

        def open(self) -> None:
            if self.number == 0:
                time.sleep(1.5)
                raise TunnelError("dead")

        def close(self) -> None:
            pass

    def ask(reached: fleet.Reached) -> fleet_status.Answer:
        asked.append((reached.host.name, time.monotonic() - began))
        time.sleep(1)
        return fleet_status.Answer(rows=[], trouble=[], unseen=[])

    monkeypatch.setattr(fleet, "Tunnel", Slow)
    hosts = [host(f"h{number}") for number in range(6)]
    answers, trouble = fleet_status.gather(made(*hosts), ask)
    took = time.monotonic() - began
    assert (len(answers), list(trouble.values())) == (5, ["dead"])
    assert list(answers) == [name for name in (one.name for one in hosts) if name in answers], "in the fleet's order"
    assert all(when < 1.4 for _, when in asked), "nobody waits for the dead one"
    assert took < 2.4, "its 1.5 s and their 1 s are side by side"
