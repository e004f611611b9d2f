#!/usr/bin/env python3
"""Fails when a folder includes one it may not. The table is the architecture: docs/design.md."""
import pathlib
import re
import sys

MAY_INCLUDE = {
    "lib/core": [],
    "lib/comm": ["lib/core"],
    "lib/dataset": ["lib/core"],
    "lib/model": ["lib/core"],
    "lib/tokenizer": ["lib/core"],
    "lib/template": ["lib/core", "lib/tokenizer"],
    "lib/encoding": ["lib/core"],
    "lib/job": ["lib/core"],
    "kernels": ["lib/core"],
    "lib/checkpoint": ["lib/core", "lib/encoding"],
    "lib/config": ["lib/core", "lib/job"],
    "methods": ["lib/core", "lib/encoding", "lib/job", "lib/config", "lib/model", "kernels"],
    "workers": ["lib", "kernels", "methods"],
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
}

root = pathlib.Path(sys.argv[1])
problems = 0
for top in ("lib", "kernels", "methods", "workers", "orchestrator"):
    for file in sorted(p for p in (root / top).rglob("*") if p.suffix in {".hpp", ".cpp", ".cu", ".cuh"}):
        path = file.relative_to(root).as_posix()
        home = max((h for h in MAY_INCLUDE if path.startswith(h + "/")), key=len, default=None)
        if home is None:
            print(f"{path}: in no folder of the table")
            problems += 1
            continue
        allowed = [home, *MAY_INCLUDE[home]]
        for number, line in enumerate(file.read_text().splitlines(), 1):
            own = re.match(r'\s*#\s*include\s+"([^"]+)"', line)
            if own and not any(own[1].startswith(a + "/") for a in allowed):
                print(f"{path}:{number}: {home} may not include {own[1]}")
                problems += 1
            other = re.match(r"\s*#\s*include\s+<([^>]+)>", line)
            for pattern, places in FENCED.items():
                if other and re.fullmatch(pattern, other[1]) and not any(path.startswith(p + "/") for p in places):
                    print(f"{path}:{number}: <{other[1]}> belongs in {' or '.join(places)}")
                    problems += 1
print(f"{problems} problems")
sys.exit(problems > 0)
