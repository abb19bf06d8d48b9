"""Planning on AWS, by exact values and messages: network, priorities, balancers, security groups, times, images."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

import pytest

from planning.aws.balancers import balancers
from planning.aws.images import image
from planning.aws.model import AwsImage, BalancerPlan, Certificate, HealthRule, Rule, SecurityPlan, TargetGroup, Zone
from planning.aws.names import short
from planning.aws.network import network, zone_letters
from planning.aws.plan import plan
from planning.aws.priorities import EXACT, LABELS, LAST, WILDCARD, Claim, assign, band, slot
from planning.aws.schedule import aws_cron
from planning.aws.security import security, who
from planning.routes import Route
from settings.problems import ConfigError, Problem
from settings.stack import Stack

DIGEST = "sha256:" + "a" * 64
WEB = {"image": f"ghcr.io/acme/web@{DIGEST}", "port": 8080}
TCP = {"image": f"redis@{DIGEST}", "port": 6379, "protocol": "tcp"}
WORKER = {"image": f"ghcr.io/acme/jobs@{DIGEST}"}
POOL = {"instances": {"types": ("m7g.large",), "max": 3}}
NO_NAT = {"nat": "none"}
NATIVE = {"rollout": {"strategy": "canary"}}


def stack(services: Mapping[str, Any] | None = None, **values: Any) -> Stack:
    given = {"project": "shop", "name": "prod", "cloud": "aws", "domain": "example.com", "region": "eu-central-1"}
    return Stack.model_validate({**given, "services": services or {}, **values})


def planned(services: Mapping[str, Any], **values: Any) -> Sequence[BalancerPlan]:
    plans, problems = balancers(stack(services, **values))
    assert problems == []
    return plans


def refused(services: Mapping[str, Any], **values: Any) -> list[str]:
    return [str(problem) for problem in balancers(stack(services, **values))[1]]


def secured(services: Mapping[str, Any], **values: Any) -> tuple[SecurityPlan, list[Problem]]:
    given = stack(services, **values)
    return security(given, balancers(given)[0])


def rows(services: Mapping[str, Any], **values: Any) -> list[str]:
    plan, problems = secured(services, **values)
    assert problems == []
    return [f"{row['from']} → {row['to']} {row['address']}: {row['why']}" for row in who(plan)]


# --- names ------------------------------------------------------------------------------------------------------------


def test_short_names_leave_room_for_what_pulumi_adds() -> None:
    assert short("web") == "web"
    assert short("a" * 24) == "a" * 24
    assert short("a-very-long-name-of-a-service-indeed") == "a-very-long-name-177e34"  # no hyphen twice
    assert short("a-very-long-name-of-a-service-indeed") != short("a-very-long-name-of-a-service-in-fact")
    assert len(short("x" * 100)) + len("-1234567") == 32


# --- network ----------------------------------------------------------------------------------------------------------


def test_the_layout_of_a_network() -> None:
    """Golden: a subnet cannot be moved while something is in it, so whatever changes these ranges breaks stacks."""
    assert network(stack(capacity={"zones": 3})).zones == [
        Zone(letter="a", name="eu-central-1a", private="10.0.0.0/20", public="10.0.16.0/22"),
        Zone(letter="b", name="eu-central-1b", private="10.0.32.0/20", public="10.0.48.0/22"),
        Zone(letter="c", name="eu-central-1c", private="10.0.64.0/20", public="10.0.80.0/22"),
    ]
    small = stack(network={"range": "10.9.240.0/20"}, capacity={"zones": ("h", "a")})
    assert network(small).zones == [
        Zone(letter="h", name="eu-central-1h", private="10.9.254.0/24", public="10.9.255.0/26"),
        Zone(letter="a", name="eu-central-1a", private="10.9.240.0/24", public="10.9.241.0/26"),
    ]


def test_some_regions_have_other_zones() -> None:
    assert zone_letters("eu-central-1", 2) == ("a", "b")
    assert zone_letters("ca-central-1", 3) == ("a", "b", "d")
    assert zone_letters("ap-northeast-1", 2) == ("a", "c")
    assert zone_letters("us-west-1", ("b", "c")) == ("b", "c")
    with pytest.raises(ConfigError) as caught:
        network(stack(region="us-west-1", capacity={"zones": 3}))
    assert [str(problem) for problem in caught.value.problems] == [
        "quayside:capacity/zones: us-west-1 gives an account 2 zones, got 3\n    set zones to 2"
    ]


def test_ways_out() -> None:
    assert network(stack()).nat == {"a": "a", "b": "a"}
    assert network(stack(network={"nat": "per-zone"})).nat == {"a": "a", "b": "b"}
    assert network(stack(network=NO_NAT)).nat == {}
    assert network(stack()).endpoints == ()
    assert network(stack()).flow_logs is None
    assert network(stack(network={"flow_logs": 7 * 86400})).flow_logs == 7


def test_endpoints_are_those_that_something_needs() -> None:
    least = ("ecr.api", "ecr.dkr", "logs", "secretsmanager")
    parameter = {"A": "arn:aws:ssm:eu-central-1:123456789012:parameter/ssm"}
    secret = {"A": "arn:aws:secretsmanager:eu-central-1:123456789012:secret:ssm"}
    fargate = {**WEB, "on": "fargate"}
    cases: list[tuple[dict[str, Any], dict[str, Any], tuple[str, ...]]] = [
        ({"web": fargate}, {}, ()),
        ({"web": WEB}, {"capacity": POOL}, ("ecs", "ecs-agent", "ecs-telemetry")),
        ({"web": {**fargate, "uses": ("cart",)}, "cart": fargate}, {}, ("ecs-agent",)),
        ({"web": {**fargate, "exec": True}}, {}, ("kms", "ssmmessages")),
        ({"web": {**fargate, "secrets": parameter}}, {}, ("ssm",)),
        ({"web": {**fargate, "secrets": secret}}, {}, ()),
    ]
    for services, values, more in cases:
        assert network(stack(services, network=NO_NAT, **values)).endpoints == (*least, *more)


# --- priorities -------------------------------------------------------------------------------------------------------


def claim(host: str, path: str = "/", service: str = "web", pin: int | None = None) -> Claim:
    pattern = host.replace("example.com", "{domain}") + path.rstrip("/")
    return Claim(route=Route(host=host, path=path, service=service), pattern=pattern, pin=pin)


def clashes(*claims: Claim) -> list[str]:
    return [str(problem) for problem in assign(claims)[1]]


def test_bands_fill_the_range_of_priorities() -> None:
    routes = [Route(host="a.b", path="/" + "/".join("x" * depth), service="") for depth in (6, 5, 4, 3, 2, 1, 0)]
    for labels in LABELS:
        host = "*." + ".".join("x" * labels)
        routes += [Route(host=host, path="/" + "/".join("x" * depth), service="") for depth in (3, 2, 1, 0)]
    kinds = (True, False)  # what ECS moves comes first, whichever route of the band it is
    numbers = [number for route in routes for native in kinds for number in band(route, native=native) or ()]
    assert numbers == list(range(1, LAST + 1))
    assert (sum(EXACT), sum(WILDCARD)) == (45000, 1250)


def test_the_priorities_of_routes() -> None:
    """Golden: other numbers would make every stack's rules change places at once."""
    found = {
        (host, path): slot(Route(host=host, path=path, service="web"))
        for host, path in [
            ("example.com", "/"), ("example.com", "/cart"), ("example.com", "/a/b"),
            ("example.com", "/a/b/c/d/e/f"), ("*.example.com", "/"), ("*.eu.example.com", "/x"),
        ]
    }  # fmt: skip
    assert list(found.values()) == [40785, 17312, 11487, 244, 49638, 47893]


