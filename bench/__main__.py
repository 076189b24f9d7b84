"""All benchmarks, one after the other: ``make bench`` (``python -m bench --quick`` for a look)."""

import subprocess
import sys
from pathlib import Path

BENCHES = {
    "media_engine": ["--quick"],
    "calls": ["--quick"],
    "stt": ["--rounds", "1"],
    "tts": [],
    "llm": ["smollm2-135m-instruct"],
}
"""Each with the arguments that make it quick."""


def main() -> int:
    """Run each in a process of its own; 1 when one of them failed."""
    failed: list[str] = []
    for name, quick in BENCHES.items():
        print(f"\n=== {name}", flush=True)
        command = [sys.executable, str(Path(__file__).with_name(f"{name}.py"))]
        if subprocess.run([*command, *(quick if "--quick" in sys.argv else [])], check=False).returncode:
            failed.append(name)
    if failed:
        print(f"\nfailed: {', '.join(failed)}")
    return bool(failed)


if __name__ == "__main__":
    sys.exit(main())
