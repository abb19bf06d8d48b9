"""The stack of the design, as people read it first, rehearsed word for word."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from rehearsal import Report, rehearse

REPOSITORY = Path(__file__).parents[2]
DIGEST = "sha256:" + "0f" * 32
SERVICES = """\
services:
  web:
    image: ghcr.io/acme/web               # the stack adds the digest; outside `local` a tag is refused
    port: 8080
    routes: ["{domain}", "www.{domain}", "{domain}/app"]    # none: <name>.<domain>; [] for no public route
    cpu: 0.25                             # vCPU
    memory: 512MiB                        # hard limit; units are required
    replicas: 2                           # or {min, max, cpu: percent, requests: per replica per minute, schedule}
    health: /healthz
    uses: [cart, session]                 # whom it may reach, and whose ${…} it may name
    env: {CART: "${cart.url}", REDIS: "${session.address}"}
    secrets: {STRIPE_KEY: stripe}         # `pulumi config set --secret --path secrets.stripe`, or an existing ARN
    sticky: 1h
    drain: 30s
  cart:
    {image: ghcr.io/acme/cart, port: 8080, routes: ["{domain}/cart"], memory: 256MiB, replicas: 2, uses: [session]}
  session: {image: redis, port: 6379, protocol: tcp, memory: 256MiB, volume: /data}
"""
PROD = f"""\
config:
  aws:region: eu-central-1
  quayside:cloud: aws                       # aws | hetzner | local
  quayside:domain: example.com
  quayside:secrets: {{stripe: {{secure: "v1:AAAA:BBBB"}}}}
  quayside:capacity:
    zones: 3
    instances: {{types: [m7g.large, m6g.large], min: 2, max: 12, spot: 70}}   # spot: percent above the minimum
    fargate: {{spot: 50}}                     # for services that say `on: fargate`
  quayside:services:
    web:
      image: ghcr.io/acme/web@{DIGEST}
      replicas: {{min: 3, max: 30, cpu: 60, requests: 800}}
      rollout: {{strategy: canary, percent: 10, bake: 10m}}
    cart: {{image: ghcr.io/acme/cart@{DIGEST}}}
    session: {{image: redis@{DIGEST}, volume: null}}
"""


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> Report:
    root = tmp_path_factory.mktemp("design")
    (root / "Pulumi.yaml").write_text("name: quayside\nruntime: python\n")
    (root / "__main__.py").write_text((REPOSITORY / "__main__.py").read_text())
    (root / "services.yaml").write_text(SERVICES)
    (root / "Pulumi.prod.yaml").write_text(PROD)
    return rehearse("prod", root)


def inputs(report: Report, type_: str, name: str) -> dict[str, Any]:
    (found,) = (f["inputs"] for f in report.resources if f["type"] == type_ and f["name"] == name)
    return found


def test_it_rehearses_without_a_problem_and_says_what_should_be_known(report: Report) -> None:
    assert report.problems == ()
    session, web, secret = report.notes
    assert session.startswith("services/session/health: there is no command, so on aws a task counts as healthy when")
    assert web.startswith("services/web/sticky: in a canary rollout visitors stay with the old version")
    assert secret.startswith("1 secret value is shown by a placeholder")


def test_web_is_one_rule_that_ecs_moves(report: Report) -> None:
    """`{domain}/app` leads where `{domain}` leads anyway, so one rule says all of web's routes."""
    rule = inputs(report, "aws:lb/listenerRule:ListenerRule", "1:example.com/:web")
    assert rule["conditions"] == [{"hostHeader": {"values": ["example.com", "www.example.com"]}}]
    (action,) = rule["actions"]
    assert [group["weight"] for group in action["forward"]["targetGroups"]] == [100, 0]
    assert action["forward"]["stickiness"] == {"enabled": True, "duration": 3600}
    assert [(row["host"], row["path"], row["service"]) for row in report.routes] == [
        ("example.com", "/cart", "cart"),
        ("example.com, www.example.com", "/", "web"),
    ]


def test_requests_are_counted_in_both_colours(report: Report) -> None:
    policy = inputs(report, "aws:appautoscaling/policy:Policy", "web-requests")
    tracking = policy["targetTrackingScalingPolicyConfiguration"]
    assert tracking["targetValue"] == 800
    blue, green, total = tracking["customizedMetricSpecification"]["metrics"]
    assert total["expression"] == "FILL(group0, 0) + FILL(group1, 0)"
    assert blue["metricStat"] != green["metricStat"]
    assert (blue["returnData"], green["returnData"], total["returnData"]) == (False, False, True)


def test_names_mean_what_they_mean_on_docker_hosts(report: Report) -> None:
    definition = inputs(report, "aws:ecs/taskDefinition:TaskDefinition", "web")
    assert '{"name":"CART","value":"http://cart"}' in definition["containerDefinitions"]
    assert '{"name":"REDIS","value":"session:6379"}' in definition["containerDefinitions"]
    for service, port in (("cart", 80), ("session", 6379)):
        connect = inputs(report, "aws:ecs/service:Service", service)["serviceConnectConfiguration"]
        assert connect["services"][0]["clientAlias"] == [{"dnsName": service, "port": port}]