def test_two_routes_on_one_priority() -> None:
    found = clashes(claim("example.com", "/p155"), claim("example.com", "/p207", "cart"))
    assert found == [
        'services/cart/priority: "{domain}/p207" and "{domain}/p155" of web both fall on priority 19540\n'
        '    pin one of them: services/cart/priority: {"{domain}/p207": 19541}'
    ]
    assert clashes(claim("example.com", "/p155"), claim("example.com", "/p207", pin=19541)) == []


def test_a_pin_on_a_used_priority() -> None:
    assert clashes(claim("example.com"), claim("www.example.com", service="cart", pin=40785)) == [
        'services/cart/priority/www.{domain}: 40785 is the priority of "{domain}" of web\n    write 27970'
    ]


def test_a_pin_that_breaks_the_order() -> None:
    assert clashes(claim("example.com", pin=100), claim("example.com", "/cart", "cart")) == [
        'services/web/priority/{domain}: 100 is asked before "{domain}/cart" of cart at 17312, '
        "which is more specific and matches the same requests\n    write 40785"
    ]
    assert clashes(claim("example.com"), claim("example.com", "/cart", pin=41000)) == [
        'services/web/priority/{domain}/cart: 41000 is asked after "{domain}" at 40785, '
        "which is less specific and matches the same requests\n    write 17312"
    ]
    assert clashes(claim("*.example.com", "/a/b", pin=5), claim("a.example.com")) == [
        'services/web/priority/*.{domain}/a/b: 5 is asked before "a.{domain}" at 34806, '
        "which is more specific and matches the same requests\n    write 49066"
    ]
    assert clashes(claim("example.com", pin=5), claim("other.org", "/cart", pin=6), claim("*.eu.example.com")) == []


def test_of_two_pins_in_the_wrong_order_one_is_told() -> None:
    assert len(clashes(claim("example.com", pin=5), claim("example.com", "/cart", pin=6))) == 1


