"""A node is lost in mid-job. Under srun the step dies and the job starts again; under mpirun it goes on."""
import slurm_job


def under_srun_the_job_starts_again(bench):
    run, said = bench.submit("srun", "--nodes", "2")
    bench.wait_tasks(run, 5)
    bench.cluster.lose_node("n2")
    bench.cluster.wait_requeued(said["job_id"])
    bench.wait_done(run, said["job_id"])
    bench.cluster.bring_back("n2")


def under_mpirun_it_goes_on(bench):
    run, said = bench.submit("mpirun", "--nodes", "3", "--launcher", "mpirun")
    # Calibration ties blocks to ranks; 7 tasks, and then those that any rank can take.
    bench.wait_tasks(run, 9)
    bench.cluster.lose_node("n3")
    bench.wait_done(run, said["job_id"])
    status = bench.status(run)
    assert status["batch"]["jobs"][0]["restarts"] == 0, status
    assert "rank_lost rank=2 host=n3" in bench.log(run), bench.log(run)


slurm_job.main([under_srun_the_job_starts_again, under_mpirun_it_goes_on])
