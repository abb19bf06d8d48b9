"""The preview of a small program: what is recorded, what is refused, and what the command prints."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import textwrap
from pathlib import Path
from typing import Any

import pytest

from rehearsal import RehearsalError, rehearse
from rehearsal.__main__ import main

REPOSITORY = Path(__file__).parents[2]

PROGRAM = """
import pulumi, pulumi_docker as docker
from pulumi_command import local

config = pulumi.Config()
net = docker.Network("net", name="fx-net")


class Web(pulumi.ComponentResource):
    def __init__(self, name):
        super().__init__("fx:index:Web", name)
        self.container = docker.Container(
            name,
            image="web:1",
            envs=["A=1", pulumi.Output.concat("PASSWORD=", config.require_secret("password"))],
            networks_advanced=[{"name": net.name, "aliases": ["web"]}],
            opts=pulumi.ResourceOptions(
                parent=self, delete_before_replace=False, ignore_changes=["labels"], protect=True
            ),
        )


web = Web("web-1")
local.Command("route", create="true", stdin=web.container.name, opts=pulumi.ResourceOptions(depends_on=[web]))
pulumi.export("routes", [{"host": "a.test", "path": "/", "service": "web", "url": "http://a.test/"}])
pulumi.export("reach", [{"from": "web", "to": "session", "address": "session:6379"}])
pulumi.export("password", config.require_secret("password"))
"""


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("COLUMNS", "200")
    monkeypatch.delenv("PULUMI_CONFIG_PASSPHRASE", raising=False)
    monkeypatch.delenv("PULUMI_CONFIG_PASSPHRASE_FILE", raising=False)
    (tmp_path / "Pulumi.yaml").write_text("name: fx\nruntime: python\n")
    (tmp_path / "Pulumi.t.yaml").write_text("config:\n  fx:password: {secure: 'v1:AAAA:BBBB'}\n")
    (tmp_path / "__main__.py").write_text(PROGRAM)
    return tmp_path


def program(project: Path, text: str) -> None:
    (project / "__main__.py").write_text(textwrap.dedent(text))


def by_name(report: Any) -> dict[str, dict[str, Any]]:
    return {found["name"]: found for found in report.to_json()["resources"]}


def containers(report: Any) -> list[dict[str, Any]]:
    return [found for found in report.resources if found["type"] == "docker:index/container:Container"]


def test_everything_the_engine_would_be_told_is_recorded(project: Path) -> None:
    report = rehearse("t", project)
    (container,) = containers(report)
    network = by_name(report)["net"]["urn"]
    assert container["urn"] == "urn:pulumi:t::fx::fx:index:Web$docker:index/container:Container::web-1"
    assert container["parent"] == "urn:pulumi:t::fx::fx:index:Web::web-1"
    assert container["inputs"]["networksAdvanced"] == [{"name": "fx-net", "aliases": ["web"]}]
    assert container["dependencies"] == [network]
    assert container["propertyDependencies"] == {"networksAdvanced": [network]}
    assert container["protect"]
    assert container["ignoreChanges"] == ["labels"]
    assert (container["deleteBeforeReplace"], container["deleteBeforeReplaceDefined"]) == (False, True)
    assert by_name(report)["route"]["dependencies"] == [container["urn"]]
    assert not report.problems


def test_the_report_for_programs_has_the_promised_fields(project: Path) -> None:
    document = rehearse("t", project).to_json()
    assert document["stack"] == "t"
    assert {"type", "name", "parent", "inputs", "dependencies"} <= document["resources"][0].keys()
    assert document["routes"] == [{"host": "a.test", "path": "/", "service": "web", "url": "http://a.test/"}]
    assert document["problems"] == []


def test_secrets_are_shown_in_their_place_and_never_in_plain(project: Path) -> None:
    report = rehearse("t", project)
    assert containers(report)[0]["inputs"]["envs"] == ["A=1", "[secret]"]
    assert report.outputs["password"] == "[secret]"
    assert "1 secret value is shown by a placeholder" in report.notes[0]


def test_two_previews_are_equal(project: Path) -> None:
    assert rehearse("t", project).to_json() == rehearse("t", project).to_json()


@pytest.mark.parametrize(
    ("arguments", "path", "said"),
    [
        ("image='x', networks_advanced=[{'name': 'n', 'alias': ['a']}]", "networksAdvanced/0/alias", "`aliases`"),
        ("image='x', labels=[{'label': 'a'}]", "labels/0/value", "is missing"),
        ("image='x', memory='512'", "memory", "should be a whole number, got '512'"),
        ("image='x', envs={'A': '1'}", "envs", "should be a list"),
        ("image='x', ports=[{'internal': 80, 'external': '8080'}]", "ports/0/external", "should be a whole number"),
        ("image=3", "image", "should be a string, got 3"),
        ("image='x', read_only='yes'", "readOnly", "should be true or false"),
    ],
)
def test_wrong_inputs_are_found_however_deep(project: Path, arguments: str, path: str, said: str) -> None:
    program(project, f"import pulumi_docker as docker\ndocker.Container('web', {arguments})\n")
    report = rehearse("t", project)
    assert [p.path for p in report.problems] == [f"web (docker:index/container:Container)/{path}"]
    assert said in str(report.problems[0])


def test_one_name_twice_is_a_problem(project: Path) -> None:
    program(project, "import pulumi_docker as docker\ndocker.Network('n')\ndocker.Network('n')\n")
    (problem,) = rehearse("t", project).problems
    assert str(problem).startswith("urn:pulumi:t::fx::docker:index/network:Network::n: is registered twice")


def test_a_run_error_is_its_own_message(project: Path) -> None:
    program(project, "import pulumi\nraise pulumi.RunError('services/web/port: should be 1–65535, got 0')\n")
    with pytest.raises(RehearsalError, match=r"^services/web/port: should be 1–65535, got 0$"):
        rehearse("t", project)


CONFIG_ERROR = """
import pulumi
from settings.problems import ConfigError, Problem
try:
    raise ConfigError([Problem("services/web/port", "should be 1–65535, got 0"), Problem("services/a/on", "no", "yes")])
