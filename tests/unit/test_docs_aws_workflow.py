"""The workflow of docs/aws.md: each of its lines run as it is written, with git and with a `pulumi` of our own."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Mapping
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

import pytest
import yaml

REPOSITORY = Path(__file__).parents[2]
TRUST = REPOSITORY / "docs" / "aws" / "ci-trust.json"
OLD = "sha256:" + "0" * 64
STACK = f"""\
config:
  quayside:services:
    web: {{image: {{digest: "{OLD}"}}}}
    cart: {{image: {{digest: "{OLD}"}}}}
"""
# `config set` as the CLI does it for a key that is there; then what another may do at the worst moment. `up` tells what
# it would deploy.
PULUMI = f"""\
#!{sys.executable}
import os, re, subprocess, sys
words = sys.argv[1:]
with open(os.environ["CALLS"], "a") as calls:
    calls.write(" ".join(words) + "\\n")
if words[:2] == ["config", "set"]:
    service = re.fullmatch(r"quayside:services\\.(\\w+)\\.image\\.digest", words[-2])[1]
    text = open("Pulumi.prod.yaml").read()
    line = f'    {{service}}: {{{{image: {{{{digest: "{{words[-1]}}"}}}}}}}}'
    open("Pulumi.prod.yaml", "w").write(re.sub(rf"(?m)^    {{service}}: .*$", line, text))
    if os.environ.get("MEANWHILE"):
        subprocess.run(["sh", "-ec", os.environ["MEANWHILE"]], check=True)
if words[0] == "up":
    with open(os.environ["UP"], "w") as applied:
        applied.write(open("Pulumi.prod.yaml").read())