def test_no_number_between_pins() -> None:
    assert clashes(claim("e.org", "/a/b", pin=7), claim("e.org", "/a", pin=9), claim("e.org", pin=8)) == [
        'services/web/priority/e.org: 8 is asked before "e.org/a" at 9, which is more specific and matches the same '
        "requests\n    write 33655"
    ]
    assert clashes(claim("e.org", "/a/b", pin=8), claim("e.org", "/a", pin=8), claim("e.org", pin=9)) == [
        'services/web/priority/e.org/a/b: 8 is the priority of "e.org/a"\n    write 1'
    ]
    assert clashes(claim("e.org", "/a/b", pin=1), claim("e.org", "/a", pin=1), claim("e.org", pin=2)) == [
        'services/web/priority/e.org/a/b: 1 is the priority of "e.org/a"\n'
        "    no number is free between its neighbours: pin those as well"
    ]


def test_what_no_band_is_kept_for_wants_a_pin() -> None:
    assert clashes(claim("example.com", "/1/2/3/4/5/6/7"), claim("example.com", "/1/2/3/4/5/6")) == [
        'services/web/priority: "{domain}/1/2/3/4/5/6/7" has no priority of its own: '
        "it has 7 parts in its path, and up to 6 have one\n"
        '    pin it: services/web/priority: {"{domain}/1/2/3/4/5/6/7": 70}'
    ]
    assert clashes(claim("*.test")) == [
        'services/web/priority: "*.test" has no priority of its own: it has 1 labels behind its *, and 2–5 have one\n'
        '    pin it: services/web/priority: {"*.test": 49536}'
    ]
    assert clashes(claim("*.test", pin=49536)) == []


# --- balancers --------------------------------------------------------------------------------------------------------


def test_what_is_behind_a_balancer() -> None:
    web = {**WEB, "routes": ("{domain}", "{domain}/app", "*.other.org")}
    (plan,) = planned({"web": web, "inner": {**WEB, "routes": ()}, "session": TCP, "jobs": WORKER})
    assert plan.name == "balancer-1"
    assert plan.target_groups == [
        TargetGroup(name="inner", service="inner", role="primary", target_type="ip"),
        TargetGroup(name="web", service="web", role="primary", target_type="ip"),
    ]
    common: dict[str, Any] = {"service": "web", "forward": {"web": 100}, "native": False}
    assert plan.rules == [
        Rule(
            name="1:example.com/app",
            priority=14003,
            hosts=["example.com"],
            paths=("/app", "/app/*"),
            **common,
        ),
        Rule(name="1:example.com/", priority=40785, hosts=["example.com"], paths=(), **common),
        Rule(name="1:*.other.org/", priority=49794, hosts=["*.other.org"], paths=(), **common),
    ]
    assert plan.health_rules == [
        HealthRule(name="1:health/6904", priority=6904, target_groups=["inner"]),
        HealthRule(name="1:health/11226", priority=11226, target_groups=["web"]),
    ]
    assert plan.hosts == ["*.other.org", "example.com"]


def test_a_route_keeps_its_rule_when_it_changes_hands() -> None:
    before, after = ({name: {**WEB, "routes": ("{domain}/a",)}} for name in ("web", "cart"))
    (old,), (new,) = planned(before)[0].rules, planned(after)[0].rules
    assert (old.name, old.priority, old.service) == (new.name, new.priority, "web")


def test_target_groups_that_share_a_number_share_their_rule() -> None:
    """Or one of them would have to move when the other comes."""
    (plan,) = planned({name: {**WEB, "routes": ()} for name in ("s346", "s352")})
    assert plan.health_rules == [HealthRule(name="1:health/35797", priority=35797, target_groups=["s346", "s352"])]


def test_no_http_service_no_balancer() -> None:
    assert planned({"session": TCP, "jobs": WORKER}) == []


def test_a_canary_shares_every_route() -> None:
    web = {**WEB, "routes": ("{domain}", "{domain}/a"), "canary": {"image": "web:2", "share": 10}}
    (plan,) = planned({"web": web})
    assert [group.role for group in plan.target_groups] == ["primary", "canary"]
    assert [dict(rule.forward) for rule in plan.rules] == [{"web": 90, "web-canary": 10}] * 2
    assert sorted(name for rule in plan.health_rules for name in rule.target_groups) == ["web", "web-canary"]


def test_a_native_rollout_has_one_rule_and_two_target_groups() -> None:
    (plan,) = planned({"web": {**WEB, **NATIVE, "routes": ("{domain}/a", "www.{domain}/a", "o.org/a")}})
    assert plan.rules == [
        Rule(
            name="1:example.com/a:web",
            priority=slot(Route(host="example.com", path="/a", service="web"), native=True),
            hosts=["example.com", "www.example.com", "o.org"],
            paths=("/a", "/a/*"),
            service="web",
            forward={"web": 100, "web-alt": 0},
            native=True,
        )
    ]
    assert [group.role for group in plan.target_groups] == ["primary", "alternate"]
    # Both colours are on a listener from the start, also when the public rule still leads to what was there before.
    assert [rule.target_groups for rule in plan.health_rules] == [["web-alt"], ["web"]]


