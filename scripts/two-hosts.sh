#!/usr/bin/env bash
# Runs an MPI program on two "hosts" of this machine that share nothing but a network: two network namespaces with a cable between them, their own
# host names, and TCP as the only way for messages. What breaks between nodes of a cluster breaks here.
#
#   scripts/two-hosts.sh [--rate RATE] -n RANKS PROGRAM [ARGUMENT...]
#
#   --rate 1gbit   no more than this through the cable, each way (tc's units)
#   -n RANKS       ranks, dealt out to the two hosts in turn
#
# Needs root (or the right to make namespaces), ip and tc (iproute2), unshare (util-linux) and Open MPI. Ends with 77 where these are not there.
set -euo pipefail

rate='' ranks=''
while [ $# -gt 0 ]; do
    case $1 in
        --rate) rate=$2; shift 2 ;;
        -n) ranks=$2; shift 2 ;;
        *) break ;;
    esac
done
if [ -z "$ranks" ] || [ $# -eq 0 ]; then
    sed -n '2,/^set/s/^# \{0,1\}//p' "$0" >&2
    exit 2
fi

missing() { echo "two-hosts.sh: $*" >&2; exit 77; }
for tool in ip tc unshare mpirun; do
    command -v "$tool" >/dev/null || missing "$tool is missing"
done

# Names and addresses of this run's own: several may run at a time.
id=$$
a=kpa$id b=kpb$id
net=10.$((id / 250 % 250)).$((id % 250))
directory=$(mktemp -d /tmp/two-hosts.XXXXXX)

clean() {
    for host in "$a" "$b"; do
        # What still runs there ends with its host.
        ip netns pids "$host" 2>/dev/null | xargs -r kill -9 2>/dev/null || true
        ip netns delete "$host" 2>/dev/null || true
    done
    rm -rf "$directory"
}
trap clean EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

{ ip netns add "$a" && ip netns add "$b"; } 2>"$directory/why" || missing "no namespaces: $(cat "$directory/why")"
ip link add "v$a" netns "$a" type veth peer name "v$b" netns "$b" 2>"$directory/why" || missing "no cable: $(cat "$directory/why")"
for host in "$a" "$b"; do
    [ "$host" = "$a" ] && address=$net.1 || address=$net.2
    ip -n "$host" address add "$address/24" dev "v$host"
    ip -n "$host" link set "v$host" up
    ip -n "$host" link set lo up
    if [ -n "$rate" ]; then
        tc -n "$host" qdisc add dev "v$host" root tbf rate "$rate" burst 256kb latency 100ms
    fi
done

# Open MPI starts its daemon on another host by this program, as it would by ssh: HOST COMMAND...
cat >"$directory/agent" <<AGENT
#!/bin/sh
shift
exec ip netns exec $b unshare --uts sh -c "hostname $b; \$*"
AGENT
chmod +x "$directory/agent"
printf '%s slots=64\n%s slots=64\n' "$net.1" "$net.2" >"$directory/hosts"

# In the foreground of this script's own shell, so that signals reach mpirun and its status is this script's.
ip netns exec "$a" unshare --uts sh -c "hostname $a; exec \"\$@\"" sh \
    mpirun --allow-run-as-root --oversubscribe --map-by node --bind-to none -n "$ranks" --hostfile "$directory/hosts" \
    --mca plm_rsh_agent "$directory/agent" --mca btl tcp,self --mca pml ob1 \
    --mca btl_tcp_if_include "$net.0/24" --mca oob_tcp_if_include "$net.0/24" "$@"
