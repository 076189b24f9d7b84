"""Prints a constraints file that pins each wheel of a folder to its own file: local_wheels.py FOLDER."""

import sys
from pathlib import Path


def constraints(folder: Path) -> list[str]:
    """Return one ``name @ file:///…`` line a wheel."""
    wheels = sorted(folder.resolve().glob("*.whl"))
    return [f"{wheel.name.partition('-')[0].replace('_', '-')} @ {wheel.as_uri()}" for wheel in wheels]


if __name__ == "__main__":
    sys.stdout.write("\n".join(constraints(Path(sys.argv[1]))) + "\n")