def test_a_route_that_leads_where_its_requests_go_anyway_needs_no_rule_of_its_own() -> None:
    web = {**WEB, **NATIVE, "routes": ("{domain}", "www.{domain}", "{domain}/a/b")}
    (rule,) = balancers(stack({"web": web}))[0][0].rules
    assert (rule.hosts, rule.paths) == (["example.com", "www.example.com"], ())
    # With another service between, it does not lead there.
    between = {"web": web, "other": {**WEB, "routes": ("{domain}/a",)}}
    assert [problem.path for problem in balancers(stack(between))[1]] == ["services/web/routes"]


def test_native_rollouts_that_one_rule_cannot_carry() -> None:
    def told(*routes: str, **values: Any) -> list[str]:
        return refused({"web": {**WEB, **NATIVE, "routes": routes, **values}})

    assert told() == [
        "services/web/rollout/strategy: canary moves the requests of a route, and this service has none\n"
        "    add a route, or set services/web/rollout/strategy to rolling"
    ]
    assert told("{domain}/a", "{domain}/b") == [
        "services/web/routes: canary needs one listener rule, which ECS moves; 2 paths need 2: /a, /b\n"
        "    keep one path here and give the others to another service, "
        "or set services/web/rollout/strategy to rolling"
    ]
    assert told("a.org/a", "b.org/a", "c.org/a", "d.org/a") == [
        "services/web/routes: canary needs one listener rule, which ECS moves; it holds 5 values, "
        "and 4 hosts and the 2 values of /a are 6\n"
        "    keep 3 hosts, or set services/web/rollout/strategy to rolling"
    ]
    assert told("a.org", "b.org", "c.org", "d.org", "e.org") == []
    assert told("{domain}", "*.{domain}") == [
        "services/web/routes: canary needs one listener rule, which ECS moves, and one priority cannot be right for "
        "example.com, *.example.com: exact hosts come before those with *, and longer ones before shorter\n"
        "    keep hosts of one kind here, or set services/web/rollout/strategy to rolling"
    ]
    assert told("a.org", "b.org", priority={"b.org": 40000}) == [
        'services/web/priority/b.org: is part of the rule of "a.org"\n    pin "a.org", or list it first'
    ]


def test_target_types_follow_the_network() -> None:
    services = {mode: {**WEB, "network": mode, "routes": ()} for mode in ("own", "awsvpc", "bridge", "host")}
    (plan,) = planned(services)
    assert {group.service: group.target_type for group in plan.target_groups} == {
        "own": "ip", "awsvpc": "ip", "bridge": "instance", "host": "instance",
    }  # fmt: skip


def test_certificates() -> None:
    web = {**WEB, "routes": ("www.{domain}", "x.org", "*.x.org", "a.b.{domain}", "*.z.org")}
    (plan,) = planned({"web": web})
    assert plan.certificates == [
        Certificate(name="certificate-example.com", domain="example.com", alternatives=("*.example.com",)),
        Certificate(name="certificate-a.b.example.com", domain="a.b.example.com", alternatives=()),
        Certificate(name="certificate-x.org", domain="x.org", alternatives=("*.x.org",)),
        Certificate(name="certificate-z.org", domain="*.z.org", alternatives=()),
    ]
    arn = "arn:aws:acm:eu-central-1:123456789012:certificate/abc"
    (plan,) = planned({"web": web}, balancer={"certificates": (arn,)})
    assert (plan.certificates, plan.existing_certificates) == ((), (arn,))


def test_hosts_that_aws_does_not_take() -> None:
    def told(host: str, **values: Any) -> list[str]:
        return refused({"web": {**WEB, "routes": (host,)}}, **values)

    label, arn = "a" * 63, "arn:aws:acm:eu-central-1:123456789012:certificate/abc"
    assert told(f"{label}.{label}.org") == [
        f'services/web/routes: "{label}.{label}.org" has 131 characters in its host; AWS takes 128 at most'
    ]
    assert told("shop.xn--p1ai") == [
        'services/web/routes: "shop.xn--p1ai" has a host that AWS does not take: '
        'letters alone, behind a dot, end it; got "shop.xn--p1ai"'
    ]
    assert told(f"{label}.org") == [
        f'services/web/routes: "{label}.org" has 67 characters in its host; ACM makes certificates for 64 at most\n'
        "    name an existing certificate in quayside:balancer/certificates"
    ]
    assert told(f"{label}.org", balancer={"certificates": (arn,)}) == []


def test_a_host_leads_to_one_balancer() -> None:
    web, cart = {**WEB, "routes": ("{domain}",)}, {**WEB, "routes": ("{domain}/cart",), "balancer": 2}
    assert refused({"web": web, "cart": cart}) == [
        "services/cart/balancer: example.com leads to balancer 1, where web has it, "
        "so a route on balancer 2 gets no requests\n    set balancer: 1, or take the route out"
    ]


def test_what_falls_through_to_a_wildcard_is_on_its_balancer() -> None:
    wide, deep = {**WEB, "routes": ("*.{domain}",)}, {**WEB, "routes": ("a.{domain}/x",), "balancer": 2}
    assert refused({"wide": wide, "deep": deep}) == [
        "services/deep/balancer: a.example.com leads to balancer 2, and what its routes leave over is for "
        "*.example.com of wide on balancer 1\n"
        "    set balancer: 1, or add a route for the whole of a.example.com"
    ]
    assert refused({"wide": wide, "deep": {**deep, "routes": ("a.{domain}/x", "a.{domain}")}}) == []


