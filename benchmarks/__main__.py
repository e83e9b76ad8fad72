"""Run the measurements that are named, or all: `python -m benchmarks noop tables`."""

import sys
from importlib import import_module

ALL = (
    "rendering",
    "environment",
    "first_train",
    "noop",
    "throughput",
    "batch",
    "quality",
    "tables",
    "tuning",
    "serving",
    "monitoring",
    "loop",
)

if __name__ == "__main__":
    for name in sys.argv[1:] or ALL:
        if name not in ALL:
            sys.exit(f"{name} is no measurement; name one of {', '.join(ALL)}.")
        print(f"\n## {name}", flush=True)
        import_module(f"benchmarks.{name}").main()
