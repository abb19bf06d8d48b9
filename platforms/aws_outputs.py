"""What a stack on AWS exports."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from planning.aws import capacity, tasks
from planning.aws.model import AwsPlan, AwsService
from planning.aws.security import who

if TYPE_CHECKING:
    from platforms.aws import Aws


def outputs(planned: AwsPlan, created: Aws) -> Mapping[str, object]:
    """What the stack exports: for the reports plain values, known at preview; for programs what AWS named."""
    exported: dict[str, object] = {
        "urls": sorted({url for service in planned.services.values() for url in service.urls}),
        "routes": [
            {
                "priority": rule.priority,
                "host": ", ".join(rule.hosts),
                "path": rule.paths[0] if rule.paths else "/",
                "service": rule.service,
                "balancer": balancer.number,
            }
            for balancer in planned.balancers
            for rule in balancer.rules
        ],
        "reach": who(planned.security),
        "placement": [_placed(service) for _, service in sorted(planned.services.items())],
        "balancers": {str(number): balancer.dns_name for number, balancer in created.balancers.items()},
        "certificates": [
            {"balancer": balancer.number, "names": ", ".join([certificate.domain, *certificate.alternatives])}
            for balancer in planned.balancers
            for certificate in balancer.certificates
        ],
        "vpc": created.vpc_id,
        "subnets": created.private_subnet_ids,
        "security_groups": created.security_group_ids,
        "aws": {
            "region": planned.region,
            "cluster": created.cluster.cluster_name,
            "services": {
                name: {
                    "ecs": [service.names[variant.name] for variant in planned.services[name].variants],
                    "log_group": service.log_group,
                    "task_role": service.task_role_arn,
                    "exec": planned.services[name].settings.exec,
                    "urls": list(planned.services[name].urls),
                }
                for name, service in created.services.items()
            },
        },
    }
    if planned.fit is not None:
        exported["capacity"] = capacity.rows(planned.fit)
    if planned.pool is not None and planned.pool.registry is not None:
        local = planned.pool.registry
        exported["registry"] = [
            {
                "address": local.address,
                "bucket": f"{local.bucket} ({local.region})",
                "image": local.image,
                "memory": f"{local.memory} MiB",
                "on": "every instance",
            }
        ]
    if created.records:
        exported["records"] = created.records
    if created.registry is not None and created.registry.urls:
        exported["repositories"] = [{"repository": name, "url": url} for name, url in created.registry.urls.items()]
    return exported


def _placed(service: AwsService) -> Mapping[str, object]:
    scaling, rollout, shares = service.scaling, service.settings.rollout, service.providers
    return {
        "service": service.name,
        "tasks": str(service.variants[0].replicas) if scaling is None else f"{scaling.min}–{scaling.max}",
        "canary": service.variants[1].replicas if len(service.variants) > 1 else "",
        "on": tasks.placed_on(shares),
        "cpu": f"{service.cpu / 1024:g} vCPU",
        "memory": f"{service.memory} MiB",
        "network": service.network,
        "release": "stop-first" if service.stateful else rollout.strategy if rollout else "rolling",
    }
