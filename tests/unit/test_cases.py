# ruff: noqa: E501  # a message word for word is read on one line
"""Small stacks after public reports of users of other tools: each is right here, or refused by name."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from planning import Plan, plan
from planning.aws.model import AwsPlan
from planning.aws.plan import plan as plan_aws
from planning.notes import notes
from platforms.local_images import builds
from settings.parse import parse
from settings.problems import ConfigError
from settings.rules_mounts import inner_folders
from settings.stack import Stack

DIGEST = "sha256:1f3c5a8e0b92d47c6e8a1d5f70b3c9e24a6d81f7350c2be9948d6f1a7c0e53b8"
AWS: dict[str, Any] = {
    "cloud": "aws",
    "domain": "example.com",
    "capacity": {"instances": {"types": ["m7g.large"], "max": 4}},
}
LOCAL: dict[str, Any] = {"cloud": "local", "edge": {"http": 8080}}


def stack(services: str, config: dict[str, Any]) -> Stack:
    return parse(
        project="shop", stack="dev", services=services, config=config, secrets=["db", "gcp"], region="eu-central-1"
    )


def with_digests(services: str) -> str:
    """Images as a stack outside of a laptop needs them."""
    return re.sub(r"(image: [a-z/]+):1\b", rf"\1@{DIGEST}", services)


def on_aws(services: str) -> AwsPlan:
    return plan_aws(stack(with_digests(services), AWS), {})


def local(services: str) -> Plan:
    return plan(stack(services, LOCAL), {})


def problems(services: str) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        local(services)
    return [str(problem) for problem in caught.value.problems]


def problems_on_aws(services: str) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        on_aws(services)
    return [str(problem) for problem in caught.value.problems]


# --- 02: values with special characters, and a reference in a command -----------------------------------------------

SPECIALS = r"""
services:
  app:
    image: example/app:1
    port: 8080
    command: ["serve", "--hash=$2a$12$mSNGEiOT", "--url=${db.address}", "--literal=$${db.address}"]
    uses: [db]
    env:
      HASH: '$2a$12$mSNGEiOT7urQP/Xs10XzPurl5cmVj6tavHRZQUK0jIFXRWFBGmssu'
      PASS: 'su #per''pa"ss`$word\n!&@*'
      KEY: "-----BEGIN KEY-----\nab\ncd\n-----END KEY-----\n"
      UNI: "Grüße 日本 🚀"
      SPACES: "  two  "
      EMPTY: ""
      DOLLARS: "a$$b$$${domain}"
      LIT: "$${HOME}"
  db: {image: example/db:1, user: "999:999", port: 5432, protocol: tcp, health: {command: "pg_isready --host ${domain}", interval: 5s}}
