"""A private Slurm on this machine: munged, slurmctld and four slurmd, as root, for the tests.

All of it lives in namespaces of its own (processes, network, mounts, names). The network has nothing but loopback,
so ports meet nobody's. Files lie on a tmpfs that only these processes see. When the test ends, however it ends, its
first process goes and the kernel removes the rest: nothing can be left behind.

Each slurmd has a host name, a /dev/shm and a hosts file of its own, so that MPI takes the nodes for machines.
"""
import ctypes
import fcntl
import os
import pathlib
import shutil
import signal
import socket
import struct
import subprocess
import sys
import time

TOOLS = ("munged", "slurmctld", "slurmd", "srun", "sbatch", "scontrol", "unshare", "mpirun", "shellcheck")
SKIPPED = 77  # ctest's SKIP_RETURN_CODE
INSIDE = "LATHE_SLURM_NAMESPACE"
NAMESPACES = ["unshare", "--mount", "--propagation", "private", "--pid", "--net", "--ipc", "--uts", "--fork",
              "--kill-child", "--mount-proc"]
ADDRESS = "127.0.0.2"
ROOT = pathlib.Path(__file__).resolve().parents[2]

CONFIGURATION = """
ClusterName=selftest
SlurmctldHost=controller({address})
SlurmUser=root
SlurmdUser=root
AuthType=auth/munge
# A requeued job waits until its old credentials have expired: two minutes, unless told otherwise.
AuthInfo=socket={root}/run/munge.sock,cred_expire=5
CredType=cred/munge
SlurmctldPidFile={root}/run/slurmctld.pid
SlurmdPidFile={root}/run/slurmd.%n.pid
SlurmdSpoolDir={root}/spool/%n
# With one for all nodes, PMIx on the second node of this machine fails: "Cannot create client cli tmpdir".
TmpFS={root}/tmp/%n
StateSaveLocation={root}/state
SlurmctldLogFile={root}/log/slurmctld.log
SlurmdLogFile={root}/log/slurmd.%n.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SwitchType=switch/none
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU
PreemptType=preempt/partition_prio
PreemptMode=REQUEUE
SchedulerType=sched/backfill
SchedulerParameters=sched_interval=1,bf_interval=1,batch_sched_delay=0
AccountingStorageType=accounting_storage/none
JobCompType=jobcomp/none
JobAcctGatherType=jobacct_gather/none
ReturnToService=2
SlurmdTimeout=10
MessageTimeout=10
KillWait=5
CommunicationParameters=NoCtldInAddrAny,NoInAddrAny
SlurmdParameters=config_overrides
"""


def skip(reason):
    print(f"skipped: {reason}", flush=True)
    sys.exit(SKIPPED)


def enter_namespaces():
    """Starts this script again in namespaces of its own, unless it is there already. Skips where that cannot be."""
    if os.environ.get(INSIDE):
        reap_for_the_test()
        raise_loopback()
        return
    missing = [tool for tool in TOOLS if shutil.which(tool) is None]
    if missing:
        skip(f"not installed: {', '.join(missing)} (scripts/install_packages.sh --tests)")
    tried = subprocess.run([*NAMESPACES, "true"], capture_output=True, text=True)
    if tried.returncode != 0:
        skip(f"no namespaces here, root is needed: {tried.stderr.strip()}")
    os.environ[INSIDE] = "1"
    os.execvp(NAMESPACES[0], [*NAMESPACES, sys.executable, *sys.argv])


def reap_for_the_test():
    """The first process of the namespace inherits the daemons: it waits for them all, the test is its child."""
    test = os.fork()
    if test == 0:
        return
    while True:
        pid, status = os.wait()
        if pid == test:
            os._exit(os.waitstatus_to_exitcode(status) if os.WIFEXITED(status) else 1)


def raise_loopback():
    """With another address than 127.0.0.1: with that one alone getaddrinfo finds no names where Slurm looks them up
    (AI_ADDRCONFIG), and with two MPI takes one for the other."""
    SIOCSIFFLAGS, SIOCSIFADDR, IFF_UP = 0x8914, 0x8916, 1
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as control:
        fcntl.ioctl(control, SIOCSIFFLAGS, struct.pack("16sh14x", b"lo", IFF_UP))
        address = struct.pack("=H2x4s8x", socket.AF_INET, socket.inet_aton(ADDRESS))
        fcntl.ioctl(control, SIOCSIFADDR, struct.pack("16s16s", b"lo", address))


def mount_scratch(size="4g"):
    """An empty tmpfs that only this namespace sees."""
    target = next(p for p in map(pathlib.Path, ("/srv", "/media", "/mnt")) if p.is_dir() and p not in ROOT.parents)
    mount("tmpfs", target, size)
    return target


def mount(kind, target, size):
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.mount(b"lathe", str(target).encode(), kind.encode(), 0, f"size={size}".encode()) != 0:
        raise OSError(ctypes.get_errno(), f"mount {kind} on {target}")


def wait_for(condition, seconds, what):
    end = time.monotonic() + seconds
    while True:
        value = condition()
        if value:
            return value
        assert time.monotonic() < end, f"after {seconds} s not yet: {what}"
        time.sleep(0.05)


