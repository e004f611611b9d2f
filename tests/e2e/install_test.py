"""The installed program, from a prefix of its own and another working directory: the example in short, configs,
templates, completion."""
import functools
import json
import os
import pathlib
import re
import subprocess

import lathe

BUILD = pathlib.Path(os.environ["LATHE_BUILD"])


def has_plugin():
    return (BUILD / "bin/liblathe_cuda.so").exists()


def run(arguments, where, prefix, code=0):
    """With nothing in the environment that names the source or the build tree."""
    environment = {"PATH": f"{prefix}/bin:/usr/bin:/bin", "HOME": str(where)}
    done = subprocess.run(["lathe", *map(str, arguments)], cwd=where, env=environment, capture_output=True, text=True,
                          timeout=300)
    assert done.returncode == code, (arguments, done.returncode, done.stdout, done.stderr)
    return done.stdout if code == 0 else done.stderr


def holds_its_files(prefix, where):
    for name in ["bin/lathe", "share/lathe/configs/example.yaml", "share/lathe/slurm/site.sh",
                 "share/bash-completion/completions/lathe", "share/doc/lathe/LICENSE", "share/doc/lathe/README.md",
                 "share/doc/lathe/docs/job_file.md",
                 "share/lathe/python/pyproject.toml", "share/lathe/python/lathe_checkpoint/__init__.py"]:
        assert (prefix / name).is_file(), name
    completion = (prefix / "share/bash-completion/completions/lathe").read_text()
    assert completion == lathe.run(["--bash-completion"]).stdout
    assert (prefix / "lib/lathe/liblathe_cuda.so").exists() == has_plugin()
    program = (prefix / "bin/lathe").read_bytes()
    for tree in (lathe.ROOT, BUILD):
        assert f"{tree}/".encode() not in program, f"the program knows {tree}"


def says_its_version(prefix, where):
    first, *others = run(["--version"], where, prefix).splitlines()
    assert re.fullmatch(r"lathe \d+\.\d+\.\d+", first), first
    lines = dict(line.split(": ", 1) for line in others)
    assert re.fullmatch(r"[0-9a-f]{12,40}(-dirty)?|unknown", lines["commit"]), lines
    assert re.fullmatch(r"\d+\.\d+\.\d+", lines["HDF5"]), lines
    assert re.search(r"\d\.\d", lines["MPI"]) and lines["instruction sets"].startswith("generic"), lines
    assert lines["CUDA"] == ("compiled" if has_plugin() else "not compiled"), lines


def runs_the_example(prefix, where):
    """In short."""
    run(["run", "configs/example.yaml", "--set", "calibration.num_calibration_samples=8", "--set",
         "calibration.max_seq_length=64", "--set", "search.strategy=knapsack", "--set",
         "search.num_evaluation_samples=2", "--set", "evaluate.limit=4"], where, prefix)
    assert f"{prefix}/share/lathe/examples/kjv-llama" in (where / "runs/example/job.yaml").read_text()
    run(["verify", "runs/example/checkpoint"], where, prefix)


def finds_configs_and_templates(prefix, where):
    plan = json.loads(run(["plan", "--model", "configs/models/llama-2-7b", "--json"], where, prefix))
    assert plan["parameters"] == 6738415616, plan
    assert "no such file: configs/nowhere.yaml" in run(["plan", "configs/nowhere.yaml"], where, prefix, code=66)
    script = run(["submit", "configs/example.yaml", "--output", "submitted", "--site", "slurm/site.sh", "--template",
                  "slurm/mpirun.sh", "--dry-run"], where, prefix)
    assert f"lathe=${{lathe:-{prefix}/bin/lathe}}" in script and "mpirun" in script, script


def prefers_the_working_directory(prefix, where):
    (where / "configs").mkdir()
    (where / "configs/example.yaml").write_text("model: of-my-own\n")
    assert "output" in run(["plan", "configs/example.yaml"], where, prefix, code=64)


def main():
    with lathe.Scratch() as scratch:
        # Moved after it was installed: it must find everything from where it is.
        subprocess.run(["cmake", "--install", str(BUILD), "--prefix", str(scratch / "first")], check=True,
                       stdout=subprocess.DEVNULL)
        prefix = (scratch / "first").rename(scratch / "moved")
        where = scratch / "elsewhere"
        where.mkdir()
        tests = [holds_its_files, says_its_version, runs_the_example, finds_configs_and_templates,
                 prefers_the_working_directory]
        lathe.main([functools.update_wrapper(functools.partial(test, prefix, where), test) for test in tests])


main()
