# Settings of this cluster, for all batch scripts of Lathe. Plain shell; change what you like.
#
# `lathe submit` looks for it at --site FILE, then $LATHE_SITE, then ~/.config/lathe/site.sh, and takes this one if there
# is none. It copies the text into the script, and the #SBATCH lines into the script's header.

# What every job asks for. One # more turns a line off.
##SBATCH --partition=batch
##SBATCH --account=project
##SBATCH --qos=normal
##SBATCH --exclusive

# Where programs come from.
# module purge
# module load gcc openmpi hdf5
# lathe=/opt/lathe/bin/lathe

# How ranks are bound to processors: each to its own cores, so that its memory is near. Ranks take the processors they
# may run on and share them out if they are not their own.
srun_options=(--cpu-bind=cores)
# srun binds nothing for mpirun. With --bind-to none ranks of a node share its processors out.
mpirun_options=(--bind-to none)

# What stands before the program: a container, numactl, a profiler.
# container=(apptainer exec --nv --bind /scratch /apps/lathe.sif)
container=()

# How often a job that stopped at its time limit is put back into the queue; a preempted one always is.
max_requeues=10
# How often one is that ended without a word: a rank or the launcher was killed.
max_lost=3