class Cluster:
    """The running cluster. `environment` is what commands and jobs need."""

    def __init__(self, nodes=4, processors=2):
        self.root = mount_scratch()
        self.nodes = [f"n{i + 1}" for i in range(nodes)]
        self.environment = {
            "SLURM_CONF": str(self.root / "slurm.conf"),
            # A job gets the environment of who submits it; MPI leaves loopback out unless told.
            "OMPI_ALLOW_RUN_AS_ROOT": "1", "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM": "1",
            "OMPI_MCA_btl_tcp_if_include": "lo", "OMPI_MCA_oob_tcp_if_include": "lo",
        }
        os.environ.update(self.environment)
        for folder in ("state", "spool", "log", "run", "tmp"):
            (self.root / folder).mkdir()
        self.root.chmod(0o755)
        socket.sethostname("controller")
        lines = [f"{ADDRESS} {name}" for name in ("localhost", "controller", *self.nodes)]
        (self.root / "hosts").write_text("\n".join(lines) + "\n")
        subprocess.run(["mount", "--bind", self.root / "hosts", "/etc/hosts"], check=True)
        self._configure(processors)
        self._start()

    def _configure(self, processors):
        text = CONFIGURATION.format(root=self.root, address=ADDRESS)
        for i, node in enumerate(self.nodes):
            text += (f"NodeName={node} NodeHostname={node} NodeAddr={ADDRESS} Port={17001 + i} CPUs={processors} "
                     "RealMemory=4000 State=UNKNOWN\n")
        # A job of `main` makes room for one of `urgent`: told to stop, and 20 s later killed.
        text += "PartitionName=main Nodes=ALL Default=YES MaxTime=60 PriorityTier=1 GraceTime=20 State=UP\n"
        text += "PartitionName=urgent Nodes=ALL MaxTime=60 PriorityTier=10 PreemptMode=OFF State=UP\n"
        (self.root / "slurm.conf").write_text(text)

    def _start(self):
        key = self.root / "munge.key"
        key.write_bytes(os.urandom(128))
        key.chmod(0o600)
        run = self.root / "run"
        call("munged", "--force", f"--key-file={key}", f"--socket={run / 'munge.sock'}", f"--pid-file={run / 'munged.pid'}",
             f"--log-file={self.root / 'log/munged.log'}", f"--seed-file={self.root / 'munge.seed'}", "--num-threads=2")
        call("slurmctld", "-i")
        for node in self.nodes:
            self.start_node(node)
        self.wait_idle()

    def start_node(self, node):
        (self.root / "tmp" / node).mkdir(exist_ok=True)
        inside = f"hostname {node} && mount -t tmpfs -o size=2g none /dev/shm && exec slurmd -N {node}"
        call("unshare", "--mount", "--uts", "--propagation", "private", "sh", "-c", inside)

    def wait_idle(self):
        wait_for(lambda: output("sinfo", "-h", "-N", "-p", "main", "-t", "idle", "-o", "%N").split() == self.nodes, 20,
                 "all nodes idle")

    def lose_node(self, node):
        """As when the power goes: every process of the node dies at once, and Slurm is told at once what it would
        notice after SlurmdTimeout and some more."""
        names = pathlib.Path(f"/proc/{self._slurmd(node)}/ns/uts").readlink()
        for entry in pathlib.Path("/proc").iterdir():
            try:
                if entry.name.isdigit() and (entry / "ns/uts").readlink() == names:
                    os.kill(int(entry.name), signal.SIGKILL)
            except (OSError, ProcessLookupError):
                pass
        (self.root / f"run/slurmd.{node}.pid").unlink()
        call("scontrol", "update", f"NodeName={node}", "State=DOWN", "Reason=test")

    def bring_back(self, node):
        self.start_node(node)
        self.wait_idle()  # ReturnToService: it may work as soon as it has registered

    def _slurmd(self, node):
        return int((self.root / f"run/slurmd.{node}.pid").read_text())

    def job(self, job_id):
        """What Slurm says of a job: scontrol's keys and values."""
        words = output("scontrol", "show", "job", "-o", str(job_id)).split()
        return dict(word.split("=", 1) for word in words if "=" in word)

    def wait_state(self, job_id, states, seconds=60):
        """Waits until the job is in one of the states and returns which."""
        return wait_for(lambda: (state := self.job(job_id)["JobState"]) in states and state, seconds,
                        f"job {job_id} {' or '.join(states)}, it is {self.job(job_id)}")

    def wait_requeued(self, job_id, restarts=1):
        """Until the job runs again. Slurm starts it when its old credentials have expired, after some 6 s; before
        that a node may still take the new step for the old one."""
        wait_for(lambda: (job := self.job(job_id))["JobState"] == "RUNNING" and job["Restarts"] == str(restarts), 30,
                 f"job {job_id} runs again")


def call(*command):
    """Runs a command that must succeed. Daemons would hold a pipe open: its output goes to a file."""
    log = pathlib.Path(os.environ["SLURM_CONF"]).parent / "log/commands.log"
    with open(log, "a") as out:
        done = subprocess.run(command, stdin=subprocess.DEVNULL, stdout=out, stderr=out)
    assert done.returncode == 0, f"{' '.join(command)}: exit code {done.returncode}\n" + log.read_text()[-2000:]


def output(*command):
    return subprocess.run(command, capture_output=True, text=True).stdout
