#!/bin/bash
# Lathe on one node.
#
#   lathe submit JOB.yaml                        fills this in and submits it
#   sbatch slurm/one_node.sh run JOB.yaml        by hand, from the folder above
#
#SBATCH --job-name=lathe
#SBATCH --nodes=1
#SBATCH --ntasks-per-node=1
#SBATCH --cpus-per-task=8
#SBATCH --time=04:00:00
#SBATCH --output=%x-%j.out
#SBATCH --requeue
#SBATCH --open-mode=append
#SBATCH --signal=B:USR1@120

# --- Settings; `lathe submit` fills them in -------------------------------------------------------------------------
. "${LATHE_SITE:-slurm/site.sh}"
lathe=${lathe:-lathe}
command=("$@")
state=${LATHE_STATE:-$PWD/lathe-slurm}

# One task is started as it is. Several are by mpirun, which needs nothing of Slurm on one node.
launch() {
  local ranks=${SLURM_NTASKS:-${SLURM_NTASKS_PER_NODE:-1}}  # the first is only there if Slurm was told a number of tasks
  if [ "$ranks" -eq 1 ]; then
    exec "${container[@]}" "$@"
  fi
  exec mpirun -n "$ranks" "${mpirun_options[@]}" "${container[@]}" "$@"
}

# --- Stopping and going on: the same in all templates ---------------------------------------------------------------
# Lathe stops within a minute after USR1 or TERM: it hands out no more work, ends with code 75, and goes on from there
# when it is started again. Its exit code comes by a file, since launchers report another rank's or their own.
id=$SLURM_JOB_ID
[ -n "${SLURM_ARRAY_TASK_ID:-}" ] && id=${SLURM_ARRAY_JOB_ID}_$SLURM_ARRAY_TASK_ID
mkdir -p "$state" || exit 74
exit_file=$state/exit_code.$id
requeues=$state/requeues            # a line for each time this script put the job back: id, reason, when
signal=
touch "$requeues"
rm -f "$exit_file"
echo "lathe: job $id on ${SLURM_JOB_NODELIST:-this host}, start ${SLURM_RESTART_COUNT:-0}, $(date '+%F %T')"

pass_on() { signal=$1; kill -USR1 "$pid" 2>/dev/null; }
trap 'pass_on USR1' USR1            # from Slurm, some time before the limit (--signal), or from lathe cancel
trap 'pass_on TERM' TERM            # from Slurm: cancelled, or preempted

launch "$lathe" --exit-file "$exit_file" "${command[@]}" &
pid=$!
seconds_ended=0
while kill -0 "$pid" 2>/dev/null; do
  sleep 1 & wait $!                 # a trap runs when `wait` is interrupted, but not before `sleep` ends
  # Once rank 0 has ended nothing is left to do. mpirun waits for ever if a node is gone.
  [ -s "$exit_file" ] && seconds_ended=$((seconds_ended + 1))
  [ "$seconds_ended" -eq 15 ] && kill -TERM "$pid" 2>/dev/null
  [ "$seconds_ended" -eq 25 ] && kill -KILL "$pid" 2>/dev/null
done
wait "$pid"
code=$?
[ -s "$exit_file" ] && code=$(cat "$exit_file")

field() { SLURM_TIME_FORMAT=%s scontrol show job -o "$id" | tr ' ' '\n' | sed -n "s/^$1=//p" | head -n 1; }
preempted() {
  local when
  when=$(field PreemptTime)
  [[ $when =~ ^[0-9]+$ ]] && [ "$when" -ge "$(field StartTime)" ]
}
times() { grep -c "^$id $1 " "$requeues"; }

case $code in
  0 | 64 | 65 | 66 | 69 | 70 | 74) exit "$code" ;;  # done, or it would fail again
esac
if [ -e "$state/cancelled" ]; then
  reason=cancelled
elif preempted; then
  reason=preempted
elif [ "$signal" = TERM ]; then
  reason=cancelled                  # by scancel; if a node failed, Slurm itself starts the job again
elif [ "$code" -eq 75 ]; then
  reason=stopped
  [ "$(times stopped)" -ge "$max_requeues" ] && reason="stopped $max_requeues times"
else
  reason=lost
  [ "$(times lost)" -ge "$max_lost" ] && reason="lost $max_lost times"
fi
echo "lathe: job $id ended with code $code, $reason, $(date '+%F %T')"
case $reason in
  preempted | stopped | lost)
    echo "$id $reason $(date +%s)" >> "$requeues"
    scontrol requeue "$id"
    ;;
esac
exit "$code"
