#!/usr/bin/env bash
# Two network namespaces that talk through the switch, and every ICMP frame kept. Needs root, iproute2 and ping.
#
#   sudo examples/two-namespaces.sh            from a checkout that is built
#   sudo PASTE_SWITCH=paste-switch examples/two-namespaces.sh
set -euo pipefail

root=$(cd "$(dirname "$0")/.." && pwd)
paste_switch=${PASTE_SWITCH:-node $root/dist/cli/main.cjs}
folder=$(mktemp -d)
red=ps-red-$$ blue=ps-blue-$$
export PASTE_SWITCH_CONTROL=$folder/control.sock

cleanup() {
  if [ -n "${daemon:-}" ]; then kill "$daemon" 2>/dev/null && wait "$daemon" || true; fi
  ip netns delete "$red" 2>/dev/null || true
  ip netns delete "$blue" 2>/dev/null || true
  rm -rf "$folder"
}
trap cleanup EXIT

for net in "$red" "$blue"; do
  ip netns add "$net"
  ip -n "$net" link set lo up
done

# The switch makes a TAP device inside each namespace, gives it an address and brings it up.
$paste_switch daemon --store "$folder/two.store" --size 64M --log icmp \
  --port "vale0:red=tap:eth0,netns=$red,address=10.9.0.1/24" \
  --port "vale0:blue=tap:eth0,netns=$blue,address=10.9.0.2/24" >"$folder/said" &
daemon=$!
until grep -q ready "$folder/said"; do
  kill -0 "$daemon" 2>/dev/null || exit 1
  sleep 0.1
done

ip netns exec "$red" ping -c 3 -i 0.2 -w 10 10.9.0.2
$paste_switch port list
$paste_switch mac list
$paste_switch export -w "$folder/ping.pcapng" icmp   # while the switch runs: each frame was durable before it was delivered

if [ -t 0 ]; then
  echo "In other terminals: ip netns exec $red iperf3 -s; ip netns exec $blue iperf3 -c 10.9.0.1; curl, ssh..."
  read -r -p "Return ends it. " _
fi