"""
ARRIVES = {
    "HASH": "$2a$12$mSNGEiOT7urQP/Xs10XzPurl5cmVj6tavHRZQUK0jIFXRWFBGmssu",
    "PASS": "su #per'pa\"ss`$word\\n!&@*",
    "KEY": "-----BEGIN KEY-----\nab\ncd\n-----END KEY-----\n",
    "UNI": "Grüße 日本 🚀",
    "SPACES": "  two  ",
    "EMPTY": "",
    "DOLLARS": "a$$b$${domain}",
    "LIT": "${HOME}",
}
SERVES = ("serve", "--hash=$2a$12$mSNGEiOT", "--url=db:5432", "--literal=${db.address}")


def test_02_values_arrive_as_written_and_references_are_replaced_in_commands() -> None:
    here = local(SPECIALS).services
    (slot,) = here["app"].slots
    assert (here["app"].settings.command, slot.env) == (SERVES, ARRIVES)
    assert here["db"].settings.health.command == ("pg_isready", "--host", "localhost")
    there = on_aws(SPECIALS).services
    assert (there["app"].settings.command, there["app"].variants[0].env) == (SERVES, ARRIVES)
    assert there["db"].settings.health.command == ("pg_isready", "--host", "example.com")


@pytest.mark.parametrize(
    ("command", "expected"),
    [
        (
            "[serve, '--to=${db.address}']",
            '${db.address} names "db", which this service does not use\n    add db to services/app/uses',
        ),
        (
            "[serve, '--queue=${QUEUE}']",
            "${QUEUE} names no service; a variable is replaced by a shell alone, and none reads this\n    write [sh, -c, '…'], or $${QUEUE} for the text itself",
        ),
        (
            "[sh, -c, 'serve ${QUEUE:-default} ${dbb.address}']",
            '${dbb.address} names no service; there is no "dbb"\n    did you mean "db"?',
        ),
    ],
)
def test_02_what_a_reference_in_a_command_cannot_be(command: str, expected: str) -> None:
    text = f"services: {{app: {{image: app:1, command: {command}}}, db: {{image: db:1, port: 5432, protocol: tcp}}}}"
    assert problems(text) == [f"services/app/command: {expected}"]
    assert problems_on_aws(text) == [f"services/app/command: {expected}"]


def test_02_a_shell_keeps_its_own_variables() -> None:
    text = """
    services:
      app: {image: app, uses: [db], command: [sh, -c, 'serve "${QUEUE:-x}" $HOME ${db.address} && echo ${f%.*}']}
      db: {image: db, port: 5432, protocol: tcp}
    """
    assert local(text).services["app"].settings.command == (
        "sh",
        "-c",
        'serve "${QUEUE:-x}" $HOME db:5432 && echo ${f%.*}',
    )


# --- 11: a secret is no part of a text -------------------------------------------------------------------------------


def test_11_a_secret_in_a_text_or_a_file() -> None:
    said = "a secret stands neither in a text nor in a file, where it would be plain to read"
    fix = "make the whole value a secret, and name its key: services/app/secrets: {NAME: KEY}"
    text = """
    services:
      app:
        image: example/app
        port: 8000
        env: {URL: "postgres://app:${secrets.db}@db/app"}
        files: {/run/app/gcp.json: {content: "${secrets.gcp}"}}
    """
    assert problems(text) == [
        f"services/app/env/URL: ${{secrets.db}}: {said}\n    {fix}",
        f"services/app/files/run/app/gcp.json: ${{secrets.gcp}}: {said}\n    {fix}",
    ]


# --- 20: no shell reads a command ------------------------------------------------------------------------------------

ALONE = "which only a shell understands, and no shell reads it"


def test_20_a_command_that_only_a_shell_understands() -> None:
    text = """
    services:
      db:
        image: postgres:1
        port: 5432
        protocol: tcp
        health: {command: "pg_isready -U $POSTGRES_USER || exit 1"}
      worker: {image: worker:1, command: "rake db:migrate && sidekiq -q ${QUEUE}"}
    """
    or_quotes = "or put it in single quotes if the program is to get it as it is"
    expected = [
        f"services/db/health/command: has \"||\" in it, {ALONE}\n    write [sh, -c, 'pg_isready -U $POSTGRES_USER || exit 1'], {or_quotes}",
        f"services/worker/command: has \"&&\" in it, {ALONE}\n    write [sh, -c, 'rake db:migrate && sidekiq -q ${{QUEUE}}'], {or_quotes}",
    ]
    assert problems(text) == expected
    assert problems_on_aws(text) == expected


@pytest.mark.parametrize(
    ("command", "word"),
    [
        ("a && b", "&&"),
        ("a&&b", "&&"),
        ("a || exit 1", "||"),
        ("a | b", "|"),
        ("cd /app; run", ";"),
        ("a > /tmp/log", ">"),
        ("a 2>&1", "2>"),
        ("a < /tmp/in", "<"),
        ("sleep 5 &", "&"),
        ("a $NAME", "$NAME"),
        ('a "$NAME"', "$NAME"),
        ("a ${NAME}", "${NAME}"),
        ("a ${NAME:-x}", "${NAME:-x}"),
        ("a $(id -u)", "$(id -u)"),
        ("a `id`", "`"),
        ("sh -c echo $NAME", "$NAME"),
    ],
)
def test_20_text_for_a_shell_is_refused(command: str, word: str) -> None:
    (problem,) = problems(f"services: {{a: {{image: a, command: {command!r}}}}}")
    assert problem.startswith(f'services/a/command: has "{word}" in it, {ALONE}\n    ')


def test_20_a_variable_set_before_the_program() -> None:
    assert problems("services: {a: {image: a, command: RAILS_ENV=production bundle exec puma}}") == [
        'services/a/command: sets "RAILS_ENV", as only a shell does, and no shell reads it\n    write RAILS_ENV under env, and begin with the program'
    ]


def test_20_compose_writes_a_variable_of_a_shell_with_two_dollars() -> None:
    (problem,) = problems("services: {a: {image: a, command: a $$NAME}}")
    assert "write [sh, -c, 'a $NAME'], or" in problem


@pytest.mark.parametrize(
    ("command", "word", "fix"),
    [
        ("[CMD, redis-cli, ping]", "CMD", "begin with the program"),
        ("[CMD-SHELL, redis-cli ping]", "CMD-SHELL", "write [sh, -c, '…']"),
        ("CMD-SHELL redis-cli ping", "CMD-SHELL", "write [sh, -c, '…']"),
    ],
)
def test_20_a_word_of_dockers_is_no_program(command: str, word: str, fix: str) -> None:
    assert problems(f"services: {{a: {{image: a, health: {{command: {command}}}}}}}") == [
        f"services/a/health/command: begins with {word}, which is no program but Docker's own word\n    {fix}"
    ]


@pytest.mark.parametrize("item", ["&&", "||", "$NAME"])
def test_20_an_item_for_a_shell_is_refused(item: str) -> None:
    assert problems(f"services: {{a: {{image: a, command: [a, '{item}', b]}}}}") == [
        f"services/a/command: has \"{item}\" for an item, {ALONE}\n    write [sh, -c, '…'], with all of it in one text"
    ]


@pytest.mark.parametrize(
    ("command", "expected"),
    [
        ("\"nginx -g 'daemon off;'\"", ["nginx", "-g", "daemon off;"]),
        ("\"sh -c 'a && b > $NAME'\"", ["sh", "-c", "a && b > $NAME"]),
        ("'sh -c \"a && b $NAME\"'", ["sh", "-c", "a && b $NAME"]),
        ("[/bin/bash, -ec, 'a | b $NAME']", ["/bin/bash", "-ec", "a | b $NAME"]),
        ("['-c', 'echo $NAME']", ["-c", "echo $NAME"]),
        ("'bash -o pipefail -c \"a | b $NAME\"'", ["bash", "-o", "pipefail", "-c", "a | b $NAME"]),
        ("'tini -- sh -c \"exec a $NAME\"'", ["tini", "--", "sh", "-c", "exec a $NAME"]),
        ("[timeout, '5', sh, -c, 'curl ${URL}']", ["timeout", "5", "sh", "-c", "curl ${URL}"]),
        ("[tini, --, /bin/sh, -ec, $NAME]", ["tini", "--", "/bin/sh", "-ec", "$NAME"]),
        ("[sort, -t, '|']", ["sort", "-t", "|"]),
        ("[find, ., -exec, rm, '{}', ';']", ["find", ".", "-exec", "rm", "{}", ";"]),
        ("'grep a|b http://x/?a=1&b=2 --x<y -->'", ["grep", "a|b", "http://x/?a=1&b=2", "--x<y", "-->"]),
        (r"'echo \$NAME $${NAME}'", ["echo", "$NAME", "${NAME}"]),
        ("[serve, --hash=$2a$12$mSNGEiOT]", ["serve", "--hash=$2a$12$mSNGEiOT"]),
    ],
)
def test_20_what_needs_no_shell_or_gets_one_stays(command: str, expected: list[str]) -> None:
    assert local(f"services: {{a: {{image: a, command: {command}}}}}").services["a"].settings.command == tuple(expected)


# --- 06: keys of other tools, each with what stands in its place -----------------------------------------------------

KEYS_OF_OTHERS = """
services:
  a:
    image: example/a:1
    port: 8000
    shm_size: 1GiB
    init: false
    entrypoint: ["/bin/sh"]
    hostname: a
    volumes: [/a, /b]
    timeout: 10m
    restart: "no"
    migrate: rails db:migrate
    cron: "* * * * *"
    auth: x
    depends_on: [b]
    health: {path: /, port: 9000, host: x.com, expect: 401}
    env: {discovery.type: single-node}
