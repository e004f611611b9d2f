#!/usr/bin/env python3
"""Fails when a folder includes one it may not. The table is the architecture: docs/design.md."""
import pathlib
import re
import sys

# Names for what several rows share.
CPU = ["kernels/cpu/cpu_backend.hpp", "kernels/cpu/common", "kernels/cpu/variants"]
BELOW_WORKERS = ["lib", "kernels", "methods"]
# What a report reads, and how the orchestrator writes figures.
RECORDS = ["orchestrator/journal.hpp", "orchestrator/neuron_concentration.hpp", "orchestrator/progress.hpp",
           "orchestrator/run_records.hpp", "orchestrator/version.hpp"]
BASE = ["workers/samples", "workers/model", "workers/network", "workers/job", "workers/chain"]

MAY_INCLUDE = {
    "lib/core": [],
    "lib/comm": ["lib/core"],
    "lib/dataset": ["lib/core"],
    "lib/model": ["lib/core"],
    "lib/tokenizer": ["lib/core"],
    "lib/template": ["lib/core", "lib/tokenizer"],
    "lib/encoding": ["lib/core"],
    "lib/job": ["lib/core"],
    "kernels/contract": ["lib/core"],
    "kernels/layouts": ["lib/core", "kernels/contract", "kernels/cuda/half.cuh"],
    "kernels/reference": ["lib/core", "kernels/contract", "kernels/layouts"],
    "kernels/cpu/variants": ["lib/core"],
    "kernels/cpu/common": ["lib/core", "kernels/cpu/variants"],
    "kernels/cpu": ["lib/core", "kernels/contract"],
    "kernels/cpu/forward": ["lib/core", "kernels/contract", "kernels/layouts", *CPU],
    "kernels/cpu/integers": ["lib/core", "kernels/contract", "kernels/layouts", *CPU],
    "kernels/cpu/packed": ["lib/core", "kernels/contract", "kernels/layouts", *CPU],
    "kernels/cpu/statistics": ["lib/core", "kernels/contract", "kernels/layouts", *CPU],
    "kernels/cpu/solvers": ["lib/core", "kernels/contract", "kernels/layouts", *CPU],
    "kernels/cuda": ["lib/core", "kernels/contract", "kernels/layouts", "kernels/cuda_plugin.hpp",
                     "kernels/cuda_interface.hpp"],
    "kernels": ["lib/core", "kernels"],
    "lib/checkpoint": ["lib/core", "lib/encoding"],
    "lib/config": ["lib/core", "lib/job"],
    "methods": ["lib/core", "lib/encoding", "lib/job", "lib/config", "lib/model", "kernels"],
    "workers/samples": ["lib"],
    "workers/model": ["lib", "kernels", "methods"],
    "workers/network": [*BELOW_WORKERS, "workers/samples", "workers/model"],
    "workers/job": [*BELOW_WORKERS, "workers/samples", "workers/model"],
    "workers/chain": [*BELOW_WORKERS, "workers/samples", "workers/model", "workers/network", "workers/job"],
    "workers/statistics": [*BELOW_WORKERS, *BASE],
    "workers/slicing": [*BELOW_WORKERS, *BASE, "workers/statistics"],
    "workers/calibration": [*BELOW_WORKERS, *BASE, "workers/statistics", "workers/slicing"],
    "workers/candidates": [*BELOW_WORKERS, *BASE, "workers/statistics", "workers/slicing", "workers/calibration"],
    "workers/checkpoint": [*BELOW_WORKERS, "workers/model", "workers/job", "workers/candidates"],
    "workers/exports": [*BELOW_WORKERS, "workers/model", "workers/checkpoint"],
    "workers/evaluation": [*BELOW_WORKERS, *BASE, "workers/candidates", "workers/checkpoint"],
    "orchestrator/batch": ["lib"],
    "workers": [*BELOW_WORKERS, "workers"],
    "orchestrator/report": ["lib", *RECORDS],
    "orchestrator": ["lib", "workers"],
}

# A C library's headers and the one place that may include them.
FENCED = {
    r"mpi\.h": ["lib/comm"],
    r"hdf5.*\.h|H5.*\.h": ["lib/checkpoint"],
    r"yaml-cpp/.*": ["lib/config"],
    r"cblas\.h|lapacke\.h": ["kernels/cpu"],
    r"(cuda|cublas|cusolver|nccl).*\.h": ["kernels/cuda"],
    r"pcre2\.h|utf8proc\.h": ["lib/tokenizer"],
    r"xxhash\.h": ["lib/core"],
    r"spdlog/.*": ["lib/core"],
    r"CLI/.*": ["orchestrator"],
    r"boost/(process|asio).*": ["orchestrator/batch"],
    r"boost/math/.*": ["lib/dataset"],
    r"boost/(?!process|asio|math).*": [],
}

root = pathlib.Path(sys.argv[1])
problems = 0
includes = {}
for top in ("lib", "kernels", "methods", "workers", "orchestrator"):
    for file in sorted(p for p in (root / top).rglob("*") if p.suffix in {".hpp", ".cpp", ".cu", ".cuh", ".def"}):
        path = file.relative_to(root).as_posix()
        home = max((h for h in MAY_INCLUDE if path.startswith(h + "/")), key=len, default=None)
        if home is None:
            print(f"{path}: in no folder of the table")
            problems += 1
            continue
        allowed = [home, *MAY_INCLUDE[home]]
        for number, line in enumerate(file.read_text().splitlines(), 1):
            own = re.match(r'\s*#\s*include\s+"([^"]+)"', line)
            if own:
                includes.setdefault(path, set()).add(own[1])
            if own and own[1] not in allowed and not any(own[1].startswith(a + "/") for a in allowed):
                print(f"{path}:{number}: {home} may not include {own[1]}")
                problems += 1
            other = re.match(r"\s*#\s*include\s+<([^>]+)>", line)
            for pattern, places in FENCED.items():
                if other and re.fullmatch(pattern, other[1]) and not any(path.startswith(p + "/") for p in places):
                    print(f"{path}:{number}: <{other[1]}> belongs in {' or '.join(places)}")
                    problems += 1
for path, named in sorted(includes.items()):
    for other in sorted(named):
        if path < other and path in includes.get(other, ()):
            print(f"{path} and {other} include each other")
            problems += 1
print(f"{problems} problems")
sys.exit(problems > 0)