except ConfigError as error:
    raise pulumi.RunError(str(error)) from error
"""


def test_a_wrong_configuration_is_a_report_for_programs_too(
    project: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    program(project, CONFIG_ERROR)
    monkeypatch.chdir(project)
    assert main(["t", "--json"]) == 1
    document = json.loads(capsys.readouterr().out)
    assert document == {
        "stack": "t",
        "project": "fx",
        "resources": [],
        "routes": [],
        "problems": [
            {"path": "services/web/port", "message": "should be 1–65535, got 0", "fix": ""},
            {"path": "services/a/on", "message": "no", "fix": "yes"},
        ],
        "outputs": {},
        "notes": [],
    }
    assert main(["t", "--markdown"]) == 1
    assert "### Problems\n```text\nservices/web/port: should be 1–65535, got 0\n" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("stack", "file", "text", "path", "said"),
    [
        ("t", "__main__.py", "1 / 0\n", "__main__.py", "the program failed: ZeroDivisionError: division by zero"),
        ("t", "__main__.py", "raise SystemExit(3)\n", "__main__.py", "the program ended itself with exit code 3"),
        ("u", "__main__.py", "", "Pulumi.u.yaml", "no stack `u`"),
        ("t", "Pulumi.t.yaml", "config: {", "Pulumi.t.yaml", "Pulumi.t.yaml: is not valid YAML"),
    ],
)
def test_whatever_stops_the_rehearsal_is_a_problem_of_the_report(
    project: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    *,
    stack: str,
    file: str,
    text: str,
    path: str,
    said: str,
) -> None:
    (project / file).write_text(text)
    monkeypatch.chdir(project)
    assert main([stack, "--json"]) == 1
    (problem,) = json.loads(capsys.readouterr().out)["problems"]
    assert problem["path"] == path
    assert problem["message"].startswith(said)


@pytest.mark.parametrize("text", ["1 / 0\n", "import pulumi\npulumi.Output.from_input(1).apply(lambda n: n / 0)\n"])
def test_an_exception_says_what_and_where_without_a_traceback(
    project: Path, text: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    program(project, text)
    monkeypatch.chdir(project)
    assert main(["t"]) == 1
    said = capsys.readouterr().err
    assert "ZeroDivisionError: division by zero (in __main__.py, line " in said
    assert "Traceback" not in said


def test_a_stack_that_is_not_there_lists_those_that_are(project: Path) -> None:
    with pytest.raises(RehearsalError, match=r"no stack `prod`: there is no Pulumi\.prod\.yaml \(stacks here: t\)"):
        rehearse("prod", project)


def test_text_and_markdown_tell_the_routes_and_the_problems(
    project: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(project)
    assert main(["t"]) == 0
    text = capsys.readouterr().out
    assert "fx/t  3 resources in 1 components, no problems" in text
    assert "a.test" in text
    assert "session:6379" in text
    assert main(["t", "--markdown"]) == 0
    assert "| `a.test` | `/` | `web` | `http://a.test/` |" in capsys.readouterr().out


def test_against_shows_what_the_change_does(
    project: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    git = ["git", "-c", "user.name=t", "-c", "user.email=t@example.com"]
    for command in (["init", "-q"], ["add", "."], ["commit", "-q", "-m", "first"]):
        subprocess.run([*git, *command], cwd=project, check=True)
    program(project, PROGRAM.replace("web:1", "web:2") + 'docker.Network("more")\n')
    monkeypatch.chdir(project)
    monkeypatch.setenv("PYTHONPATH", str(REPOSITORY))
    assert main(["t", "--against", "HEAD"]) == 0
    said = capsys.readouterr().out
    assert "+ more (docker:index/network:Network)" in said
    assert '    image: "web:1" → "web:2"' in said
    assert main(["t", "--against", "nowhere"]) == 1
    assert main(["t", "--against", "nowhere", "--json"]) == 1
    document = json.loads(capsys.readouterr().out)
    assert document["resources"]
    assert [problem["path"] for problem in document["problems"]] == ["--against nowhere"]


def test_against_tells_what_pulumi_ignores_from_what_it_changes(
    project: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    text = """
        import pulumi, pulumi_docker as docker
        ignored = pulumi.ResourceOptions(ignore_changes=["memory", "labels[0].value"])
        docker.Container("a", image="web:1", memory=64, opts=ignored)
        docker.Container("b", image="web:1", memory=64, labels=[{"label": "x", "value": "1"}], opts=ignored)
    """
    program(project, text)
    git = ["git", "-c", "user.name=t", "-c", "user.email=t@example.com"]
    for command in (["init", "-q"], ["add", "."], ["commit", "-q", "-m", "first"]):
        subprocess.run([*git, *command], cwd=project, check=True)
    program(project, text.replace("memory=64", "memory=128").replace('"value": "1"', '"value": "2"'))
    monkeypatch.chdir(project)
    monkeypatch.setenv("PYTHONPATH", str(REPOSITORY))
    assert main(["t", "--against", "HEAD"]) == 0
    said = capsys.readouterr().out
    assert "= a (docker:index/container:Container)\n    memory: 64 → 128 (ignored)\n" in said
    assert "\n~ " not in said
    program(project, text.replace("memory=64", "memory=128").replace('"label": "x"', '"label": "y"'))
    assert main(["t", "--against", "HEAD", "--json"]) == 0
    compared = json.loads(capsys.readouterr().out)["against"]
    found = {kind: {urn.split("::")[-1]: sorted(keys) for urn, keys in compared[kind].items()} for kind in
             ("changed", "ignored")}  # fmt: skip
    assert found == {"changed": {"b": ["labels"]}, "ignored": {"a": ["memory"], "b": ["memory"]}}


def test_against_a_revision_that_cannot_be_rehearsed_says_why(
    project: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    program(project, CONFIG_ERROR)
    git = ["git", "-c", "user.name=t", "-c", "user.email=t@example.com"]
    for command in (["init", "-q"], ["add", "."], ["commit", "-q", "-m", "first"]):
        subprocess.run([*git, *command], cwd=project, check=True)
    program(project, PROGRAM)
    monkeypatch.chdir(project)
    monkeypatch.setenv("PYTHONPATH", str(REPOSITORY))
    assert main(["t", "--against", "HEAD"]) == 1
    said = capsys.readouterr().err
    assert "--against HEAD: the stack cannot be rehearsed there\n  services/web/port: should be 1–65535, got 0" in said


def test_a_report_that_is_piped_cuts_no_value(
    project: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    address = f"{'very-' * 60}long.internal:6379"
    program(project, f"import pulumi\npulumi.export('reach', [{{'from': 'web', 'address': '{address}'}}])\n")
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.chdir(project)
    assert main(["t"]) == 0
    assert address in capsys.readouterr().out


def test_memory_is_bytes_for_programs_and_mib_for_people(
    project: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    row = {"host": "local", "steady": 536870912, "surge": 0, "available": None}
    program(project, f"import pulumi\npulumi.export('placement', [{row}])\n")
    monkeypatch.chdir(project)
    assert main(["t"]) == 0
    assert "512MiB" in capsys.readouterr().out
    assert rehearse("t", project).outputs["placement"][0]["steady"] == 536870912


def test_what_apply_cannot_carry_out_is_counted_by_type(
    project: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    program(
        project,
        "import pulumi_aws as aws\n[aws.cloudwatch.LogGroup(f'l{n}') for n in range(3)]\naws.ecs.Cluster('c')\n",
    )
    (project / "Pulumi.t.yaml").write_text("config: {'aws:region': eu-central-1}\n")
    monkeypatch.chdir(project)
    assert main(["t", "--apply"]) == 1
    assert capsys.readouterr().err == (
        "stack t cannot be applied; nothing was touched\n"
        "4 resources are not carried out by the rehearsal (1 Cluster, 3 LogGroup); "
        "only Docker, tls and random resources and local commands are: use `pulumi up`\n"
    )


def test_only_the_sdks_that_a_stack_uses_are_imported(project: Path) -> None:
    program(project, "import pulumi\npulumi.export('a', 1)\n")
    probe = (
        "import sys; from pathlib import Path; from rehearsal import rehearse; rehearse('t', Path('.'));"
        "print(sorted(m for m in sys.modules if m in ('pulumi_docker', 'pulumi_command', 'pulumi_tls', 'docker')))"
    )
    done = subprocess.run(
        [sys.executable, "-c", probe],
        cwd=project,
        env={**os.environ, "PYTHONPATH": str(REPOSITORY)},
        capture_output=True,
        text=True,
        check=True,
    )
    assert json.loads(done.stdout.replace("'", '"')) == []
