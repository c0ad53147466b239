#!/usr/bin/env bash
# A QEMU guest at the switch. QEMU opens a TAP device; the switch takes what comes out of the device's other side by AF_XDP.
#
#   sudo paste-switch daemon --store /dev/shm/lab.store --size 1G --log 'port 53'     in one terminal
#   sudo examples/qemu-guest.sh -m 1G guest.qcow2                                     in another: any arguments of QEMU
#
# vnet_hdr=off: the guest finishes its checksums and segments itself, so that every frame is one that may leave any port.
set -euo pipefail

[ $# -gt 0 ] || { echo "usage: qemu-guest.sh ARGUMENTS OF qemu-system-x86_64" >&2; exit 2; }
paste_switch=${PASTE_SWITCH:-paste-switch}
tap=guest$$

cleanup() {
  $paste_switch port remove "vale0:$tap" || true
  ip link delete "$tap" 2>/dev/null || true
}
trap cleanup EXIT

ip tuntap add "$tap" mode tap
ip link set "$tap" up
$paste_switch port add "vale0:$tap=xdp:$tap"
qemu-system-x86_64 -netdev "tap,id=net0,ifname=$tap,script=no,downscript=no,vnet_hdr=off" \
  -device "virtio-net-pci,netdev=net0,mac=$(printf '02:00:00:%02x:%02x:%02x' $((RANDOM % 256)) $((RANDOM % 256)) $((RANDOM % 256)))" "$@"
