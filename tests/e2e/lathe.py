"""Runs the program in tests: on one process or under mpirun, with its exit code and JSON checked."""
import array
import json
import os
import pathlib
import shutil
import signal
import struct
import subprocess
import sys
import tempfile
import time

ROOT = pathlib.Path(__file__).resolve().parents[2]
MODEL = ROOT / "examples/kjv-llama"
TEXTS = ROOT / "examples/kjv"
BINARY = pathlib.Path(os.environ["LATHE_BINARY"])
MPI_ENVIRONMENT = {
    "OMPI_ALLOW_RUN_AS_ROOT": "1", "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM": "1",
    "OMPI_MCA_rmaps_base_oversubscribe": "1", "OMPI_MCA_mpi_yield_when_idle": "1",
    "OMPI_MCA_btl_tcp_if_include": "lo", "OMPI_MCA_oob_tcp_if_include": "lo",
}


def command(arguments, ranks=0):
    """The command line; ranks = 0 starts the program without a launcher."""
    launcher = ["mpirun", "-n", str(ranks), "--bind-to", "none"] if ranks else []
    return [*launcher, str(BINARY), *map(str, arguments)]


def run(arguments, ranks=0, code=0, timeout=300):
    """Runs to the end, expects the exit code, returns the finished process."""
    done = subprocess.run(command(arguments, ranks), capture_output=True, text=True, timeout=timeout,
                          env=os.environ | MPI_ENVIRONMENT)
    if done.returncode != code:
        print(done.stdout, done.stderr, file=sys.stderr)
        raise AssertionError(f"{' '.join(map(str, arguments))}: exit code {done.returncode}, expected {code}")
    return done


def run_json(arguments, ranks=0, timeout=300):
    return json.loads(run([*arguments, "--json"], ranks, 0, timeout).stdout)


def start(arguments, ranks=0):
    """Starts in a process group of its own, output discarded."""
    return subprocess.Popen(command(arguments, ranks), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
                            env=os.environ | MPI_ENVIRONMENT, start_new_session=True)


def kill(process):
    """kill -9 for a process and all that it started: Open MPI gives each rank a group of its own."""
    family = [process.pid]
    for pid in family:
        children = pathlib.Path(f"/proc/{pid}/task/{pid}/children")
        family += [int(child) for child in children.read_text().split()] if children.exists() else []
    for pid in family:
        try:
            os.kill(pid, signal.SIGKILL)
        except ProcessLookupError:
            pass
    process.wait()


def pid_of_rank(exit_file, rank):
    """The process of one rank of the program that was given this --exit-file; None if there is none."""
    for entry in pathlib.Path("/proc").iterdir():
        try:
            if not entry.name.isdigit() or (entry / "comm").read_text().strip() != "lathe":
                continue
            arguments = (entry / "cmdline").read_bytes().split(b"\0")
            environment = (entry / "environ").read_bytes().split(b"\0")
        except OSError:
            continue
        if str(exit_file).encode() in arguments and f"OMPI_COMM_WORLD_RANK={rank}".encode() in environment:
            return int(entry.name)
    return None


def journal(run, stage=None):
    """The finished tasks (of one stage) that the run's journal has. The last line may be half written."""
    path = run / "journal.jsonl"
    lines = path.read_text().splitlines(keepends=True) if path.exists() else []
    entries = [json.loads(line) for line in lines if line.endswith("\n")]
    return [entry for entry in entries if stage in (None, entry["stage"])]


def kill_at_random(arguments, chance, ranks, low, high, times=3):
    """Starts the program so many times, on some of these ranks, and kills it after `low` to `high` seconds."""
    for _ in range(times):
        process = start(arguments, chance.choice(ranks))
        time.sleep(chance.uniform(low, high))
        kill(process)


# Seconds instead of half a minute; WHOLE takes what a job file without these lines takes.
CHEAP = {"candidates": "[{method: integer, num_bits: [2, 3, 4, 8], solver: gptq}]", "search.generations": 4}
WHOLE = {"candidates": None, "search.generations": None}


