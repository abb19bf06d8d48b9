"""The program that ``pulumi up`` runs: load the stack's settings, build its platform, export what it made."""

from pathlib import Path

import pulumi

import platforms

for name, value in platforms.deploy(Path(__file__).parent).items():
    pulumi.export(name, value)
