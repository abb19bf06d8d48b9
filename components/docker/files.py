"""The files of a service, in volumes that its replicas mount read-only."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import pulumi
import pulumi_docker as docker

from components.docker.labels import container_labels, volume_labels
from planning import ServicePlan
from planning.names import ROLE_FILES, Naming, folder_key
from planning.plan import FileSet


@dataclass(frozen=True, slots=True, kw_only=True)
class FilesArgs:
    service: str
    files: FileSet
    naming: Naming
    pulls: Sequence[pulumi.Resource] = ()
    """What the image cannot be pulled without."""


class Files(pulumi.ComponentResource):
    """One volume a folder, and a container that never runs, through which Docker lays the files into them.

    Docker refuses to upload into a container with a read-only root, and replicas have one; and a container that never
    starts is the one way to fill a volume that works the same through every Docker connection. Named by their content:
    a changed file makes new volumes beside the old, which the old replicas keep until they go.
    """

    volumes: Mapping[str, pulumi.Output[str]]
    """Folder → volume name. Known only once the files are in it."""

    def __init__(self, name: str, args: FilesArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("quayside:docker:Files", name, None, opts)
        labels = args.naming.labels(args.service, ROLE_FILES)
        volumes = {
            folder: docker.Volume(
                f"{name}{folder_key(folder)}", labels=volume_labels(labels), opts=pulumi.ResourceOptions(parent=self)
            )
            for folder in args.files.folders
        }
        holder = docker.Container(
            name,
            image=args.files.image,
            command=["true"],
            start=False,
            must_run=False,
            network_mode="none",
            volumes=[
                docker.ContainerVolumeArgs(container_path=folder, volume_name=volume.name)
                for folder, volume in volumes.items()
            ]
            # Mounted here, too, so that Docker makes their places: in replicas the folder around them is read-only.
            + [
                docker.ContainerVolumeArgs(container_path=folder)
                for folder in args.files.inner
                if folder not in volumes
            ],
            uploads=[
                docker.ContainerUploadArgs(
                    file=file.path,
                    content=file.content or None,
                    # The provider refuses empty content, and takes an empty file.
                    source=None if file.content else os.devnull,
                    executable=file.executable,
                )
                for file in args.files.files
            ],
            labels=container_labels(labels),
            opts=pulumi.ResourceOptions(parent=self, delete_before_replace=False, depends_on=list(args.pulls) or None),
        )
        self.volumes = {
            folder: pulumi.Output.all(volume.name, holder.id).apply(lambda known: str(known[0]))
            for folder, volume in volumes.items()
        }
        self.register_outputs({"volumes": self.volumes})


def service_files(
    service: ServicePlan,
    naming: Naming,
    opts: pulumi.ResourceOptions,
    prefix: str = "",
    pulls: Sequence[pulumi.Resource] = (),
) -> Mapping[str, Mapping[str, pulumi.Output[str]]]:
    """Image → folder → volume, for every image a service runs: its own and its canary's."""
    return {
        image: Files(
            f"{prefix}{service.name}_{files.digest}",
            FilesArgs(service=service.name, files=files, naming=naming, pulls=pulls),
            opts,
        ).volumes
        for image, files in service.files.items()
    }
