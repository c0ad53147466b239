#!/usr/bin/env bash
# Watch ports of a running switch in Wireshark: a mirror port whose frames come out of a TAP device.
#
#   sudo examples/watch-with-wireshark.sh vale0:red vale0:blue
#   sudo WATCH='tcpdump -ni' examples/watch-with-wireshark.sh 'vale0:*'
#
# A mirror never slows the ports that it watches: what does not fit into the TAP's queue is counted as refused at the mirror.
set -euo pipefail

[ $# -gt 0 ] || { echo "usage: watch-with-wireshark.sh PORT..." >&2; exit 2; }
paste_switch=${PASTE_SWITCH:-paste-switch}
tap=watch$$
ports=$(IFS=+; echo "$*")

$paste_switch port add "vale0:$tap=tap:$tap,mirror=$ports"
trap '$paste_switch port remove "vale0:$tap"' EXIT
${WATCH:-wireshark -k -i} "$tap"
