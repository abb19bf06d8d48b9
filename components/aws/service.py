"""One service on ECS: its logs, its roles, and an ECS service for itself and for its canary."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pulumi
import pulumi_aws as aws

from components.aws.alarms import ErrorAlarmArgs, error_alarm
from components.aws.iam import Account
from components.aws.release import deployment, release_seconds, timeouts
from components.aws.release_check import Release, ReleaseCheck, after_release
from components.aws.roles import ExecSessions, ServiceRoles, ServiceRolesArgs, service_roles
from components.aws.service_connect import service_connect
from components.aws.task_definition import DataVolume, TaskDefinitionArgs, task_definition
from planning.aws import tasks
from planning.aws.model import AwsService, Variant
from planning.names import Naming
from settings.service import Rollout

POOL = "pool"
"""The plan's name of the capacity provider of instances; Fargate's have names of their own."""


@dataclass(frozen=True, slots=True, kw_only=True)
class EcsEnvironment:
    """What all services of a stack share."""

    naming: Naming
    """Of the names that Pulumi cannot make."""
    account: Account
    cluster_arn: pulumi.Input[str]
    namespace_arn: pulumi.Input[str] | None
    """Of Service Connect; None where no service uses another."""
    subnets: Sequence[pulumi.Input[str]]
    """Private ones."""
    pool: pulumi.Input[str] | None
    """Physical name of the capacity provider of the stack's instances."""
    log_days: int
    log_key_arn: pulumi.Input[str] | None = None
    """Key of the log groups; None for AWS's own."""
    keys: Sequence[pulumi.Input[str]] = ()
    """Keys that secrets are encrypted with."""
    sessions: ExecSessions
    check: ReleaseCheck
    """What is asked after each release."""
    no_alarm: pulumi.Input[str]
    """Name of the alarm that services without any disable."""
    tags: Mapping[str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredSecret:
    """A secret of the stack in Secrets Manager."""

    arn: pulumi.Input[str]
    version: pulumi.Input[str]
    """Of the value that this release is to have."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """A target group."""

    arn: pulumi.Input[str]
    suffix: pulumi.Input[str]
    """Last part of the ARN, by which metrics name it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class NativeRollout:
    """What ECS moves requests with."""

    rule_arn: pulumi.Input[str]
    role_arn: pulumi.Input[str]


@dataclass(frozen=True, slots=True, kw_only=True)
class EcsServiceArgs:
    plan: AwsService
    environment: EcsEnvironment
    images: Mapping[str, pulumi.Input[str]]
    """Variant → the whole reference."""
    security_groups: Sequence[pulumi.Input[str]] = ()
    """Ids; empty in bridge and host mode."""
    targets: Mapping[str, Target]
    """Logical name → target group."""
    balancer: pulumi.Input[str] | None = None
    """Last part of the balancer's ARN; required with routes."""
    rollout: NativeRollout | None = None
    secrets: Mapping[str, StoredSecret]
    """Key under the stack's secrets → where it is."""
    logins: Mapping[str, pulumi.Input[str]]
    """Host under `registries` → ARN of the secret with its login."""
    data: DataVolume | None = None
    used: Sequence[pulumi.Output[bool]] = ()
    """`released` of the services that it uses or comes after."""
    after: Sequence[pulumi.Resource] = ()
    """What must be there first: health rules, the rule of a native rollout and its role's policies, capacity providers,
    mount targets, and the ECS services it uses: tasks never learn of names that come after them."""


class EcsService(pulumi.ComponentResource):
    """A log group, two roles, an alarm where there are routes; for each variant a task definition and an ECS service.

    A release starts new tasks before it stops old ones (stateful: after), waits until it holds, and fails where ECS
    took it back: by the circuit breaker, by the alarm (`rollout.errors` percent, unset 5) or by `rollout.alarms`. The
    canary is a second ECS service behind its own target group; it uses others, and nobody finds it by name. ECS owns
    the number of tasks where the service scales, and the rule's weights in a native rollout. Any change of the ECS
    service starts a new deployment: the price of changing its capacity providers in place. Refuses a plan that names a
    target group, image, rule or volume it was not given.
    """

    services: Mapping[str, aws.ecs.Service]
    """Variant → its ECS service."""
    names: Mapping[str, pulumi.Output[str]]
    """Variant → the physical name of its ECS service."""
    log_group: pulumi.Output[str]
    task_role_arn: pulumi.Output[str]
    resources: Sequence[pulumi.Resource]
    """The ECS services: what public rules, and the services that use this one, depend on."""
    released: pulumi.Output[bool]
    """Known once ECS runs what is declared; the `up` fails where it does not (`ReleaseCheck`)."""

    def __init__(self, name: str, args: EcsServiceArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("quayside:aws:EcsService", name, None, opts)
        _check(args)
        child = pulumi.ResourceOptions(parent=self)
        environment = args.environment
        logs = aws.cloudwatch.LogGroup(
            name,
            retention_in_days=environment.log_days,
            kms_key_id=environment.log_key_arn,
            tags=environment.tags,
            opts=child,
        )
        roles = service_roles(
            name,
            ServiceRolesArgs(
                service=args.plan,
                account=environment.account,
                log_group_arn=logs.arn,
                secrets=_read_at_start(args),
                keys=environment.keys,
                data=args.data,
                sessions=environment.sessions,
                tags=environment.tags,
            ),
            self,
        )
        checks: list[pulumi.Output[bool]] = []
        services: dict[str, aws.ecs.Service] = {}
        for variant in args.plan.variants:
            service, definition = _ecs_service(self, args, variant, logs, roles)
            services[variant.name] = service
            checks.append(_released(args, variant, service, definition))
        self.services = services
        self.released = pulumi.Output.all(*checks).apply(lambda done: all(done))
        self.names = {variant: service.name for variant, service in self.services.items()}
        self.log_group = logs.name
        self.task_role_arn = roles.task_role_arn
        self.resources = tuple(self.services.values())
        self.register_outputs({"names": self.names, "log_group": self.log_group, "task_role_arn": self.task_role_arn})


def _ecs_service(
    parent: EcsService, args: EcsServiceArgs, variant: Variant, logs: aws.cloudwatch.LogGroup, roles: ServiceRoles
) -> tuple[aws.ecs.Service, aws.ecs.TaskDefinition]:
    plan, environment = args.plan, args.environment
    native = args.rollout is not None and not variant.canary
    definition = task_definition(
        variant.name,
        TaskDefinitionArgs(
            service=plan,
            variant=variant,
            family=environment.naming.task_family(variant.name),
            image=args.images[variant.name],
            region=environment.account.region,
            log_group=logs.name,
            execution_role_arn=roles.execution_role_arn,
            task_role_arn=roles.task_role_arn,
            secrets=_secrets(args),
            login=args.logins[variant.image.login] if variant.image.login is not None else None,
            data=args.data,
            tags=environment.tags,
        ),
        pulumi.ResourceOptions(parent=parent),
    )
    service = aws.ecs.Service(
        # ECS takes no other network mode in place: a service of another name comes beside the old one. (`_` is in no
        # service's own name.)
        variant.name if plan.network == "awsvpc" else f"{variant.name}_{plan.network}",
        cluster=after_release(environment.cluster_arn, *args.used),
        task_definition=definition.arn,
        desired_count=variant.replicas,
        deployment_configuration=deployment(plan, native=native),
        deployment_maximum_percent=100 if plan.stateful else 200,
        deployment_minimum_healthy_percent=0 if plan.stateful else 100,
        # AWS documents it for rolling updates alone and honours it in native rollouts, too: the provider's own tests
        # meet it there (TestAccECSService_BlueGreenDeployment_circuitBreakerRollback). Without it, tasks that never
        # become healthy hold a native rollout up for a day.
        deployment_circuit_breaker=aws.ecs.ServiceDeploymentCircuitBreakerArgs(enable=True, rollback=True),
        alarms=_alarms(parent, args, variant),
        load_balancers=_load_balancers(args, variant, native=native),
        health_check_grace_period_seconds=plan.settings.health.grace if variant.target_group is not None else None,
        capacity_provider_strategies=[
            aws.ecs.ServiceCapacityProviderStrategyArgs(
                capacity_provider=_provider(environment, provider),
                weight=weight,
                base=tasks.base(plan.providers, provider),
            )
            for provider, weight in sorted(plan.providers.items())
        ],
        ordered_placement_strategies=None
        if plan.fargate
        else [
            aws.ecs.ServiceOrderedPlacementStrategyArgs(type="spread", field="attribute:ecs.availability-zone"),
            aws.ecs.ServiceOrderedPlacementStrategyArgs(type="binpack", field="memory"),
        ],
        # Moving a task means two at once, which a service that stops first never has.
        availability_zone_rebalancing="DISABLED" if plan.stateful else "ENABLED",
        network_configuration=_network(args),
        service_connect_configuration=service_connect(
            plan, variant, environment.namespace_arn, logs.name, environment.account.region
        ),
        enable_execute_command=plan.settings.exec,
        enable_ecs_managed_tags=True,
        propagate_tags="SERVICE",
        wait_for_steady_state=True,
        # With it, a change of capacity providers updates the service; without, it replaces it.
        force_new_deployment=True,
        triggers={"uses": " ".join(f"{used}={address}" for used, address in sorted(plan.uses.items()))}
        if plan.uses
        else None,
        force_delete=True,
        tags=environment.tags,
        opts=pulumi.ResourceOptions(
            parent=parent,
            depends_on=[*roles.policies, *args.after],
            ignore_changes=["desiredCount"] if variant.scaling is not None else None,
            custom_timeouts=timeouts(plan),
        ),
    )
    return service, definition


def _released(
    args: EcsServiceArgs, variant: Variant, service: aws.ecs.Service, definition: aws.ecs.TaskDefinition
) -> pulumi.Output[bool]:
    """Whether ECS runs the variant as declared. A preview releases nothing."""
    if pulumi.runtime.is_dry_run():
        return pulumi.Output.from_input(True)
    plan = args.plan
    groups = [variant.target_group, None if variant.canary else plan.alternate]
    arns = [args.targets[group].arn for group in groups if group is not None]

    def release(values: Sequence[Any]) -> Release:
        cluster, name, urn, task_definition, *target_groups = values
        return Release(
            service=plan.name,
            cluster=cluster,
            name=name,
            urn=urn,
            task_definition=task_definition,
            target_groups=target_groups,
            seconds=release_seconds(plan),
        )

    outputs = pulumi.Output.all(args.environment.cluster_arn, service.name, service.urn, definition.arn, *arns)
    return outputs.apply(lambda values: args.environment.check(release(values)))


def _check(args: EcsServiceArgs) -> None:
    plan = args.plan
    groups = {*(variant.target_group for variant in plan.variants), plan.alternate} - {None}
    for what, needed, given in (
        ("targets", {str(group) for group in groups}, args.targets),
        ("images", {variant.name for variant in plan.variants}, args.images),
        ("secrets", set(plan.secrets.values()), args.secrets),
    ):
        if missing := sorted(needed - set(given)):
            raise ValueError(f"{what} of {plan.name} should have {', '.join(missing)}, got {sorted(given)}")
    if (plan.alternate is not None) != (args.rollout is not None):
        raise ValueError(f"rollout of {plan.name} should be given exactly where the plan has an alternate target group")
    if plan.stateful != (args.data is not None):
        raise ValueError(f"data of {plan.name} should be given exactly where the plan has a volume")


def _provider(environment: EcsEnvironment, provider: str) -> pulumi.Input[str]:
    if provider != POOL:
        return provider
    if environment.pool is None:
        raise ValueError("pool should be the name of a capacity provider, got None")
    return environment.pool


def _network(args: EcsServiceArgs) -> aws.ecs.ServiceNetworkConfigurationArgs | None:
    if args.plan.network != "awsvpc":
        return None
    return aws.ecs.ServiceNetworkConfigurationArgs(
        subnets=args.environment.subnets, security_groups=args.security_groups, assign_public_ip=False
    )


# --- secrets ---------------------------------------------------------------------------------------------------------


def _secrets(args: EcsServiceArgs) -> Mapping[str, pulumi.Input[str]]:
    """Environment name → what ECS reads: the stack's own by version, existing ones as they are written."""
    own = {env: args.secrets[key] for env, key in args.plan.secrets.items()}
    return {
        **{env: pulumi.Output.concat(secret.arn, ":::", secret.version) for env, secret in own.items()},
        **args.plan.existing_secrets,
    }


def _read_at_start(args: EcsServiceArgs) -> Sequence[pulumi.Input[str]]:
    """ARNs, each once: two environment names may have one secret, and two variants one login."""
    keys = sorted(set(args.plan.secrets.values()))
    hosts = sorted({variant.image.login for variant in args.plan.variants if variant.image.login is not None})
    return [*(args.secrets[key].arn for key in keys), *(args.logins[host] for host in hosts)]


# --- balancers and names ---------------------------------------------------------------------------------------------


def _load_balancers(
    args: EcsServiceArgs, variant: Variant, *, native: bool
) -> Sequence[aws.ecs.ServiceLoadBalancerArgs] | None:
    plan, port = args.plan, args.plan.settings.port
    if variant.target_group is None or port is None:
        return None
    advanced = None
    if native and args.rollout is not None and plan.alternate is not None:
        advanced = aws.ecs.ServiceLoadBalancerAdvancedConfigurationArgs(
            alternate_target_group_arn=args.targets[plan.alternate].arn,
            production_listener_rule=args.rollout.rule_arn,
            role_arn=args.rollout.role_arn,
        )
    return [
        aws.ecs.ServiceLoadBalancerArgs(
            container_name=plan.name,
            container_port=port,
            target_group_arn=args.targets[variant.target_group].arn,
            advanced_configuration=advanced,
        )
    ]


def _alarms(parent: pulumi.Resource, args: EcsServiceArgs, variant: Variant) -> aws.ecs.ServiceAlarmsArgs:
    plan = args.plan
    rollout = plan.settings.rollout or Rollout()
    names: list[pulumi.Input[str]] = [*sorted(rollout.alarms)]
    groups = {variant.name: variant.target_group}
    if not variant.canary:
        # Named as its target group, since no service can have that name beside this one.
        groups[f"{variant.name}-alt"] = plan.alternate
    for name, group in groups.items():
        if not plan.urls or group is None or args.balancer is None:
            continue
        alarm = error_alarm(
            name,
            ErrorAlarmArgs(
                service=variant.name,
                percent=rollout.errors,
                balancer=args.balancer,
                target_group=args.targets[group].suffix,
                tags=args.environment.tags,
            ),
            pulumi.ResourceOptions(parent=parent),
        )
        names.append(alarm.name)
    # Said also where there are none: ECS keeps the alarms of a service that does not name any.
    return aws.ecs.ServiceAlarmsArgs(
        alarm_names=names or [args.environment.no_alarm], enable=bool(names), rollback=bool(names)
    )
