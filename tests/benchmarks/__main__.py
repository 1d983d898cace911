"""Run the benchmarks: all, or those that are named, as in `python -m tests.benchmarks fanout page`."""

import argparse
import os
import platform
import sys

import psutil

from tests.benchmarks import fanout, history, loop, page, plot

BENCHMARKS = {"fanout": fanout, "plot": plot, "page": page, "loop": loop, "history": history}


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks", description="Measure the speed.")
    parser.add_argument(
        "names", nargs="*", metavar="NAME", help=f"one of {', '.join(BENCHMARKS)}; default all"
    )
    names = parser.parse_args().names or list(BENCHMARKS)
    if unknown := set(names) - set(BENCHMARKS):
        parser.error(f"unknown benchmark {unknown.pop()!r}; try {', '.join(BENCHMARKS)}")

    print(f"Python {platform.python_version()} on {platform.system()}, {os.cpu_count()} cores")
    if (load := psutil.cpu_percent(interval=1)) > 10:
        print(f"The machine is {load:.0f} % busy with other things: expect worse figures")
    results = []
    for name in names:
        module = BENCHMARKS[name]
        print(f"\n{name}: {module.__doc__}", flush=True)
        results += module.run()

    rows = [("", "measured", "must be", "holds")]
    rows += [
        (result.what, result.figure, result.limit, "yes" if result.holds else "NO") for result in results
    ]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    print()
    for row in rows:
        print("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())
    sys.exit(not all(result.holds for result in results))


if __name__ == "__main__":
    main()