def test_a_pin_of_a_default_route() -> None:
    (plan,) = planned({"web": {**WEB, "priority": {"web.{domain}": 40000}}})
    assert [rule.priority for rule in plan.rules] == [40000]
    assert refused({"web": {**WEB, "priority": {"wbe.{domain}": 40000}}}) == [
        "services/web/priority/wbe.{domain}: is no route of this service\n    did you mean web.{domain}?"
    ]


def test_a_service_named_like_anothers_second_group() -> None:
    canary = {**WEB, "canary": {"image": "web:2", "share": 10}}
    assert refused({"web": canary, "web-canary": WORKER}) == [
        "services/web-canary: is what web's canary is called\n    rename web-canary"
    ]
    assert refused({"web": {**WEB, **NATIVE}, "web-alt": WORKER}) == [
        "services/web-alt: is what web's second target group is called\n    rename web-alt"
    ]


# --- limits of a balancer ---------------------------------------------------------------------------------------------


def many(count: int, **values: Any) -> dict[str, Any]:
    return {f"s{number:03}": {**WEB, **values} for number in range(count)}


def test_too_many_target_groups() -> None:
    assert refused(many(102, routes=()), quotas={"rules_per_balancer": 1000}) == [
        "quayside:balancer: balancer 1 needs 102 target groups, and AWS allows 100, always\n"
        "    set balancer: 2 for s000, s001"
    ]
    assert refused(many(100, routes=()), quotas={"rules_per_balancer": 1000}) == []


def test_too_many_rules() -> None:
    assert refused(many(51)) == [
        "quayside:quotas/rules_per_balancer: balancer 1 needs 102 listener rules, 51 for routes and 51 for health, "
        "and may have 100\n"
        "    set balancer: 2 for s000, or have AWS raise the quota and set quayside:quotas/rules_per_balancer to it"
    ]
    assert refused(many(50)) == []


def test_too_many_targets() -> None:
    services = {"big": {**WEB, "replicas": {"min": 1, "max": 300}}, **many(30, replicas=8)}
    assert refused(services) == [
        "quayside:quotas/targets_per_balancer: balancer 1 may have 1080 targets at once, counting every replica and "
        "its replacement in a release, and is allowed 1000\n"
        "    set balancer: 2 for big, or have AWS raise the quota and set quayside:quotas/targets_per_balancer to it"
    ]


def test_too_many_certificates() -> None:
    """The default one does not count, and the domain's own covers its direct children."""
    foreign = {f"s{number:02}": {**WEB, "routes": (f"shop{number:02}.org",)} for number in range(26)}
    assert refused({**foreign}) == []
    assert refused({**foreign, "web": WEB, "cart": WEB}) == [
        "quayside:quotas/certificates_per_balancer: balancer 1 needs 26 certificates beside the default one, and may "
        "have 25\n    set balancer: 2 for s00, or have AWS raise the quota and set "
        "quayside:quotas/certificates_per_balancer to it"
    ]
    arns = [f"arn:aws:acm:eu-central-1:123456789012:certificate/{number}" for number in range(28)]
    assert refused(foreign, balancer={"certificates": arns}) == [
        "quayside:balancer/certificates: 27 certificates beside the default one; a balancer may have 25\n"
        "    have AWS raise the quota, and set quayside:quotas/certificates_per_balancer to it"
    ]


def test_services_that_share_a_host_move_together() -> None:
    """And the stack's own domain stays where it is, if something else can go."""
    services = {
        **{f"a{number}": {**WEB, "routes": (f"{{domain}}/{number}",)} for number in range(30)},
        **{f"b{number}": {**WEB, "routes": (f"shop.org/{number}",)} for number in range(22)},
    }
    (problem,) = balancers(stack(services))[1]
    assert problem.fix.startswith(f"set balancer: 2 for {', '.join(sorted(f'b{number}' for number in range(22)))}, or")


def test_services_that_cannot_move() -> None:
    services = {f"a{number}": {**WEB, "routes": (f"{{domain}}/{number}",)} for number in range(51)}
    assert refused(services) == [
        "quayside:quotas/rules_per_balancer: balancer 1 needs 102 listener rules, 51 for routes and 51 for health, "
        "and may have 100\n    its services share their hosts, so that none can move alone: have AWS raise the quota "
        "and set quayside:quotas/rules_per_balancer to it, or give some a host of their own"
    ]


def test_what_moves_fits_where_it_goes() -> None:
    problems = balancers(stack({**many(160), "other": {**WEB, "balancer": 2}}))[1]
    groups, rules = (problem for problem in problems if problem.path.startswith("quayside:"))  # and some collide
    assert (groups.path, rules.path) == ("quayside:balancer", "quayside:quotas/rules_per_balancer")
    names = [f"s{number:03}" for number in range(110)]  # 50 stay: two rules each
    moves = [f"balancer: {3 + index} for {', '.join(names[50 * index : 50 * index + 50])}" for index in range(3)]
    assert groups.fix == f"set {' and '.join(moves)}"


