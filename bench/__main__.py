"""Runs every benchmark of this package, or those named, each in a process of its own, and prints their tables."""

from __future__ import annotations

import argparse
import importlib
import pkgutil
import subprocess
import sys

import bench


def names() -> list[str]:
    """The benchmarks, sorted: modules with a function `run`."""
    found = [m.name for m in pkgutil.iter_modules(bench.__path__) if not m.name.startswith("_")]
    return sorted(name for name in found if hasattr(importlib.import_module(f"bench.{name}"), "run"))


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help="all when none is given")
    parser.add_argument("--scale", type=float, default=1.0, help="size of the work; 1 by default")
    parser.add_argument("--json", action="store_true", help="one JSON document a table, on stdout")
    parser.add_argument("--inline", action="store_true", help="in this process (peak memory then adds up)")
    arguments = parser.parse_args()
    known = names()
    if unknown := sorted(set(arguments.names) - set(known)):
        parser.error(f"there is no benchmark {unknown[0]!r}; there are: {', '.join(known)}")
    chosen = arguments.names or known
    if len(chosen) == 1 or arguments.inline:
        for name in chosen:
            tables = bench.as_list(importlib.import_module(f"bench.{name}").run(arguments.scale))
            if arguments.json:
                print(bench.as_json(name, tables), flush=True)
            else:
                bench.show(tables)
        return 0
    failed = []
    for name in chosen:
        command = [sys.executable, "-m", "bench", name, "--scale", str(arguments.scale)]
        if subprocess.run(command + ["--json"] * arguments.json, check=False).returncode:
            failed.append(name)
    for name in failed:
        print(f"{name} failed", file=sys.stderr)
    return bool(failed)


if __name__ == "__main__":
    sys.exit(main())
