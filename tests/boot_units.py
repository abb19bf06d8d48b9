"""Units that a machine boots with, to order ours among: Debian's own, and of others what their units say of order.

Real trees are unpacked from Debian's packages, which apt fetches from the mirror that this machine uses; they are kept
in a folder of the caller's. Where they cannot be had, `UnavailableError` says why.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path

PACKAGES = (
    "chrony",
    "cloud-init",
    "containerd",
    "cron",
    "dbus",
    "docker.io",
    "ifupdown",
    "netplan.io",
    "openssh-server",
    "systemd",
    "systemd-resolved",
    "udev",
    "unattended-upgrades",
)
ENABLED = ("docker.service", "docker.socket", "ssh.service", "systemd-networkd.service", "systemd-resolved.service")
KEYRING = "/usr/share/keyrings/debian-archive-keyring.gpg"


class UnavailableError(Exception):
    """The units of a distribution cannot be had here; the message says why."""


def debian(suite: str, folder: Path) -> Path:
    """The root of a tree with Debian's units, enabled as its packages and cloud-init's generator do."""
    tree = folder / suite
    if tree.is_dir():
        return tree
    lacking = [tool for tool in ("apt-get", "dpkg-deb", "systemctl") if shutil.which(tool) is None]
    if lacking or not Path(KEYRING).exists():
        raise UnavailableError(f"needs {', '.join(lacking) or KEYRING}, as Debian has them")
    work = folder / f"{suite}.{os.getpid()}"
    try:
        _unpack(suite, work)
        _enable(work / "tree")
        (work / "tree").rename(tree)
    except OSError:
        if not tree.is_dir():  # another process may have been faster
            raise
    finally:
        shutil.rmtree(work, ignore_errors=True)
    return tree


def _unpack(suite: str, work: Path) -> None:
    apt = work / "apt"
    for name in ("lists/partial", "cache/archives/partial", "parts"):
        (apt / name).mkdir(parents=True)
    (apt / "status").touch()
    (apt / "sources.list").write_text(f"deb [signed-by={KEYRING}] {_mirror()} {suite} main\n")
    (apt / "apt.conf").write_text(
        f'Dir::State::lists "{apt}/lists";\nDir::Cache "{apt}/cache";\nDir::State::status "{apt}/status";\n'
        f'Dir::Etc::sourcelist "{apt}/sources.list";\nDir::Etc::sourceparts "{apt}/parts";\n'
        'APT::Sandbox::User "";\nAcquire::Languages "none";\n'
        'Acquire::IndexTargets::deb::DEP-11::DefaultEnabled "false";\n'
        'Acquire::Retries "1";\nAcquire::http::Timeout "20";\n'
    )
    environment = {**os.environ, "APT_CONFIG": str(apt / "apt.conf")}
    for words in (["update", "-qq"], ["download", "-qq", *PACKAGES]):
        done = subprocess.run(
            ["apt-get", *words], cwd=apt, env=environment, capture_output=True, text=True, check=False
        )
        if done.returncode:
            raise UnavailableError(f"apt-get {words[0]} for {suite}: {done.stderr.strip()[-300:]}")
    (work / "tree").mkdir()
    for package in sorted(apt.glob("*.deb")):
        # Of the programs only their names: `verify` looks whether what a unit starts is there.
        archive = subprocess.Popen(["dpkg-deb", "--fsys-tarfile", str(package)], stdout=subprocess.PIPE)
        subprocess.run(
            ["tar", "-x", "-C", str(work / "tree"), "--wildcards", "./lib/systemd/*", "./usr/lib/systemd/*", "./etc/*"],
            stdin=archive.stdout,
            stderr=subprocess.DEVNULL,  # of packages that have none of these
            check=False,
        )
        archive.wait()


def _mirror() -> str:
    done = subprocess.run(
        ["apt-get", "indextargets", "--format", "$(REPO_URI) $(RELEASE)", "Created-By: Packages"],
        capture_output=True,
        text=True,
        check=False,
    )
    for line in done.stdout.splitlines():
        uri, _, release = line.partition(" ")
        if release in {"bookworm", "trixie", "stable"}:
            return uri
    raise UnavailableError("this machine's apt has no mirror of Debian")


def _enable(tree: Path) -> None:
    _systemctl(tree, "preset-all")
    _systemctl(tree, "enable", *ENABLED)
    # cloud-init's generator does this at boot, wherever a cloud is.
    wants = tree / "etc/systemd/system/multi-user.target.wants"
    wants.mkdir(parents=True, exist_ok=True)
    (home,) = (folder for folder in ("lib", "usr/lib") if (tree / folder / "systemd/system/cloud-init.target").exists())
    (wants / "cloud-init.target").symlink_to(f"/{home}/systemd/system/cloud-init.target")


def _systemctl(tree: Path, *words: str) -> None:
    # Of services that have a script of SysV's, too, it would run that one's tool, which is not there.
    subprocess.run(["systemctl", f"--root={tree}", "--quiet", *words], capture_output=True, check=False)


def written(units: Mapping[str, str], tree: Path) -> Path:
    """A tree of units that are given as text: of those in `_TARGETS` and these."""
    folder = tree / "etc/systemd/system"
    folder.mkdir(parents=True)
    for name, text in {**_TARGETS, **units}.items():
        start = "\n[Service]\nType=oneshot\nExecStart=/bin/true\n" if name.endswith(".service") else ""
        listen = "\n[Socket]\nListenStream=/run/x\n" if name.endswith(".socket") else ""
        install, unit = "", list[str]()
        for line in text.split(";"):
            if line.strip().startswith("WantedBy="):
                install += f"\n[Install]\n{line.strip()}\n"
            elif line.strip():
                unit.append(line.strip())
        (folder / name).write_text("\n".join(["[Unit]", *unit]) + f"\n{start}{listen}{install}")
    binary = tree / "bin/true"
    binary.parent.mkdir()
    binary.touch(0o755)
    _systemctl(tree, "enable", *(name for name, text in {**_TARGETS, **units}.items() if "WantedBy=" in text))
    return tree


_EARLY = "DefaultDependencies=no;Conflicts=shutdown.target;Before=shutdown.target"

_TARGETS: Mapping[str, str] = {
    "shutdown.target": "DefaultDependencies=no",
    "local-fs.target": "DefaultDependencies=no;Conflicts=shutdown.target",
    "sysinit.target": "Wants=local-fs.target;After=local-fs.target;Conflicts=shutdown.target",
    "sockets.target": "Conflicts=shutdown.target",
    "timers.target": "DefaultDependencies=no;Conflicts=shutdown.target",
    "time-sync.target": "",
    "time-set.target": "",
    "basic.target": "Requires=sysinit.target;Wants=sockets.target timers.target;"
    "After=sysinit.target sockets.target timers.target",
    "multi-user.target": "Requires=basic.target;After=basic.target",
    "network-pre.target": "",
    "network.target": "After=network-pre.target",
    "network-online.target": "After=network.target",
    "cloud-config.target": "",
    "cloud-init.target": "After=multi-user.target;WantedBy=multi-user.target",
}
"""As systemd's own manual pages bootup(7) and systemd.special(7) have them."""