# --- security groups --------------------------------------------------------------------------------------------------


def test_who_reaches_whom() -> None:
    web = {**WEB, "uses": ("cart", "session"), "egress": ({"to": "198.51.100.0/24", "port": 443},)}
    services = {
        "web": web,
        "cart": {**WEB, "routes": (), "egress": ()},
        "session": {**TCP, "volume": "/data", "egress": ({"to": "198.51.100.7/32", "protocol": "udp"},)},
        "jobs": {**WORKER, "uses": ("cart",)},
    }
    assert rows(services, capacity=POOL, balancer={"allow": ("203.0.113.0/24",)}) == [
        "203.0.113.0/24 → balancer-1 tcp 80: HTTP, redirected to HTTPS",
        "203.0.113.0/24 → balancer-1 tcp 443: HTTPS",
        "balancer-1 → service-cart tcp 8080: health checks of cart",
        "balancer-1 → service-web tcp 8080: requests and health checks of web",
        "instances → internet tcp 443: ECS, images, logs and secrets",
        "service-jobs → internet all: egress of jobs is unset: anything",
        "service-jobs → service-cart tcp 8080: jobs uses cart",
        "service-session → 198.51.100.7/32 udp all: egress of session",
        "service-session → data-session tcp 2049: data of session",
        "service-web → 198.51.100.0/24 tcp 443: egress of web",
        "service-web → service-cart tcp 8080: web uses cart",
        "service-web → service-session tcp 6379: web uses session",
    ]
    plan, _ = secured(services, capacity=POOL)
    assert plan.groups == {
        "balancer-1": "Load balancer 1",
        "service-cart": "Tasks of cart",
        "service-jobs": "Tasks of jobs",
        "service-session": "Tasks of session",
        "service-web": "Tasks of web",
        "instances": "Instances of the pool, and tasks in bridge and host mode",
        "data-session": "Data of session",
    }
    assert plan.members["web"] == ("service-web",)


def test_without_a_way_out_there_are_endpoints() -> None:
    """Image, logs and secrets of a Fargate task, and exec sessions of any, go through its own interface."""
    services = {
        "fast": {**WORKER, "on": "fargate", "egress": ()},
        "jobs": {**WORKER, "egress": ()},
        "shell": {**WORKER, "egress": (), "exec": True},
        "open": WORKER,
    }
    assert rows(services, capacity=POOL, network=NO_NAT) == [
        "instances → endpoints tcp 443: ECS, images, logs and secrets",
        "instances → s3 tcp 443: layers from ECR, updates",
        "service-fast → endpoints tcp 443: image, logs and secrets of fast",
        "service-fast → s3 tcp 443: layers of fast from ECR",
        "service-open → internet all: egress of open is unset: anything",
        "service-open → endpoints tcp 443: egress of open is unset: anything",
        "service-shell → endpoints tcp 443: exec sessions of shell",
    ]


def test_tasks_on_the_instances_own_network() -> None:
    services = {"bridge": {**WEB, "network": "bridge"}, "host": {**WEB, "network": "host", "port": 9000, "routes": ()}}
    assert rows(services, capacity=POOL) == [
        "internet → balancer-1 tcp 80: HTTP, redirected to HTTPS",
        "internet → balancer-1 tcp 443: HTTPS",
        "balancer-1 → instances tcp 9000: health checks of host",
        "balancer-1 → instances tcp 32768-65535: requests and health checks of bridge",
        "instances → internet all: egress of bridge is unset: anything; egress of host is unset: anything",
        "instances → internet tcp 443: ECS, images, logs and secrets",
    ]
    plan, _ = secured(services, capacity=POOL)
    assert plan.members == {"bridge": (), "host": ()}


def test_a_balancer_without_routes_is_reached_by_nobody() -> None:
    assert rows({"web": {**WEB, "routes": (), "egress": ()}}) == [
        "balancer-1 → service-web tcp 8080: health checks of web"
    ]


def test_a_registry_on_a_port_of_its_own() -> None:
    jobs = {"image": f"registry.example.com:5000/jobs@{DIGEST}", "egress": ()}
    assert rows({"jobs": jobs}, capacity=POOL) == [
        "instances → internet tcp 443: ECS, images, logs and secrets",
        "instances → internet tcp 5000: image of jobs",
    ]