def job(output, **changes):
    """Arguments of a small job on the example model; `changes` are further --set values, None leaves one out."""
    keys = {"model": MODEL, "output": output, "budget": "4x",
            "calibration.data": TEXTS / "train.txt", "calibration.num_calibration_samples": 24,
            "calibration.max_seq_length": 128, "search.evaluation": TEXTS / "validation.txt",
            "search.num_evaluation_samples": 4} | CHEAP | {k.replace("__", "."): v for k, v in changes.items()}
    arguments = []
    for key, value in keys.items():
        if value is not None:
            arguments += ["--set", f"{key}={value}"]
    return arguments


class Scratch:
    """A temporary folder, removed at the end."""

    def __enter__(self):
        self.path = pathlib.Path(tempfile.mkdtemp(prefix="lathe-e2e-"))
        return self.path

    def __exit__(self, *_):
        shutil.rmtree(self.path, ignore_errors=True)


def copy_model(to):
    shutil.copytree(MODEL, to)
    return to


def edit_json(file, change):
    content = json.loads(file.read_text())
    change(content)
    file.write_text(json.dumps(content))


def read_header(file):
    raw = file.read_bytes()
    (length,) = struct.unpack("<Q", raw[:8])
    return json.loads(raw[8:8 + length]), raw[8 + length:]


def python_with_h5py():
    """A Python that has h5py, or None."""
    for python in (sys.executable, "/usr/bin/python3"):
        if subprocess.run([python, "-c", "import h5py"], capture_output=True).returncode == 0:
            return python
    return None


def read_tensor(python, checkpoint, name):
    """What `python -m lathe_checkpoint` prints of a tensor: its shape, mean and first bits as fp16."""
    done = subprocess.run([python, "-m", "lathe_checkpoint", checkpoint, name], capture_output=True, text=True, cwd="/",
                          env=os.environ | {"PYTHONPATH": str(ROOT / "python"), "PYTHONDONTWRITEBYTECODE": "1"})
    assert done.returncode == 0, done.stderr
    return done.stdout


def run_python_example(python, index, where):
    """Runs a block of code of docs/python.md in a directory that has runs/example; returns what it prints."""
    blocks = (ROOT / "docs/python.md").read_text().split("```python\n")[1:]
    done = subprocess.run([python, "-W", "ignore", "-c", blocks[index].split("```")[0]], capture_output=True, text=True, cwd=where,
                          env=os.environ | {"PYTHONPATH": str(ROOT / "python"), "PYTHONDONTWRITEBYTECODE": "1"})
    assert done.returncode == 0, done.stderr
    return done.stdout


def exported(run, name):
    """The bits of a float16 tensor of the export."""
    header, data = read_header(run / "export/model.safetensors")
    begin, end = header[name]["data_offsets"]
    return array.array("H", data[begin:end])


def write_header(file, header, data):
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    file.write_bytes(struct.pack("<Q", len(text)) + text + data)


def read_tensors(file):
    """Name: (dtype, shape, bytes)."""
    header, data = read_header(file)
    return {name: (e["dtype"], e["shape"], data[e["data_offsets"][0]:e["data_offsets"][1]])
            for name, e in header.items() if name != "__metadata__"}


def write_tensors(file, tensors):
    header, data, begin = {}, [], 0
    for name, (dtype, shape, content) in tensors.items():
        header[name] = {"dtype": dtype, "shape": shape, "data_offsets": [begin, begin + len(content)]}
        data.append(content)
        begin += len(content)
    write_header(file, header, b"".join(data))


def edit_tensors(model, change):
    file = model / "model.safetensors"
    tensors = read_tensors(file)
    change(tensors)
    write_tensors(file, tensors)


def main(tests):
    """Runs the functions, prints a line for each, exits with 1 if any failed."""
    failed = 0
    for test in tests:
        try:
            test()
            print(f"ok {test.__name__}", flush=True)
        except AssertionError as error:
            failed += 1
            print(f"FAILED {test.__name__}: {error}", flush=True)
    sys.exit(failed > 0)