"""


def test_06_a_key_of_another_tool_says_what_to_write_here() -> None:
    found = problems(KEYS_OF_OTHERS)
    assert found == [
        "services/a/health/port: unknown key; health is asked of the service's own port\n    remove it",
        "services/a/health/host: unknown key; it is the first route's host\n    remove it",
        "services/a/health/expect: unknown key; an answer of 200 to 399 is healthy\n    remove it, and name a path that needs no login",
        'services/a/env/discovery.type: the name should be a variable\'s name: letters, digits and _, no digit first, got "discovery.type"',
        "services/a/shm_size: unknown key; there is no key for it yet\n    remove it",
        "services/a/init: unknown key; the first process of every container is an init that reaps and passes signals on\n    remove it; images with s6-overlay, which must be the first themselves, do not run yet",
        "services/a/entrypoint: unknown key; the image's own stays, and command follows it\n    build an image with that ENTRYPOINT",
        "services/a/hostname: unknown key; it is the container's own; with a volume it is its replica's name, such as db-1\n    remove it: others reach a service by its name",
        "services/a/volumes: unknown key; a service has one volume\n    write volume: /data; folders that need not last are writable: [/app/cache]",
        "services/a/timeout: unknown key; every request has 60 s without a byte, whichever service it is for\n    remove it",
        "services/a/restart: unknown key; what ends is always started again\n    remove it",
        "services/a/migrate: unknown key; there is no key yet for what runs before a release\n    use `quayside exec NAME -- COMMAND`",
        "services/a/cron: unknown key; there is no key yet for what runs at set times\n    run a cron daemon such as supercronic in a service",
        "services/a/auth: unknown key; there is no key yet for logins before a route\n    let the application ask",
        "services/a/depends_on: unknown key; who may reach whom, and what is created first, are two keys\n    write uses: [db], or after: [db]",
    ]
    assert problems_on_aws(KEYS_OF_OTHERS) == found


# --- 21: gRPC needs HTTP/2 up to the replica -------------------------------------------------------------------------


@pytest.mark.parametrize("protocol", ["grpc", "h2", "h2c", "HTTP2"])
def test_21_a_protocol_that_is_not_there_yet(protocol: str) -> None:
    text = f"services: {{api: {{image: example/api:1, port: 50051, protocol: {protocol}}}}}"
    expected = [
        f'services/api/protocol: should be http or tcp, got "{protocol}"\n    write protocol: tcp, which carries '
        "gRPC between services of the stack; it cannot have a public route yet, as the proxy in front asks replicas by "
        "HTTP/1.1 alone"
    ]
    assert problems(text) == expected
    assert problems_on_aws(text) == expected


# --- 01: one path, one mount -----------------------------------------------------------------------------------------

MOUNTED_TWICE = """
services:
  db:
    image: example/redis:1
    user: "999:999"
    port: 6379
    protocol: tcp
    volume: /data
    files: {/data/redis.conf: {content: "appendonly yes\\n"}}
    health: {interval: 5s}
  app:
    image: example/app:1
    port: 8080
    writable: [/etc/app]
    files: {/etc/app/app.conf: {content: "a=1\\n"}}
  job:
    image: example/job:1
    files: {/tmp/seed.txt: {content: "x\\n"}}
