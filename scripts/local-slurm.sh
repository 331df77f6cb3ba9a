#!/usr/bin/env bash
# A private Slurm of one node, this machine, for trying batch scripts: no systemd, no files outside its own directory, ports that nobody uses.
#
#   local-slurm.sh start [DIR]       starts it (a second start finds it running); says which SLURM_CONF to export
#   local-slurm.sh status [DIR]      0 where it runs, 1 where it does not
#   local-slurm.sh stop [DIR]        cancels its jobs, stops it and removes DIR
#   local-slurm.sh run CMD…          runs CMD with a Slurm of its own, which is stopped afterwards; ends with CMD's status
#   local-slurm.sh install           installs what it needs (Debian and Ubuntu, as root), or says what to install
#
# DIR is /tmp/kpflow-slurm.UID if not given. Run by root it takes jobs of any user, else only those of the user who started it.
# Two partitions: `main`, and `urgent`, whose jobs preempt those of `main` by requeueing them. Every wait ends after 30 seconds.
set -euo pipefail
patience=30
packages=(slurm-wlm munge)
PATH=$PATH:/usr/sbin:/sbin # where Debian keeps the daemons

die() {
    echo "local-slurm: $*" >&2
    exit 1
}

# until_true SECONDS CMD…: whether CMD succeeds within that time.
until_true() {
    local end=$((SECONDS + $1))
    shift
    until "$@"; do
        ((SECONDS < end)) || return 1
        sleep 0.1
    done
}

installed() {
    local program
    for program in slurmctld slurmd munged sbatch srun; do command -v $program >/dev/null || return 1; done
}

install_packages() {
    if installed; then return; fi
    command -v apt-get >/dev/null || die "Slurm or munge is missing; install slurmctld, slurmd, sbatch (22.05 or newer, with PMIx) and munged"
    [ "$(id -u)" = 0 ] || die "Slurm or munge is missing; as root, run: apt-get install ${packages[*]}"
    {
        timeout 120 apt-get update -q
        timeout 300 env DEBIAN_FRONTEND=noninteractive apt-get install -q -y --no-install-recommends "${packages[@]}"
    } >&2 || die "apt-get could not install ${packages[*]}"
}

# pid_of NAME: the process of a daemon of ours. A pid file may outlive its process; the number may be someone else's by now, or that of a process which
# has ended but has not been waited for by a container's first process.
pid_of() {
    local pid
    pid=$(cat "$dir/$1.pid" 2>/dev/null) && lives "$1" "$pid" && echo "$pid"
}
lives() { grep -qs "^$2 ($1) [^ZX]" "/proc/$2/stat"; }
gone() { ! lives "$@"; }

running() { pid_of munged >/dev/null && pid_of slurmctld >/dev/null && pid_of slurmd >/dev/null; }

# What a killed slurmd left behind: steps, their tasks, and the sruns that wait for them. All carry our configuration's name; so does the shell of
# someone who exported it, but that is in no job of ours.
orphans() {
    local process told job
    job=$(sed -n 's/^FirstJobId=\(.*\)000$/^SLURM_JOB_ID=\1[0-9]{3}$/p' "$SLURM_CONF") # not a real cluster's, in whose job this may run
    for process in /proc/[0-9]*; do
        told=$(tr '\0' '\n' 2>/dev/null <"$process/environ") || continue
        grep -qxF "SLURM_CONF=$SLURM_CONF" <<<"$told" || continue
        if grep -qE "$job" <<<"$told" || grep -qsx -e slurmstepd -e srun "$process/comm"; then echo "${process#/proc/}"; fi
    done
}
no_orphans() { [ -z "$(orphans)" ]; }

free_port() {
    local port
    for _ in {1..50}; do
        port=$((20000 + RANDOM % 10000))
        # Free is where nobody answers; a process started between this test and ours would make the start fail, in words.
        if ! (: <"/dev/tcp/127.0.0.1/$port") 2>/dev/null; then
            echo $port
            return
        fi
    done
    die "no free port was found between 20000 and 29999"
}