def test_egress_that_cannot_be_kept_to() -> None:
    def told(service: Mapping[str, Any], **values: Any) -> list[str]:
        return [str(problem) for problem in secured({"web": service}, **values)[1]]

    fargate = {**WEB, "on": "fargate", "egress": ()}
    assert told(fargate) == [
        "services/web/egress: cannot be kept to: image, logs and secrets go through the task's own interface, "
        "to addresses of AWS that are not fixed\n"
        "    add {to: 0.0.0.0/0, port: 443}; or set quayside:network/nat to none, which makes endpoints inside the VPC"
    ]
    assert told({**WEB, "exec": True, "egress": ()})[0].startswith(
        "services/web/egress: cannot be kept to: exec sessions go through the task's own interface"
    )
    assert told({**fargate, "egress": ({"to": "0.0.0.0/0", "port": 443},)}) == []
    assert told({**fargate, "egress": ({"to": "0.0.0.0/0"},)}) == []
    for other in ({"port": 5432}, {"port": 443, "protocol": "udp"}, {"to": "198.51.100.0/24"}):
        assert told({**fargate, "egress": ({"to": "0.0.0.0/0", **other},)}) != []
    assert told(fargate, network=NO_NAT) == []
    assert told({**WEB, "egress": ()}) == []
    assert told({**WEB, "network": "bridge", "egress": ()}) == [
        "services/web/egress: cannot be kept to with network bridge: its tasks share the instances' group\n"
        "    remove network, or egress"
    ]


def test_too_many_rules_of_a_security_group() -> None:
    quotas = {"rules_per_balancer": 200}
    _, problems = secured(many(61), quotas=quotas)
    assert [str(problem) for problem in problems] == [
        "quayside:quotas/rules_per_security_group: security group balancer-1 needs 61 outbound rules, and may have 60\n"
        "    have AWS raise the quota and set it to 61 or more, or move services to another balancer"
    ]
    assert secured(many(60), quotas=quotas)[1] == []
    users = {f"u{number}": {**WORKER, "uses": ("s000",)} for number in range(60)}
    _, problems = secured({**many(1), **users})
    assert [str(problem) for problem in problems] == [
        "quayside:quotas/rules_per_security_group: security group service-s000 needs 61 inbound rules, "
        "and may have 60\n    have AWS raise the quota and set it to 61 or more"
    ]


def test_causes_fit_into_a_description() -> None:
    services = {f"{'x' * 30}{number}": {**WEB, "network": "bridge"} for number in range(20)}
    (why,) = (row.split(": ", 1)[1] for row in rows(services) if row.startswith("balancer-1"))
    assert len(why) <= 255
    assert why.endswith("; and 17 more")


# --- times ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("cron", "expected"),
    [
        ("0 18 * * FRI", "cron(0 18 ? * FRI *)"),
        ("0 18 * * fri", "cron(0 18 ? * FRI *)"),
        ("30 4 1,15 * *", "cron(30 4 1,15 * ? *)"),
        ("* * * * *", "cron(* * * * ? *)"),
        ("0 8 ? * 1-5", "cron(0 8 ? * MON-FRI *)"),
        ("0 8 * * 0,6", "cron(0 8 ? * SUN,SAT *)"),
        ("0 8 * * 7", "cron(0 8 ? * SUN *)"),
        ("0 8 * * FRI-SUN", "cron(0 8 ? * SUN,FRI,SAT *)"),
        ("0 8 * * 0-6", "cron(0 8 * * ? *)"),
        ("*/20 9-17/4 * JAN-MAR *", "cron(0,20,40 9,13,17 * 1-3 ? *)"),
        ("0 0 */10 * *", "cron(0 0 1,11,21,31 * ? *)"),
        ("0 18 ? * 6L 2026-2028", "cron(0 18 ? * 6L 2026-2028)"),
        ("0 18 LW * ? *", "cron(0 18 LW * ? *)"),
        ("0 18 ? * MON#1 *", "cron(0 18 ? * MON#1 *)"),
    ],
)
def test_times_on_aws(cron: str, expected: str) -> None:
    assert aws_cron(cron) == expected


@pytest.mark.parametrize(
    ("cron", "message"),
    [
        (
            "0 18 1 * FRI",
            '"1" and "FRI": a day of the month and a day of the week together cannot be said on aws; '
            "write * for one of them, or two entries",
        ),
        ("60 * * * *", 'minutes "60": should be 0–59, * or a list, got "60"'),
        ("0 8 * FOO *", 'month "FOO": should be 1–12 or JAN–DEC, * or a list, got "FOO"'),
        ("0 22-2 * * *", 'hours "22-2": should count upwards; write two ranges with a comma'),
        (
            "0 8 * * MON-FRI/2",
            'day of week "MON-FRI/2": a step is a number behind a number, a range of numbers or *: */15',
        ),
        ("*/0 * * * *", 'minutes "*/0": a step is a number behind a number, a range of numbers or *: */15'),
        ("0 8 L * *", "\"L\": L, W and # are AWS's own; with those, write all six fields of AWS's cron"),
        ("* * *", 'should have five fields (or six, AWS\'s own), got 3: "* * *"'),
        ("0 8 * * * *", '"*" and "*": of AWS\'s two fields for days, one has to be ?, and only one'),
        ("0 8 ? * 8 *", 'day of week "8": should be 1–7 or SUN–SAT, * or a list, got "8"'),
    ],
)
def test_times_that_aws_cannot_say(cron: str, message: str) -> None:
    with pytest.raises(ValueError, match=re.escape(message)) as caught:
        aws_cron(cron)
    assert str(caught.value) == message