"""


def test_01_a_file_whose_folder_is_mounted_already() -> None:
    elsewhere = "put the file into another folder"
    expected = [
        f"services/db/files/data/redis.conf: its folder /data is the volume\n    {elsewhere}",
        f"services/app/files/etc/app/app.conf: its folder /etc/app is writable, and starts empty\n    {elsewhere}",
        f"services/job/files/tmp/seed.txt: its folder /tmp starts empty with every container\n    {elsewhere}",
    ]
    assert problems(MOUNTED_TWICE) == expected
    assert problems_on_aws(MOUNTED_TWICE) == expected


@pytest.mark.parametrize(
    ("keys", "expected"),
    [
        ("volume: /tmp", "volume: /tmp is writable in every container, and gone with it\n    name another folder"),
        (
            "volume: /a, writable: [/a]",
            "writable/0: names /a, which is the volume\n    leave it out: a volume is writable",
        ),
        (
            "writable: [/proc/x]",
            "writable/0: /proc/x is the system's own, and nothing can be put in its place\n    name another folder",
        ),
        (
            "writable: [/dev]",
            "writable/0: /dev is the system's own, and nothing can be put in its place\n    name another folder",
        ),
        ("volume: /etc/hosts", "volume: /etc/hosts is a file that the engine writes itself\n    name another folder"),
        (
            "files: {/sbin/x: {content: y}}",
            "files/sbin/x: /sbin is the system's own, and nothing can be put in its place\n    name another folder",
        ),
        (
            "files: {/etc/hosts: {content: y}}",
            "files/etc/hosts: is a file that the engine writes itself\n    remove it",
        ),
        (
            "volume: /a, files: {/a: {content: y}}",
            "files/a: is a folder already (volume or writable)\n    name a file inside another folder",
        ),
        (
            "volume: /b/a/c, files: {/b/a: {content: y}}",
            "files/b/a: cannot be a file: /b/a/c is a folder of this service\n    give one another name",
        ),
        (
            "files: {/b/a: {content: y}, /b/a/c: {content: z}}",
            "files/b/a: cannot be a file: /b/a is a folder of this service\n    give one another name",
        ),
        (
            "command: [redis-server, --save, '']",
            "command/2: is empty, which local stacks cannot pass\n    let a shell pass it: [sh, -c, 'exec redis-server --save \"\"']",
        ),
    ],
)
def test_01_what_no_engine_would_start(keys: str, expected: str) -> None:
    assert problems(f"services: {{a: {{image: a, {keys}}}}}") == [f"services/a/{expected}"]


# --- 05: a health check is asked as a request would be ---------------------------------------------------------------


@pytest.mark.parametrize(
    ("routes", "host"),
    [
        ('["*.{domain}"]', "tenants.example.test"),
        ('["*.shops.{domain}", "*.{domain}"]', "tenants.shops.example.test"),
        ('["*.{domain}", "www.{domain}"]', "www.example.test"),
        ('["{domain}/app"]', "example.test"),
        ("[]", "tenants"),
    ],
)
def test_05_the_host_of_a_health_check_is_one_of_a_route(routes: str, host: str) -> None:
    text = f"services: {{tenants: {{image: example/tenants, port: 8000, routes: {routes}, health: /up}}}}"
    planned = plan(stack(text, {**LOCAL, "domain": "example.test"}), {})
    assert planned.services["tenants"].health_host == host
    routes_there = planned.routes
    assert not routes_there or any(route.matches(host, "/app") for route in routes_there)


# --- 16: a mount inside a folder of files, which is read-only --------------------------------------------------------

NESTED = """
services:
  app:
    image: example/app:1
    user: "1000:1000"
    port: 8000
    files: {/app/config.toml: {content: "a = 1\\n"}, /app/more/x: {content: ""}}
    volume: /app/uploads
    writable: [/app/cache/x, /var/cache]
