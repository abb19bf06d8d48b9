"""Writes the scripts that packer/*.pkr.hcl bake machine images with: `make images`."""

from __future__ import annotations

from pathlib import Path

from planning.hosts import machine_images

FOLDER = Path(__file__).parents[1] / "packer"


def outputs() -> dict[Path, str]:
    """Every generated file's text."""
    return {FOLDER / name: text for name, text in machine_images.outputs().items()}


def main() -> None:
    for path, text in outputs().items():
        path.write_text(text)
        path.chmod(0o755)


if __name__ == "__main__":
    main()
