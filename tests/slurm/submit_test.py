"""lathe submit on a real Slurm: one node, two nodes under both launchers, a dry run, what is refused before sbatch."""
import subprocess

import slurm_job
from slurm_job import lathe
from cluster import output


def jobs_known():
    return output("squeue", "-h", "--states=all", "-o", "%i").split()


def one_node(bench):
    run, said = bench.submit("one's 5%j", "--ntasks-per-node", "2")  # any name will do
    bench.wait_done(run, said["job_id"])
    status = bench.status(run)
    assert status["status"] == "done", status
    assert status["batch"]["job_ids"] == [said["job_id"]], status
    assert status["batch"]["jobs"][0]["state"] == "COMPLETED", status
    assert "2 ranks on 1 host (n1: 0-1), cpu, 1 thread each" in bench.log(run), bench.log(run)


def two_nodes_by_srun(bench):
    run, said = bench.submit("srun", "--nodes", "2", "--ntasks-per-node", "2", sbatch=["--nodelist=n[2-3]"])
    assert "srun --mpi=pmix" in (run / "slurm/job.sh").read_text()
    bench.wait_done(run, said["job_id"])
    assert "4 ranks on 2 hosts (n2: 0-1, n3: 2-3)" in bench.log(run), bench.log(run)


def two_nodes_by_mpirun(bench):
    run, said = bench.submit("mpirun", "--nodes", "2", "--launcher", "mpirun")
    bench.wait_done(run, said["job_id"])
    assert "2 ranks on 2 hosts (n1: 0, n2: 1)" in bench.log(run), bench.log(run)


def a_dry_run_prints_the_script_and_does_nothing(bench):
    before = jobs_known()
    done = lathe.run(["submit", *lathe.job(bench.folder / "dry", **slurm_job.JOB), "--dry-run", "--nodes", "3",
                      "--time", "7", "--account", "acc", "--", "--qos=high"])
    for line in ("--nodes=3", "--time=00:07:00", "--account=acc", "--qos=high", "--requeue"):
        assert f"#SBATCH {line}\n" in done.stdout, done.stdout
    # SC2034: the site's settings are for all templates, and each uses its own.
    checked = subprocess.run(["shellcheck", "--shell=bash", "--severity=warning", "--exclude=SC2034", "-"],
                             input=done.stdout, text=True, capture_output=True)
    assert checked.returncode == 0, checked.stdout
    assert not (bench.folder / "dry").exists()
    assert jobs_known() == before


def what_cannot_fit_is_refused_before_sbatch(bench):
    before = jobs_known()
    job = lathe.job(bench.folder / "refused", **slurm_job.JOB)
    for options, said in (
            (["--set", "budget=40x"], "cannot be met"),  # 2 bits are at most 16x less than what bf16 takes
            (["--budgets", "3x,40x"], "cannot be met"),
            # The plan wants 62 MB a rank; nodes of the cluster have 4000 MiB.
            (["--ntasks-per-node", "100"], "the largest node of the partition has 4.19 GB"),
            (["--mem", "50M"], "--mem gives"),
            (["--nodes", "5"], "the partition has 4"),
            (["--time", "2:00:00"], "more than the partition allows")):
        done = lathe.run(["submit", *job, *options], code=69)
        assert said in done.stderr, done.stderr
    # 40 MB of artifacts on a file system of 8 MB.
    small = bench.cluster.root / "small"
    small.mkdir()
    slurm_job.slurm.mount("tmpfs", small, "8m")
    done = lathe.run(["submit", *lathe.job(small / "run", **slurm_job.JOB)], code=69)
    assert "file system has 0.01 GB free" in done.stderr, done.stderr
    assert jobs_known() == before
    assert not (bench.folder / "refused").exists()


def what_sbatch_refuses_is_reported(bench):
    done = lathe.run(["submit", *lathe.job(bench.folder / "nopart", **slurm_job.JOB), "--", "--partition=nix"], code=74)
    assert "invalid partition" in done.stderr, done.stderr


def several_tasks_without_pmi_are_explained(bench):
    # With pmi2 Debian's Open MPI itself says that it wants PMIx.
    for mpi, code, said in (("none", 64, "srun --mpi=pmix"), ("pmi2", 1, "you can use SLURM's PMIx support")):
        command = ["srun", "-n2", f"--mpi={mpi}", "-l", *lathe.command(["run", *lathe.job(bench.folder / "alone")])]
        done = subprocess.run(command, capture_output=True, text=True, timeout=60)
        assert done.returncode == code, (mpi, done.returncode, done.stderr)
        assert said in done.stderr, (mpi, done.stderr)
        assert not (bench.folder / "alone").exists(), mpi


slurm_job.main([one_node, two_nodes_by_srun, two_nodes_by_mpirun, a_dry_run_prints_the_script_and_does_nothing,
                what_cannot_fit_is_refused_before_sbatch, what_sbatch_refuses_is_reported,
                several_tasks_without_pmi_are_explained])
