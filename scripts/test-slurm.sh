#!/usr/bin/env bash
# The three scripts of scripts/slurm, submitted for real to a private Slurm on this machine. About a minute; at most three.
# Needs a built kpflow (KPFLOW=…, else that of target/debug). Where Slurm cannot be installed it says so, and ends with 0.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)

if [ "${1:-}" != inside ]; then
    KPFLOW=$(realpath -e "${KPFLOW:-$here/../${CARGO_TARGET_DIR:+../}${CARGO_TARGET_DIR:-target}/debug/kpflow}")
    export KPFLOW
    if ! reason=$("$here/local-slurm.sh" install 2>&1); then
        echo "skipped, since there is no Slurm: $(tail -n 1 <<<"$reason")"
        exit 0
    fi
    if [ "$(nproc)" -lt 2 ]; then
        echo "skipped, since two ranks need two cores"
        exit 0
    fi
    exec "$here/local-slurm.sh" run "$here/test-slurm.sh" inside
fi

golden=$here/../tests/golden
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"

fail() {
    echo "test-slurm: $*" >&2
    squeue >&2 || true
    tail -n 30 ./*.log >&2 || true
    exit 1
}
# within SECONDS WHAT CMD…: waits until CMD succeeds.
within() {
    local end=$((SECONDS + $1)) what=$2
    shift 2
    until "$@"; do
        ((SECONDS < end && SECONDS < 160)) || fail "$what did not happen in time"
        sleep 0.2
    done
}
field() { timeout 20 scontrol show job "$1" | grep -oP "\b$2=\K\S+"; }
state() { [ "$(field "$1" JobState)" = "$2" ]; }
ended() { [[ $(field "$1" JobState) =~ ^(COMPLETED|FAILED|CANCELLED|TIMEOUT|NODE_FAIL)$ ]]; }
# ends JOB STATE EXIT: waits for the job's end, which is to be that.
ends() {
    within 60 "the end of job $1" ended "$1"
    [ "$(field "$1" JobState) $(field "$1" ExitCode)" = "$2 $3" ] || fail "job $1: $(field "$1" JobState) $(field "$1" ExitCode), not $2 $3"
}
says() { grep -qs -- "$2" "$1" || return 1; }
# complete JOB.toml RESULTS COUNT: resuming finds that many analyses finished, and none to do.
complete() {
    local told
    told=$("$KPFLOW" run --resume "$1" --output "$2" 2>&1)
    [ "$(grep -c ': finished before$' <<<"$told") $(grep -c products <<<"$told")" = "$3 0" ] || fail "$2 is not complete: $told"
}
step() { printf '   %s (%d s)\n' "$*" "$SECONDS"; }

# job STAGE FILE: a trained GRU; analyses are added to it.
job() {
    cat <<TOML
[model]
kind    = "gru"
weights = "$golden/memory_pro.$1.safetensors"
prefix  = "rnn."
[data]
inputs = "$golden/memory_pro.h5:/inputs"
[output]
file = "$2"
TOML
}
trace() { printf '[[analysis]]\nname = "%s"\noperator = "%s"\nquantity = "trace"\nmethod = "exact"\n' "$1" "$2"; }

step "job.sbatch: two ranks, then once more"
{ job init job.h5 && trace ntk ntk && trace k parameter; } >job.toml
id=$(sbatch --parsable "$here/slurm/job.sbatch" job.toml)
ends "$id" COMPLETED 0:0
says "kpflow-$id.log" "2 ranks × 1 thread" || fail "the ranks did not find each other"
says "kpflow-$id.log" "ntk: ntk trace (exact) = 1.18107" || fail "a wrong trace"
complete job.toml job.h5 2
id=$(sbatch --parsable "$here/slurm/job.sbatch" job.toml)
ends "$id" COMPLETED 0:0
says "kpflow-$id.log" "^ntk: finished before" || fail "submitted again, it began again"

step "wrong jobs, a missing program and a srun that starts nothing fail"
sed 's/"gru"/"grue"/' job.toml >wrong.toml
wrong=$(sbatch --parsable "$here/slurm/requeue.sbatch" wrong.toml)
missing=$(KPFLOW=$work/none sbatch --parsable "$here/slurm/job.sbatch" job.toml)
ends "$wrong" FAILED 2:0
ends "$missing" FAILED 127:0
mkdir fake
printf '#!/bin/sh\n' >fake/srun # as Slurm 22.05's where it cannot launch: nothing done, status 0
chmod +x fake/srun
for script in job array requeue; do
    nothing=$(PATH=$work/fake:$PATH sbatch --parsable "$here/slurm/$script.sbatch" job.toml "$golden/memory_pro.init.safetensors")
    [ $script != array ] || nothing=${nothing}_0
    ends "$nothing" FAILED 1:0
done

step "array.sbatch: three checkpoints of a training run"
printf '%s\n' "$golden"/memory_pro.{init,step300,step1500}.safetensors >checkpoints.txt
id=$(sbatch --parsable --array=0-3 "$here/slurm/array.sbatch" job.toml checkpoints.txt)
for i in 0 1 2; do ends "${id}_$i" COMPLETED 0:0; done
ends "${id}_3" FAILED 2:0 # there is no fourth
i=0
# The golden data's exact traces: reference/STAGE/ntk/trace.
for expected in init=1.18107 step300=1.23562 step1500=6.56062; do
    stage=${expected%=*}
    says "kpflow-array-${id}_$i.log" "ntk: ntk trace (exact) = ${expected#*=}" || fail "a wrong trace at $stage"
    sed "s|^weights.*|weights = '$(realpath "$golden/memory_pro.$stage.safetensors")'|" job.toml >"job.memory_pro.$stage.toml"
    complete "job.memory_pro.$stage.toml" "results/memory_pro.$stage.h5" 2
    rm "job.memory_pro.$stage.toml"
    i=$((i + 1))
done
[ -z "$(find . -name 'job.*.toml')" ] || fail "jobs of single checkpoints were left"

step "requeue.sbatch: warned as by a time limit, then preempted, it finishes"
{
    job init long.h5
    # Operators that share no products, a second or more each.
    for i in {1..6}; do
        printf '[[analysis]]\nname = "part_%d"\noperator = "ntk"\nquantity = "trace"\nmethod = "hutchinson"\nrtol = 0\nmax_matvecs = 400\nunits = [%d]\n' "$i" "$i"
    done
} >long.toml
id=$(sbatch --parsable "$here/slurm/requeue.sbatch" long.toml)
log=kpflow-requeue-$id.log
within 40 "the first analysis" says "$log" '^part_1: ntk'
sleep 0.5 # told is not yet written
scancel --signal=USR1 --batch "$id"
within 40 "the requeue" says "$log" 'restart 1,'
within 40 "a later analysis" says "$log" '^part_[3-5]: ntk'
urgent=$(sbatch --parsable --partition=urgent --exclusive --output=urgent.log --wrap 'echo urgent')
ends "$urgent" COMPLETED 0:0
ends "$id" COMPLETED 0:0
[ "$(field "$id" Restarts)" = 2 ] || fail "it was restarted $(field "$id" Restarts) times, not twice"
says "$log" '^part_1: finished before' || fail "the first analysis was done twice"
complete long.toml long.h5 6

step "requeue.sbatch: cancelled, it stays so"
rm long.h5
id=$(sbatch --parsable "$here/slurm/requeue.sbatch" long.toml)
within 40 "the first analysis" says "kpflow-requeue-$id.log" '^part_1: ntk'
scancel "$id"
within 60 "the end of job $id" state "$id" CANCELLED
within 20 "its end" says "kpflow-requeue-$id.log" 'is not requeued'
sleep 1
state "$id" CANCELLED || fail "it came back"

step "the private Slurm: a second start finds it running"
dir=$(dirname "$SLURM_CONF")
says <("$here/local-slurm.sh" start "$dir") "^runs already" || fail "it was started twice"
says <("$here/local-slurm.sh" status "$dir") "^runs" || fail "it does not say that it runs"
[ -z "$(find . -name '.kpflow-*')" ] || fail "marks were left"
step "all three passed"
