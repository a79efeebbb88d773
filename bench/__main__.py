"""Runs every benchmark of this package, or those named, each in a process of its own, and prints their tables."""

from __future__ import annotations

import argparse
import importlib
import pkgutil
import subprocess
import sys

import bench


def names() -> list[str]:
    """The benchmarks, sorted: modules with a function `run`, or with a `main` that prints for itself."""
    found = sorted(m.name for m in pkgutil.iter_modules(bench.__path__) if not m.name.startswith("_"))
    return [name for name in found if {"run", "main"} & set(vars(importlib.import_module(f"bench.{name}")))]


def one(name: str, scale: float, *, as_json: bool) -> None:
    module = importlib.import_module(f"bench.{name}")
    if not hasattr(module, "run"):
        if as_json:
            print(f"{name} prints no JSON and is left out: it has no function run(scale)", file=sys.stderr)
            return
        sys.argv[1:] = []
        print(f"{name} (at its own scale)", flush=True)
        module.main()
        print(flush=True)
        return
    tables = bench.as_list(module.run(scale))
    if as_json:
        print(bench.as_json(name, tables), flush=True)
    else:
        bench.show(tables)


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help="all when none is given")
    parser.add_argument("--scale", type=float, default=1.0, help="size of the work; 1 by default")
    parser.add_argument("--json", action="store_true", help="one JSON document a table, on stdout")
    arguments = parser.parse_args()
    known = names()
    if unknown := sorted(set(arguments.names) - set(known)):
        parser.error(f"there is no benchmark {unknown[0]!r}; there are: {', '.join(known)}")
    chosen = arguments.names or known
    if len(chosen) == 1:
        one(chosen[0], arguments.scale, as_json=arguments.json)
        return 0
    failed = []
    for name in chosen:  # each in a process of its own: memory peaks do not mix
        command = [sys.executable, "-m", "bench", name, "--scale", str(arguments.scale)]
        if subprocess.run(command + ["--json"] * arguments.json, check=False).returncode:
            failed.append(name)
    for name in failed:
        print(f"{name} failed", file=sys.stderr)
    return bool(failed)


if __name__ == "__main__":
    sys.exit(main())