"""


def workflow() -> dict[str, Any]:
    text = (REPOSITORY / "docs" / "aws.md").read_text()
    (block,) = re.findall(r"```yaml\n(# \.github/workflows/deploy\.yaml.*?)```", text, re.DOTALL)
    return yaml.safe_load(block)


def lines(job: str) -> list[str]:
    return [step["run"] for step in workflow()["jobs"][job]["steps"] if "run" in step]


class Branch:
    """The branch main on a server, and runs of the workflow beside each other."""

    def __init__(self, root: Path) -> None:
        self.root, self.server, self.calls, self.applied = root, root / "server.git", root / "calls", root / "applied"
        bin_ = root / "bin"
        bin_.mkdir()
        (bin_ / "pulumi").write_text(PULUMI)
        (bin_ / "make").write_text("#!/bin/sh\n")
        for program in bin_.iterdir():
            program.chmod(0o755)
        self.git("init", "--quiet", "--bare", "--initial-branch=main", str(self.server), at=root)
        first = self.checkout("first")
        (first / "Pulumi.prod.yaml").write_text(STACK)
        self.push(first, "first")

    def git(self, *words: str, at: Path) -> str:
        who = ("-c", "user.name=somebody", "-c", "user.email=somebody@example.com")
        return subprocess.run(["git", *who, *words], cwd=at, check=True, capture_output=True, text=True).stdout

    def checkout(self, name: str) -> Path:
        self.git("clone", "--quiet", str(self.server), name, at=self.root)
        return self.root / name

    def push(self, at: Path, message: str) -> None:
        self.git("add", "Pulumi.prod.yaml", at=at)
        self.git("commit", "--quiet", "--message", message, at=at)
        self.git("push", "--quiet", "origin", "HEAD:main", at=at)

    def run(self, job: str, at: Path, **environment: str) -> int:
        """Every line of the job, each in a shell as GitHub starts it; the first that fails ends it."""
        known = {
            **os.environ,
            "PATH": f"{self.root / 'bin'}:{os.environ['PATH']}",
            "HOME": str(self.root),
            "CALLS": str(self.calls),
            "UP": str(self.applied),
            **environment,
        }
        for line in lines(job):
            done = subprocess.run(["bash", "-e", "-c", line], cwd=at, env=known, check=False, capture_output=True)
            if done.returncode:
                return done.returncode
        return 0

    def digests(self) -> Mapping[str, str]:
        text = self.git("show", "main:Pulumi.prod.yaml", at=self.server)
        return {name: found["image"]["digest"] for name, found in services(text).items()}

    def messages(self) -> list[str]:
        return self.git("log", "--format=%s", "main", at=self.server).splitlines()


def services(text: str) -> dict[str, Any]:
    return yaml.safe_load(text)["config"]["quayside:services"]


@pytest.fixture
def branch(tmp_path: Path) -> Branch:
    for program in ("git", "bash"):
        if shutil.which(program) is None:
            pytest.skip(f"needs {program}")
    return Branch(tmp_path)


def test_two_releases_record_both_and_apply_both(branch: Branch) -> None:
    """Both checked out before either had recorded anything: that is how one took the other back."""
    web, cart = branch.checkout("web"), branch.checkout("cart")
    assert branch.run("record", web, SERVICE="web", DIGEST="sha256:" + "a" * 64) == 0
    assert branch.run("record", cart, SERVICE="cart", DIGEST="sha256:" + "b" * 64) == 0
    assert branch.digests() == {"web": "sha256:" + "a" * 64, "cart": "sha256:" + "b" * 64}
    # The job `up` checks the branch out anew.
    assert branch.run("up", branch.checkout("up")) == 0
    assert {name: found["image"]["digest"] for name, found in services(branch.applied.read_text()).items()} == dict(
        branch.digests()
    )
    assert branch.messages()[0] == f"cart: sha256:{'b' * 64} [skip ci]"


def test_a_push_that_somebody_was_faster_than_is_tried_again(branch: Branch) -> None:
    other = branch.checkout("other")
    once = f"""
        [ ! -e {branch.root}/done ] || exit 0
        touch {branch.root}/done
        cd {other}
        sed -i 's/cart: .*/cart: {{image: {{digest: "theirs"}}}}/' Pulumi.prod.yaml
        git -c user.name=o -c user.email=o@example.com commit --quiet --all --message theirs
        git push --quiet origin HEAD:main
    """
    assert branch.run("record", branch.checkout("web"), SERVICE="web", DIGEST="sha256:1", MEANWHILE=once) == 0
    assert branch.digests() == {"web": "sha256:1", "cart": "theirs"}
    assert branch.messages() == ["web: sha256:1 [skip ci]", "theirs", "first"]


def test_what_is_recorded_already_makes_no_commit(branch: Branch) -> None:
    assert branch.run("record", branch.checkout("web"), SERVICE="web", DIGEST=OLD) == 0
    assert branch.messages() == ["first"]


def test_a_branch_that_takes_no_push_ends_the_run_before_anything_is_applied(branch: Branch) -> None:
    hook = branch.server / "hooks" / "pre-receive"
    hook.write_text("#!/bin/sh\nexit 1\n")
    hook.chmod(0o755)
    assert branch.run("record", branch.checkout("web"), SERVICE="web", DIGEST="sha256:1") == 1
    assert branch.digests()["web"] == OLD
    assert "up" not in branch.calls.read_text()
    assert workflow()["jobs"]["up"]["needs"] == "record"


def test_the_workflow_may_do_what_it_does() -> None:
    found = workflow()
    assert found["permissions"] == {"id-token": "write", "contents": "write"}
    assert found["jobs"]["up"]["concurrency"] == {"group": "prod", "cancel-in-progress": False}
    # Inputs reach a shell as variables alone: written into a line, one could be a command.
    assert not [line for job in found["jobs"] for line in lines(job) if "${{" in line]
    for job in found["jobs"].values():
        assert job["environment"] == "prod"  # the subject that ci-trust.json lets in


# --- who may take on CI's role ----------------------------------------------------------------------------------------


def subjects() -> list[str]:
    (statement,) = json.loads(TRUST.read_text())["Statement"]
    (condition,) = [found for found in statement["Condition"].items() if any(":sub" in key for key in found[1])]
    assert condition[0] == "StringEquals"
    return condition[1]["token.actions.githubusercontent.com:sub"]


@pytest.mark.parametrize(
    ("subject", "in_"),
    [
        ("repo:acme/shop:environment:prod", True),
        ("repo:acme@123456/shop@456789:environment:prod", True),  # made, renamed or transferred after 2026-07-15
        ("repo:acme@123456/shop@456789:environment:staging", False),
        ("repo:acme@666/shop@456789:environment:prod", False),  # another that came to have the name
        ("repo:acme@123456/shop@666:environment:prod", False),
        ("repo:acme@123456/shop@456789:ref:refs/heads/main", False),
        ("repo:acme@123456/shop@456789:pull_request", False),
    ],
)
def test_both_forms_of_a_subject_are_let_in_and_no_other(subject: str, in_: bool) -> None:
    assert any(fnmatchcase(subject, pattern) for pattern in subjects()) is in_
    assert not any("*" in pattern for pattern in subjects())


def test_the_docs_tell_how_to_find_the_numbers() -> None:
    text = (REPOSITORY / "docs" / "aws.md").read_text()
    assert "$ gh api repos/acme/shop --jq" in text
    assert f"\n{subjects()[0]}\n" in text
