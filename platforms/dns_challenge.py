"""What the acme provider needs to lay a proof into the DNS: the credentials that the stack has for it already."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence

import pulumi

from settings.load import provider_setting

_TOKENS: Mapping[str, tuple[str, str, Sequence[str]]] = {
    "hetzner": ("HETZNER_API_TOKEN", "hcloud", ("HCLOUD_TOKEN",)),
    "digitalocean": ("DO_AUTH_TOKEN", "digitalocean", ("DIGITALOCEAN_TOKEN", "DIGITALOCEAN_ACCESS_TOKEN")),
}
"""DNS → the acme provider's variable for its token; the Pulumi provider that has it as `token`, and the variables that
one reads where the setting is unset. The acme provider itself knows neither."""

_AWS: Mapping[str, str] = {
    "accessKey": "AWS_ACCESS_KEY_ID",
    "secretKey": "AWS_SECRET_ACCESS_KEY",
    "token": "AWS_SESSION_TOKEN",
    "profile": "AWS_PROFILE",
    "region": "AWS_REGION",
}
"""Setting of Pulumi's provider → variable. AWS's own variables the acme provider reads like any other."""


def credentials(dns: str, zone_id: pulumi.Output[str] | None) -> Mapping[str, pulumi.Input[str]]:
    """Variables for the acme provider. Without a token, as in a preview on a fork, it is left to its environment."""
    if dns == "route53":
        found: dict[str, pulumi.Input[str]] = {} if zone_id is None else {"AWS_HOSTED_ZONE_ID": zone_id}
        for key, variable in _AWS.items():
            if (value := provider_setting("aws", key)) is not None:
                found[variable] = value
        return found
    variable, provider, elsewhere = _TOKENS[dns]
    token = provider_setting(provider, "token")
    if token is not None:
        return {variable: token}
    given = next((value for name in elsewhere if (value := os.environ.get(name))), None)
    return {} if given is None else {variable: given}
