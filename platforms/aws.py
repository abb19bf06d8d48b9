"""Platform ``aws``: every service on one ECS cluster, behind one shared load balancer (more only where one is full)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import pulumi
import pulumi_aws as aws

from components.aws.access_logs import AccessLogs, AccessLogsArgs
from components.aws.alarms import unused_alarm
from components.aws.aws_session import provider_clients
from components.aws.certificates import Certificates, CertificatesArgs
from components.aws.cluster import Cluster, ClusterArgs, attach_capacity
from components.aws.console_names import with_console_name
from components.aws.data import FileSystem, FileSystemArgs
from components.aws.host_records import host_records
from components.aws.iam import current_account
from components.aws.listener_rule import forward_rule
from components.aws.load_balancer import LoadBalancer, LoadBalancerArgs, TargetGroupSettings
from components.aws.network import Endpoints, EndpointsArgs, Network, NetworkArgs
from components.aws.pool import Pool, PoolArgs
from components.aws.registry import Registry, RegistryArgs
from components.aws.release_check import ReleaseCheck
from components.aws.roles import ExecSessions, RolloutRole, RolloutRoleArgs
from components.aws.scaling import RequestMetric, ServiceScalingArgs, service_scaling
from components.aws.secrets_store import Login, Secrets, SecretsArgs
from components.aws.security_groups import SecurityGroups, SecurityGroupsArgs
from components.aws.service import EcsEnvironment, EcsService, EcsServiceArgs, NativeRollout, StoredSecret, Target
from components.aws.task_definition import DataVolume
from planning.aws import tasks
from planning.aws.model import AwsImage, AwsPlan, AwsService, BalancerPlan, Rule
from planning.aws.plan import plan
from planning.names import Naming
from planning.notes import notes
from platforms.aws_outputs import outputs
from settings.load import Loaded
from settings.stack import RunRegistry, Stack

_DAY = 86400


class Aws(pulumi.ComponentResource):
    """A VPC, a cluster, the balancers, and for each service what it needs and nothing that another has.

    A release is the same three steps as on Docker hosts. Gate: ECS starts new tasks, which a balancer asks for their
    health on a listener that nobody can reach. Switch: only then is there a public rule, or does ECS move requests.
    Drain: old tasks finish what they have.
    """

    def __init__(self, name: str, loaded: Loaded, planned: AwsPlan, opts: pulumi.ResourceOptions | None = None) -> None:
        named = pulumi.ResourceOptions(transformations=[with_console_name])
        super().__init__("quayside:platform:Aws", name, None, pulumi.ResourceOptions.merge(opts, named))
        self._loaded, self._stack, self._plan = loaded, loaded.stack, planned
        self._child = pulumi.ResourceOptions(parent=self)
        self._tags = {**loaded.stack.tags, "quayside:stack": f"{loaded.stack.project}/{loaded.stack.name}"}
        self._account = current_account(planned.region)
        self._zone = _zone(loaded.stack)
        self._secrets = self._make_secrets()
        self._network = Network(
            "network",
            NetworkArgs(plan=planned.network, account=self._account, key_arn=self._secrets.key_arn, tags=self._tags),
            self._child,
        )
        self._groups = SecurityGroups(
            "security",
            SecurityGroupsArgs(
                plan=planned.security,
                vpc_id=self._network.vpc_id,
                s3_prefix_list_id=self._network.s3_prefix_list_id,
                tags=self._tags,
            ),
            self._child,
        )
        self._ready: list[pulumi.Resource] = [self._network.s3_endpoint, *self._make_endpoints()]
        self.registry = self._make_registry(loaded.stack.registry or RunRegistry())
        self.cluster = Cluster(
            "cluster",
            ClusterArgs(key_arn=self._secrets.key_arn, log_days=loaded.stack.logs // _DAY, tags=self._tags),
            self._child,
        )
        self._pool = self._make_pool()
        pool = [self._pool.capacity_provider_name] if self._pool is not None else []
        # Fargate's cost nothing and are always there: taken away with the last service that is on them, they would go
        # before it does, which AWS refuses.
        self._capacity = attach_capacity("capacity", self.cluster, ["FARGATE", "FARGATE_SPOT", *pool])
        self._environment = self._make_environment()
        self.certificates = Certificates(
            "certificates",
            CertificatesArgs(plans=planned.balancers, zone_id=self._zone, tags=self._tags),
            self._child,
        )
        self.vpc_id = self._network.vpc_id
        self.private_subnet_ids = self._network.private_subnet_ids
        self.security_group_ids = self._groups.ids
        self.balancers = self._make_balancers()
        self.services: dict[str, EcsService] = {}
        self._rules: dict[str, pulumi.Resource] = {}
        for service in planned.services.values():
            self.services[service.name] = self._make_service(service)
        self.records = [*self.certificates.records, *self._make_host_records()]
        self.register_outputs({})

    # --- what services share -----------------------------------------------------------------------------------------

    def _make_secrets(self) -> Secrets:
        stack, values = self._stack, self._loaded.secrets
        return Secrets(
            "secrets",
            SecretsArgs(
                values={key: values[key] for key in self._plan.secrets},
                logins={
                    host: Login(
                        username=stack.registries[host].username, password=values[stack.registries[host].password]
                    )
                    for host in self._plan.logins
                },
                account=self._account,
                protect=stack.protect,
                tags=self._tags,
            ),
            self._child,
        )

    def _make_endpoints(self) -> Sequence[pulumi.Resource]:
        if not self._plan.network.endpoints:
            return ()
        return Endpoints(
            "endpoints",
            EndpointsArgs(
                endpoints=self._plan.network.endpoints,
                region=self._plan.region,
                vpc_id=self._network.vpc_id,
                subnet_ids=list(self._network.private_subnet_ids.values()),
                security_group_id=self._groups.ids["endpoints"],
                tags=self._tags,
            ),
            self._child,
        ).resources

    def _make_registry(self, settings: RunRegistry) -> Registry | None:
        if not settings.repositories and not settings.cache:
            return None
        return Registry(
            "registry",
            RegistryArgs(
                repositories=settings.repositories,
                push=settings.push,
                keep=settings.keep,
                cache=settings.cache,
                passwords={
                    cache.password: self._loaded.secrets[cache.password]
                    for cache in settings.cache.values()
                    if cache.password is not None
                },
                account=self._account,
                protect=self._stack.protect,
                tags=self._tags,
            ),
            self._child,
        )

    def _make_pool(self) -> Pool | None:
        if self._plan.pool is None:
            return None
        return Pool(
            "pool",
            PoolArgs(
                plan=self._plan.pool,
                account=self._account,
                cluster_name=self.cluster.cluster_name,
                cluster_arn=self.cluster.arn,
                subnet_ids=list(self._network.private_subnet_ids.values()),
                security_group_id=self._groups.ids["instances"],
                after=[*self._ready, *self._groups.rules.get("instances", ())],
                tags=self._tags,
            ),
            self._child,
        )

    def _make_environment(self) -> EcsEnvironment:
        stack = self._stack
        return EcsEnvironment(
            naming=Naming(project=stack.project, stack=stack.name),
            account=self._account,
            cluster_arn=self.cluster.arn,
            namespace_arn=self.cluster.namespace_arn,
            subnets=list(self._network.private_subnet_ids.values()),
            pool=self._pool.capacity_provider_name if self._pool is not None else None,
            log_days=stack.logs // _DAY,
            log_key_arn=self._secrets.key_arn,
            keys=[self._secrets.key_arn, *stack.kms_keys],
            sessions=ExecSessions(log_group_arn=self.cluster.exec_log_group_arn, key_arn=self._secrets.key_arn),
            check=ReleaseCheck(provider_clients(self._plan.region)),
            no_alarm=unused_alarm("no-alarm", self._tags, self._child).name,
            tags=self._tags,
        )

    def _make_balancers(self) -> Mapping[int, LoadBalancer]:
        if not self._plan.balancers:
            return {}
        stack = self._stack
        logs = None
        if stack.balancer.logs is not None:
            logs = AccessLogs(
                "access-logs",
                AccessLogsArgs(
                    account=self._account, days=stack.balancer.logs // _DAY, protect=stack.protect, tags=self._tags
                ),
                self._child,
            ).bucket
        return {
            balancer.number: LoadBalancer(
                balancer.name,
                LoadBalancerArgs(
                    plan=balancer,
                    groups=_target_group_settings(balancer, stack),
                    vpc_id=self._network.vpc_id,
                    subnet_ids=list(self._network.public_subnet_ids.values()),
                    security_group_id=self._groups.ids[balancer.name],
                    idle=stack.balancer.idle,
                    logs_bucket=logs,
                    certificate_arns=self.certificates.arns,
                    protect=stack.protect,
                    tags=self._tags,
                ),
                self._child,
            )
            for balancer in self._plan.balancers
        }

    def _make_host_records(self) -> Sequence[pulumi.Output[Mapping[str, str]]]:
        zone = self._stack.dns.zone or self._stack.domain
        return [
            record
            for plan in self._plan.balancers
            for record in host_records(self.balancers[plan.number], plan, self._zone, self._rules, zone)
        ]

    # --- one service -------------------------------------------------------------------------------------------------

    def _make_service(self, service: AwsService) -> EcsService:
        balancer = self.balancers.get(service.balancer) if service.balancer is not None else None
        rules = self._rules_of(service)
        after: list[pulumi.Resource] = [self._capacity, *self._ready]
        after += [rule for group in service.groups for rule in self._groups.rules.get(group, ())]
        before = [self.services[other] for other in sorted({*service.settings.uses, *service.settings.after})]
        for other in before:
            after += other.resources
        if self.registry is not None and any(variant.image.cached for variant in service.variants):
            after += self.registry.rules
        groups = _groups_of(service)
        if balancer is not None:
            after += [balancer.health_rules[group] for group in groups if group in balancer.health_rules]
        rollout = None
        if service.rule is not None and balancer is not None:
            (rule,) = rules
            moved = forward_rule(balancer, rule, sticky=service.settings.sticky, tags=self._tags)
            self._rules[rule.name] = moved
            role = RolloutRole(
                f"{service.name}-rollout",
                RolloutRoleArgs(
                    listeners=[moved.listener_arn],
                    rules=[moved.arn],
                    target_groups=[balancer.target_group_arns[group] for group in groups],
                    tags=self._tags,
                ),
                self._child,
            )
            rollout = NativeRollout(rule_arn=moved.arn, role_arn=role.arn)
            after += [moved, *role.policies]
        data = self._make_data(service)
        if data is not None:
            after += data.ready
        made = EcsService(
            service.name,
            EcsServiceArgs(
                plan=service,
                environment=self._environment,
                images={variant.name: self._image(variant.image) for variant in service.variants},
                security_groups=[self._groups.ids[group] for group in service.groups],
                targets={}
                if balancer is None
                else {
                    group: Target(
                        arn=balancer.target_group_arns[group], suffix=balancer.target_group_arn_suffixes[group]
                    )
                    for group in groups
                },
                balancer=balancer.arn_suffix if balancer is not None else None,
                rollout=rollout,
                secrets={
                    key: StoredSecret(arn=self._secrets.arns[key], version=self._secrets.versions[key])
                    for key in sorted(set(service.secrets.values()))
                },
                logins=self._secrets.login_arns,
                data=_volume(data),
                used=[other.released for other in before],
                after=after,
            ),
            self._child,
        )
        public: dict[str, pulumi.Resource] = {}
        if balancer is not None and rollout is None:
            public = {
                rule.name: forward_rule(
                    balancer,
                    rule,
                    sticky=service.settings.sticky,
                    tags=self._tags,
                    after=made.resources,
                    released=made.released,
                )
                for rule in rules
            }
        self._rules |= public
        self._make_scaling(service, made, balancer, list(public.values()))
        return made

    def _rules_of(self, service: AwsService) -> Sequence[Rule]:
        return [rule for balancer in self._plan.balancers for rule in balancer.rules if rule.service == service.name]

    def _make_data(self, service: AwsService) -> FileSystem | None:
        if not service.stateful:
            return None
        # The settings refuse a volume whose user is no number.
        user, _, group = (service.settings.user or "0").partition(":")
        return FileSystem(
            f"data-{service.name}",
            FileSystemArgs(
                account=self._account,
                subnet_ids=self._network.private_subnet_ids,
                security_group_id=self._groups.ids[f"data-{service.name}"],
                uid=int(user),
                gid=int(group or user),
                protect=self._stack.protect,
                tags=self._tags,
            ),
            self._child,
        )

    def _make_scaling(
        self,
        service: AwsService,
        made: EcsService,
        balancer: LoadBalancer | None,
        public: Sequence[pulumi.Resource],
    ) -> None:
        for variant in service.variants:
            if variant.scaling is None:
                continue
            colours = (variant.target_group, None if variant.canary else service.alternate)
            requests = None
            if balancer is not None and variant.target_group is not None:
                suffixes = [balancer.target_group_arn_suffixes[group] for group in colours if group is not None]
                requests = RequestMetric(balancer=balancer.arn_suffix, target_groups=suffixes)
            service_scaling(
                variant.name,
                ServiceScalingArgs(
                    scaling=variant.scaling,
                    cluster_name=self.cluster.cluster_name,
                    service_name=made.names[variant.name],
                    requests=requests,
                    after=public,
                    tags=self._tags,
                ),
                made,
            )

    def _image(self, image: AwsImage) -> pulumi.Input[str]:
        if image.repository is None or self.registry is None:
            return image.reference or ""
        # A repository of our own is known once it exists; a cache's is made by ECR on the first pull.
        url = self.registry.urls.get(image.repository) or pulumi.Output.concat(
            self.registry.host, "/", image.repository
        )
        return pulumi.Output.concat(url, "@", image.digest or "")


def build(loaded: Loaded) -> Mapping[str, object]:
    planned = plan(loaded.stack, loaded.sources)
    for note in [*planned.notes, *notes(loaded.stack)]:
        pulumi.log.warn(note)
    made = Aws("aws", loaded, planned)
    return outputs(planned, made)


def _zone(stack: Stack) -> pulumi.Output[str] | None:
    if stack.dns.provider != "route53":
        return None
    return aws.route53.get_zone_output(name=stack.dns.zone or stack.domain).zone_id


def _groups_of(service: AwsService) -> Sequence[str]:
    named = [*(variant.target_group for variant in service.variants), service.alternate]
    return [group for group in named if group is not None]


def _target_group_settings(balancer: BalancerPlan, stack: Stack) -> Mapping[str, TargetGroupSettings]:
    found: dict[str, TargetGroupSettings] = {}
    for group in balancer.target_groups:
        settings = stack.services[group.service]
        found[group.name] = TargetGroupSettings(
            health=settings.health.path or "/",
            interval=settings.health.interval,
            timeout=settings.health.timeout,
            unhealthy=tasks.bad_checks(settings.health.interval),
            drain=settings.drain,
            sticky=settings.sticky,
            slow_start=settings.slow_start or 0,
        )
    return found


def _volume(data: FileSystem | None) -> DataVolume | None:
    if data is None:
        return None
    return DataVolume(
        file_system_id=data.file_system_id,
        file_system_arn=data.file_system_arn,
        access_point_id=data.access_point_id,
        access_point_arn=data.access_point_arn,
    )
