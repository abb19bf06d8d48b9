"""``${service.attribute}`` in env and files: the names by which a service reaches those in its ``uses``; and
``${hosts.NAME.address}``, where a server is that was there before the stack.

The values are plain stable names, never addresses: previews are fully known, and no container is replaced because
another one moved.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Mapping
from types import SimpleNamespace

import jinja2
import jinja2.sandbox

from settings.problems import Problem
from settings.service import Service

_REFERENCE = re.compile(r"\$\{([^{}]*)\}")
HOSTS = "hosts"
SECRETS = "secrets"
_ATTRIBUTES = ("url", "address", "host", "port")


def attributes(name: str, service: Service) -> Mapping[str, str]:
    """What ``${name.…}`` can say of a service: only HTTP services have a ``url``, all have an ``address``."""
    if service.port is None:
        return {}
    port = 80 if service.protocol == "http" else service.port
    values = {"host": name, "port": str(port), "address": f"{name}:{port}"}
    return {"url": f"http://{name}", **values} if service.protocol == "http" else values


class Resolver:
    """Resolves the references of one service, and collects what is wrong with them."""

    def __init__(
        self, name: str, services: Mapping[str, Service], domain: str, hosts: Mapping[str, str] | None = None
    ) -> None:
        """``hosts``: name → address, of those that are known before anything is made."""
        self._name = name
        self._service = services[name]
        self._services = services
        self._domain = domain
        # A service of that name keeps it.
        self._hosts = hosts or {} if HOSTS not in services else None
        self.problems: list[Problem] = []

    def text(self, path: str, text: str, only: re.Pattern[str] | None = None) -> str:
        """Replace every ``${service.attribute}`` and ``${domain}``; ``$${`` stands for a literal ``${``.

        What is not like ``only`` stays as it is.
        """

        def value(found: re.Match[str]) -> str:
            reference = found[1].strip()
            return found[0] if only is not None and not only.fullmatch(reference) else self._value(path, reference)

        return "${".join(_REFERENCE.sub(value, part) for part in text.split("$${"))

    def template(self, path: str, text: str) -> str:
        """Render a Jinja template in which ``{{ cart.url }}``, ``{{ domain }}`` and ``{{ env.X }}`` are known."""
        environment = jinja2.sandbox.SandboxedEnvironment(
            undefined=jinja2.StrictUndefined, keep_trailing_newline=True, autoescape=False
        )
        names: dict[str, object] = {
            used.replace("-", "_"): SimpleNamespace(**attributes(used, self._services[used]))
            for used in self._service.uses
            if used in self._services
        }
        if self._hosts is not None:
            addresses = {host.replace("-", "_"): SimpleNamespace(address=at) for host, at in self._hosts.items()}
            names[HOSTS] = SimpleNamespace(**addresses)
        names |= {"domain": self._domain, "env": dict(self._service.env)}
        try:
            rendered = environment.from_string(text).render(names)
        except (jinja2.TemplateError, ArithmeticError, TypeError, ValueError, RecursionError) as error:
            known = ", ".join(sorted(names))
            self.problems.append(Problem(path, f"the template cannot be rendered: {error}", f"known names: {known}"))
            return ""
        return self.text(path, rendered)

    def _value(self, path: str, reference: str) -> str:
        if reference == "domain":
            return self._domain
        target, _, attribute = reference.partition(".")
        if target == HOSTS and self._hosts is not None:
            return self._host(path, reference, attribute, self._hosts)
        problem = self._problem(path, reference, target, attribute)
        if problem is not None:
            self.problems.append(problem)
            return ""
        return attributes(target, self._services[target])[attribute]

    def _host(self, path: str, reference: str, asked: str, hosts: Mapping[str, str]) -> str:
        name, _, attribute = asked.partition(".")
        if name in hosts and attribute == "address":
            return hosts[name]
        if name in hosts:
            self.problems.append(
                Problem(path, f"${{{reference}}}: of a host there is its address, {HOSTS}.{name}.address")
            )
        else:
            known = f"servers that were there before the stack: {', '.join(sorted(hosts)) or 'none'}"
            self.problems.append(Problem(path, f'${{{reference}}} names no server; there is no "{name}"', known))
        return ""

    def _problem(self, path: str, reference: str, target: str, attribute: str) -> Problem | None:
        if target == SECRETS and target not in self._services:
            return Problem(
                path,
                f"${{{reference}}}: a secret stands neither in a text nor in a file, where it would be plain to read",
                f"make the whole value a secret, and name its key: services/{self._name}/secrets: {{NAME: KEY}}",
            )
        if target not in self._services and "/command" in path and not attribute:
            return Problem(
                path,
                f"${{{reference}}} names no service; a variable is replaced by a shell alone, and none reads this",
                f"write [sh, -c, '…'], or $${{{reference}}} for the text itself",
            )
        if target not in self._services:
            return Problem(
                path, f'${{{reference}}} names no service; there is no "{target}"', did_you_mean(target, self._services)
            )
        if target not in self._service.uses:
            return Problem(
                path,
                f'${{{reference}}} names "{target}", which this service does not use',
                f"add {target} to services/{self._name}/uses",
            )
        known = attributes(target, self._services[target])
        if not known:
            return Problem(
                path, f'${{{reference}}}: "{target}" has no port, so it has no address', f"set services/{target}/port"
            )
        if attribute not in known:
            asked = f'"{attribute}"' if attribute in _ATTRIBUTES else f'"{attribute}", which is no attribute'
            return Problem(path, f'${{{reference}}} asks for {asked}; "{target}" has {", ".join(sorted(known))}')
        return None


def did_you_mean(name: str, known: Iterable[str]) -> str:
    known = sorted(known)
    close = difflib.get_close_matches(name, known, n=1)
    return f'did you mean "{close[0]}"?' if close else f"services: {', '.join(known) or 'none'}"


def check_uses(services: Mapping[str, Service]) -> Iterable[Problem]:
    """Every name in ``uses`` and ``after`` is another service, and what is used can be reached."""
    for name, service in services.items():
        for key, targets in (("uses", service.uses), ("after", service.after)):
            for index, target in enumerate(targets):
                path = f"services/{name}/{key}/{index}"
                if target not in services:
                    yield Problem(path, f'there is no service "{target}"', did_you_mean(target, services))
                elif target == name and key == "after":
                    yield Problem(path, "a service cannot come after itself", "remove it")
                elif key == "uses" and services[target].port is None:
                    yield Problem(
                        path, f'"{target}" has no port, so nothing can reach it', f"set services/{target}/port"
                    )
        for target in set(service.uses) & set(services):
            if service.network == "host":
                yield Problem(
                    f"services/{name}/network",
                    "a service on the host's network cannot be told from others, so it may not use any",
                    f"remove uses, or network: host, from {name}",
                )
                break
            if services[target].network == "host":
                yield Problem(
                    f"services/{target}/network",
                    f'"{name}" uses it, so it cannot be on the host\'s network',
                    f"remove network: host from {target}",
                )