# --- images -----------------------------------------------------------------------------------------------------------

REGISTRY = {
    "repositories": ("acme/web",),
    "cache": {"hub": {"upstream": "registry-1.docker.io"}, "gh": {"upstream": "ghcr.io"}},
}
ECR = "123456789012.dkr.ecr.eu-west-1.amazonaws.com"


@pytest.mark.parametrize(
    ("reference", "expected"),
    [
        ("acme/web", AwsImage(reference=None, repository="acme/web", digest=DIGEST)),
        ("redis", AwsImage(reference=None, repository="hub/library/redis", digest=DIGEST, cached=True)),
        ("docker.io/redis", AwsImage(reference=None, repository="hub/library/redis", digest=DIGEST, cached=True)),
        ("other/web", AwsImage(reference=None, repository="hub/other/web", digest=DIGEST, cached=True)),
        ("ghcr.io/acme/web", AwsImage(reference=None, repository="gh/acme/web", digest=DIGEST, cached=True)),
        (
            f"{ECR}/acme/web",
            AwsImage(
                reference=f"{ECR}/acme/web@{DIGEST}",
                repository=None,
                digest=DIGEST,
                pull_from="arn:aws:ecr:eu-west-1:123456789012:repository/acme/web",
            ),
        ),
        (
            "r.example.com:5000/web",
            AwsImage(
                reference=f"r.example.com:5000/web@{DIGEST}",
                repository=None,
                digest=DIGEST,
                login="r.example.com:5000",
            ),
        ),
        ("quay.io/web", AwsImage(reference=f"quay.io/web@{DIGEST}", repository=None, digest=DIGEST)),
    ],
)
def test_where_images_come_from(reference: str, expected: AwsImage) -> None:
    given = stack(registry=REGISTRY, registries={"r.example.com:5000": {"username": "u", "password": "p"}})
    assert image(f"{reference}@{DIGEST}", given) == expected


def test_a_login_for_images_without_a_host() -> None:
    given = stack(registries={"docker.io": {"username": "u", "password": "p"}})
    assert image(f"redis@{DIGEST}", given).login == "docker.io"


# --- notes ------------------------------------------------------------------------------------------------------------


def notes(services: Mapping[str, Any], **values: Any) -> list[str]:
    return list(plan(stack(services, **values), {}).notes)


@pytest.mark.parametrize("service", [WORKER, TCP], ids=["worker", "tcp"])
def test_what_has_no_health_command_is_noted(service: dict[str, Any]) -> None:
    (note,) = notes({"jobs": {**service, "on": "fargate"}})
    assert note == (
        "services/jobs/health: there is no command, so on aws a task counts as healthy when it has run for 40 seconds"
    )
    assert not notes({"jobs": {**service, "on": "fargate", "health": {"command": ("true",)}}})
    assert not notes({"web": {**WEB, "on": "fargate"}})


def test_permissions_that_are_wide_or_explained_are_noted() -> None:
    permissions = (
        {"actions": ("sqs:ListQueues",), "reason": "AWS lists all queues or none"},
        {"actions": ("s3:GetObject",), "resources": ("arn:aws:s3:::acme/*",)},
        {"actions": ("s3:PutObject",), "resources": ("arn:aws:s3:::acme/*",), "reason": "uploads have any name"},
    )
    assert notes({"web": {**WEB, "on": "fargate", "permissions": permissions}}) == [
        "services/web/permissions/0: sqs:ListQueues on every resource: AWS lists all queues or none",
        "services/web/permissions/2: s3:PutObject on arn:aws:s3:::acme/*: uploads have any name",
    ]


@pytest.mark.parametrize(("mode", "noted"), [("host", True), ("bridge", True), ("awsvpc", False)])
def test_unset_egress_that_opens_the_instances_group_is_noted(mode: str, noted: bool) -> None:
    found = [note for note in notes({"web": {**WEB, "network": mode}}, capacity=POOL) if "/egress: is unset" in note]
    expected = (
        f"services/web/egress: is unset, and with network {mode} it is the instances' own group that is opened: "
        "all that runs in it may reach anything"
    )
    assert found == ([expected] if noted else [])


def test_a_volume_that_a_full_pool_would_not_start_is_noted() -> None:
    data = {**TCP, "user": "999:999", "volume": "/data", "health": {"command": ("true",)}, "memory": 4 << 30}
    web = {**WEB, "memory": 1 << 30, "replicas": {"min": 1, "max": 9, "cpu": 60}}

    def noted(most: int) -> list[str]:
        pool = {"instances": {"types": ("m7g.large",), "min": 1, "max": most, "trunking": True}}
        return notes({"db": data, "web": web}, capacity=pool)

    (note,) = noted(3)
    assert note == (
        "services/db/volume: it does not start under maximum + release of all (Capacity fit), and no other replica "
        "serves then; a larger quayside:capacity/instances/max makes room, and services/db/on: fargate needs none"
    )
    assert noted(9) == []