configure() {
    # Sockets in it: the system takes 107 letters.
    [ ${#dir} -le 70 ] || die "$dir is too long a name; give a shorter one, or set TMPDIR"
    local host memory controller node user
    host=$(hostname -s) user=$(id -un)
    memory=$(awk '/^MemTotal/ { print int($2 / 1024) }' /proc/meminfo)
    controller=$(free_port) node=$(free_port)
    while [ "$node" = "$controller" ]; do node=$(free_port); done
    mkdir -p "$dir"/{state,spool,tmp}
    chmod 755 "$dir"
    (umask 077 && head -c 1024 /dev/urandom >"$dir/munge.key")
    # FirstJobId: Open MPI names shared memory by user and job, so the jobs of two such clusters must not have one number.
    # cred_expire: a requeued job waits that long before it starts again. Slurm's own 120 s are for clusters whose nodes may be slow.
    cat >"$SLURM_CONF" <<CONF
ClusterName=kpflow
SlurmctldHost=$host(127.0.0.1)
SlurmctldPort=$controller
SlurmdPort=$node
FirstJobId=$((controller * 1000))
SlurmUser=$user
SlurmdUser=$user
AuthType=auth/munge
AuthInfo=socket=$dir/munge.socket,cred_expire=5
CredType=cred/munge
StateSaveLocation=$dir/state
SlurmdSpoolDir=$dir/spool
TmpFS=$dir/tmp
SlurmctldPidFile=$dir/slurmctld.pid
SlurmdPidFile=$dir/slurmd.pid
SlurmctldLogFile=$dir/slurmctld.log
SlurmdLogFile=$dir/slurmd.log
SlurmdParameters=config_overrides
ProctrackType=proctrack/linuxproc
TaskPlugin=task/affinity
SwitchType=switch/none
JobAcctGatherType=jobacct_gather/none
AccountingStorageType=accounting_storage/none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
SchedulerParameters=batch_sched_delay=0,bf_interval=2,sched_interval=2
MpiDefault=pmix
MailProg=/bin/true
ReturnToService=2
JobRequeue=1
KillWait=5
PreemptType=preempt/partition_prio
PreemptMode=REQUEUE
SlurmctldParameters=preempt_send_user_signal
NodeName=$host NodeAddr=127.0.0.1 CPUs=$(nproc) RealMemory=$memory State=UNKNOWN
PartitionName=main Nodes=$host Default=YES MaxTime=INFINITE State=UP PriorityTier=1 GraceTime=20
PartitionName=urgent Nodes=$host Default=NO MaxTime=INFINITE State=UP PriorityTier=10 PreemptMode=OFF
CONF
}

node_ready() { timeout 5 sinfo -h -o %t 2>/dev/null | grep -qE '^(idle|mix|alloc)$'; }
munge_ready() { [ -S "$dir/munge.socket" ] && pid_of munged >/dev/null; }

launch() {
    # Their output goes to their logs, and they must not hold the descriptors of whoever waits for us.
    # --force: munged wants its socket where every user may go, which a TMPDIR of one's own is not.
    munged --force --key-file="$dir/munge.key" --socket="$dir/munge.socket" --pid-file="$dir/munged.pid" --log-file="$dir/munged.log" \
        --seed-file="$dir/munge.seed" --num-threads=2 </dev/null >"$dir/munged.out" 2>&1 || return 1
    until_true "$patience" munge_ready || return 1
    slurmctld -c </dev/null >"$dir/slurmctld.out" 2>&1 || return 1
    slurmd -c </dev/null >"$dir/slurmd.out" 2>&1 || return 1
    until_true "$patience" node_ready
}

start() {
    install_packages
    if running; then
        until_true "$patience" node_ready || die "it runs, but its node is not ready: see $dir/slurmctld.log"
        echo "runs already: export SLURM_CONF=$SLURM_CONF"
        return
    fi
    # What a crash left.
    stop
    configure
    if ! launch; then
        tail -n 5 "$dir"/*.out "$dir"/*.log >&2 || true
        stop
        die "it did not start; above is what its daemons said"
    fi
    echo "started: export SLURM_CONF=$SLURM_CONF"
}

no_jobs() { [ -z "$(timeout 5 squeue -h -o %i 2>/dev/null)" ]; }

stop() {
    local daemon pid
    # Never a directory that is not ours.
    if [ -z "$(ls -A "$dir" 2>/dev/null)" ]; then
        rmdir "$dir" 2>/dev/null || true
        return 0
    fi
    [ -e "$SLURM_CONF" ] || die "$dir has no slurm.conf, so it is not ours; it is left as it is"
    if running; then
        timeout 10 squeue -h -o %i 2>/dev/null | xargs -r timeout 10 scancel 2>/dev/null || true
        until_true "$patience" no_jobs || echo "local-slurm: jobs that do not end are killed" >&2
    fi
    for daemon in slurmd slurmctld munged; do
        pid=$(pid_of "$daemon") || continue
        kill "$pid" 2>/dev/null || true
        # A daemon removes its pid file before it ends.
        until_true 10 gone "$daemon" "$pid" || kill -KILL "$pid" 2>/dev/null || true
    done
    if ! until_true 5 no_orphans; then
        orphans | xargs -r kill -KILL 2>/dev/null || true
        until_true 5 no_orphans || die "processes that cannot be killed are left: $(orphans | xargs)"
    fi
    rm -rf "$dir"
}

# interrupted STATUS: ends the command of `run`; the Slurm is stopped on exit.
child=
child_ended() { ! kill -0 "$child" 2>/dev/null; }
interrupted() {
    trap '' INT TERM HUP
    if [ -n "$child" ]; then
        kill "$child" 2>/dev/null || true
        until_true 10 child_ended || kill -KILL "$child" 2>/dev/null || true
    fi
    echo "local-slurm: interrupted" >&2
    exit "$1"
}

command=${1:-}
[ $# -eq 0 ] || shift
dir=${TMPDIR:-/tmp}/kpflow-slurm.$(id -u)
case $command in
start | stop | status)
    [ $# -le 1 ] || die "$command takes one directory at most"
    dir=$(realpath -m "${1:-$dir}")
    ;;
run)
    [ $# -ge 1 ] || die "run needs a command"
    dir=$(mktemp -d "${TMPDIR:-/tmp}/kpflow-slurm.XXXXXX")
    ;;
esac
export SLURM_CONF=$dir/slurm.conf

case $command in
install) install_packages ;;
start) start ;;
status)
    if running && node_ready; then
        echo "runs: export SLURM_CONF=$SLURM_CONF"
        sinfo
        squeue
    else
        echo "does not run"
        exit 1
    fi
    ;;
stop) stop ;;
run)
    trap stop EXIT
    trap 'interrupted 130' INT
    trap 'interrupted 143' TERM HUP
    start >&2
    # In the background, since bash does not look at signals while it waits for a command in the foreground.
    "$@" <&0 &
    child=$!
    status=0
    wait "$child" || status=$?
    exit $status
    ;;
*) die "start [DIR] | stop [DIR] | status [DIR] | run CMD… | install, not '$command'" ;;
esac