_NETWORKD: Mapping[str, str] = {
    "systemd-networkd.service": f"{_EARLY};Wants=network.target;After=network-pre.target;"
    "Before=network.target multi-user.target;WantedBy=multi-user.target",
    "systemd-networkd-wait-online.service": f"{_EARLY};After=systemd-networkd.service;Before=network-online.target;"
    "WantedBy=network-online.target",
    "systemd-resolved.service": f"{_EARLY};Before=sysinit.target network.target;WantedBy=sysinit.target",
}

_DOCKER: Mapping[str, str] = {
    "docker.socket": "WantedBy=sockets.target",
    "containerd.service": "After=network.target local-fs.target;WantedBy=multi-user.target",
    "docker.service": "Wants=network-online.target containerd.service;Requires=docker.socket;"
    "After=network-online.target docker.socket containerd.service;WantedBy=multi-user.target",
}

_CLOUD_INIT: Mapping[str, str] = {
    "cloud-init-local.service": f"{_EARLY};Wants=network-pre.target;Before=network-pre.target sysinit.target;"
    "WantedBy=cloud-init.target",
    "cloud-config.service": "After=network-online.target cloud-config.target;Wants=network-online.target "
    "cloud-config.target;WantedBy=cloud-init.target",
    "cloud-final.service": "After=network-online.target cloud-config.service multi-user.target;"
    "Wants=network-online.target cloud-config.service;WantedBy=cloud-init.target",
}

UBUNTU: Mapping[str, Mapping[str, str]] = {
    "Ubuntu 24.04": {
        **_NETWORKD,
        **_DOCKER,
        **_CLOUD_INIT,
        "cloud-init.service": f"{_EARLY};Wants=cloud-init-local.service;After=cloud-init-local.service "
        "systemd-networkd-wait-online.service networking.service;Before=network-online.target sysinit.target;"
        "WantedBy=cloud-init.target",
    },
    "Ubuntu 24.04, cloud-init in one process": {
        **_NETWORKD,
        **_DOCKER,
        **_CLOUD_INIT,
        "cloud-init-main.service": f"{_EARLY};Before=cloud-init-local.service;WantedBy=cloud-init.target",
        "cloud-init-network.service": f"{_EARLY};Wants=cloud-init-local.service;After=cloud-init-local.service "
        "systemd-networkd-wait-online.service networking.service;Before=network-online.target sysinit.target;"
        "WantedBy=cloud-init.target",
    },
}
"""What is said of order in canonical/cloud-init, systemd/*.service.tmpl for variant `ubuntu`, as Ubuntu packages it:
its debian/patches of 24.04 take the single process out again, and have the network stage wait for networkd."""

AMAZON: Mapping[str, str] = {
    **_NETWORKD,
    **_DOCKER,
    "cloud-init-local.service": "Wants=network-pre.target;Before=network-pre.target;WantedBy=cloud-init.target",
    "cloud-init.service": "Wants=cloud-init-local.service;After=cloud-init-local.service "
    "systemd-networkd-wait-online.service;Before=network-online.target;WantedBy=cloud-init.target",
    "cloud-config.service": _CLOUD_INIT["cloud-config.service"],
    "cloud-final.service": "After=network-online.target cloud-config.service;"
    "Wants=network-online.target cloud-config.service;WantedBy=cloud-init.target",
    "ecs.service": "Requires=docker.service;After=docker.service cloud-final.service;WantedBy=multi-user.target",
}
"""Amazon Linux 2023 with ECS's agent: aws/amazon-ecs-init, packaging/amazon-linux-ami-integrated/ecs.service; and
cloud-init's for variant `amazon`, whose final stage comes before the agent."""