"""


def test_16_folders_are_made_where_something_is_mounted_inside_a_read_only_one() -> None:
    (files,) = local(NESTED).services["app"].files.values()
    assert files.inner == ["/app/cache/x", "/app/more", "/app/uploads"]
    service = on_aws(NESTED).services["app"]
    assert inner_folders(service.settings) == files.inner


# --- 23: a broker keeps its data under the name of its host ----------------------------------------------------------

BROKER = (
    'services: {mq: {image: example/rabbitmq:1, user: "999:999", port: 5672, protocol: tcp, volume: /var/lib/rabbitmq}}'
)


def test_23_on_aws_a_task_has_a_name_of_its_own() -> None:
    assert problems_on_aws(BROKER) == [
        "services/mq/volume: RabbitMQ keeps its data under the name of its host, which on aws is another with each task\n"
        "    set services/mq/env: {RABBITMQ_NODENAME: rabbit@localhost}"
    ]
    on_aws(BROKER.replace("volume:", "env: {RABBITMQ_NODENAME: rabbit@localhost}, volume:"))


# --- 28: services of one image with a volume each; and 21: what looks like gRPC --------------------------------------


def told(services: str) -> list[str]:
    return [note.partition(":")[0] for note in notes(stack(services, LOCAL))]


def test_28_two_volumes_at_one_path_of_one_image_are_told() -> None:
    text = """
    services:
      web: {image: "acme/web:1", port: 3000, volume: /app/uploads}
      worker: {image: "acme/web:2", command: [worker], volume: /app/uploads}
      cache: {image: redis, volume: /data}
      queue: {image: "other/redis", volume: /data}
    """
    (note,) = notes(stack(text, LOCAL))
    assert note == (
        "services/web/volume: web, worker run acme/web, and each has a volume of its own at /app/uploads: none sees the "
        "files of another. Where they are to share files, let one of them keep those, or an object store"
    )


def test_21_what_looks_like_grpc_on_a_route_is_told() -> None:
    assert told("services: {api: {image: example/grpc, port: 9000}}") == ["services/api/protocol"]
    assert told("services: {grpc: {image: example/api, port: 50051}}") == ["services/grpc/protocol"]
    assert told("services: {api: {image: example/api, port: 50051}}") == ["services/api/protocol"]
    assert not told("services: {api: {image: example/api, port: 50051, protocol: tcp}}")
    assert not told(
        "services: {api: {image: example/grpcurls, port: 9000}, hidden: {image: x, port: 50051, routes: []}}"
    )


# --- 25: an image that was built anew under its tag ------------------------------------------------------------------


def test_25_a_tag_that_was_built_anew_is_another_container_with_other_files() -> None:
    text = "services: {web: {image: 'acme/web:dev', port: 8000, files: {/app/x: {content: y}}}, other: {image: other}}"
    first, second = (plan(stack(text, LOCAL), {}, {"acme/web:dev": f"sha256:{id_}"}).services for id_ in "ab")
    assert [service["web"].slots[0].build for service in (first, second)] == ["sha256:a", "sha256:b"]
    digests = [service["web"].files["acme/web:dev"].digest for service in (first, second, local(text).services)]
    assert len(set(digests)) == 3
    assert first["other"] == second["other"]


def test_25_ids_are_those_of_the_engine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    docker = tmp_path / "docker"
    docker.write_text(
        '#!/bin/sh\necho "$@" >"$0.asked"\necho "sha256:a acme/web:dev acme/web:2"\necho "sha256:b redis:latest"\nexit 1\n'
    )
    docker.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    text = f"""
    services:
      web: {{image: "acme/web:dev", port: 80, canary: {{image: "acme/web:2", share: 10}}}}
      redis: {{image: docker.io/library/redis}}
      gone: {{image: gone}}
      fixed: {{image: fixed@{DIGEST}}}
    """
    assert builds(stack(text, LOCAL)) == {
        "acme/web:dev": "sha256:a",
        "acme/web:2": "sha256:a",
        "docker.io/library/redis": "sha256:b",
    }
    assert "fixed" not in Path(f"{docker}.asked").read_text()
    monkeypatch.setenv("PATH", "/nowhere")
    assert builds(stack(text, LOCAL)) == {}
