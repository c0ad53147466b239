import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import test from "ava";
import { batchOf } from "../../logger/capture/frame-columns.js";
import { PcapngWriter } from "../../logger/capture/pcapng-writer.js";
import { Random } from "../../logger/traffic/random.js";
import { awkwardFrame, awkwardFrames, awkwardKinds } from "./awkward-traffic.js";
import { skip } from "./skip.js";
import { hasTool, runTool } from "./tools.js";

test("awkward traffic is the same for the same seed, and another for another", (t) => {
  t.deepEqual(awkwardFrames(7, 500), awkwardFrames(7, 500));
  t.notDeepEqual(awkwardFrames(7, 500), awkwardFrames(8, 500));
});

test("awkward traffic has every kind, cuts, equal times, and times that run backwards", (t) => {
  const frames = awkwardFrames(1, 4000, { giants: true, tiny: true });
  const kinds = [...new Set(frames.map((frame) => frame.kind))].sort();
  t.deepEqual(kinds, awkwardKinds({ giants: true, tiny: true }).sort());
  const steps = frames.slice(1).map((frame, i) => frame.timeNs - frames[i]!.timeNs);
  t.true(steps.some((step) => step === 0n));
  t.true(steps.some((step) => step < 0n));
  t.true(frames.some((frame) => frame.data.length < frame.wireLength));
  t.true(frames.some((frame) => frame.data.length === 256 * 1024));
});

test("awkward traffic keeps to its limits", (t) => {
  for (const frame of awkwardFrames(2, 4000, { cuts: false, lengthMax: 1514 })) {
    t.is(frame.data.length, frame.wireLength);
    t.true(frame.data.length >= 14 && frame.data.length <= 1514, frame.kind);
  }
});

// What tshark makes of a frame of a kind, in part: so a kind is what its name says.
const dissections: readonly (readonly [kind: string, protocols: RegExp])[] = [
  ["ipv4 tcp", /ip:tcp/],
  ["ipv4 sctp", /ip:sctp/],
  ["ipv4 igmp", /ip:igmp/],
  ["ipv4 esp", /ip:esp/],
  ["ipv4 middle fragment", /ip:data$/],
  ["ipv6 extension chain", /ipv6:ipv6\.(routing|hopopts|dstopts).*udp/],
  ["ipv6 middle fragment", /ipv6:ipv6\.fraghdr:data$/],
  ["ipv6 neighbour", /ipv6:icmpv6/],
  ["vlan", /^eth:ethertype:vlan:ethertype:ip/],
  ["priority tag", /^eth:ethertype:vlan:ethertype:ip/],
  ["qinq 88a8", /ieee8021ad:ethertype:vlan:ethertype:ip:tcp/],
  ["qinq 9100", /vlan:ethertype:vlan:ethertype:ip:udp/],
  ["mpls ipv4", /mpls:ip:udp/],
  ["mpls ipv6", /mpls:ipv6:tcp/],
  ["pppoe ipv4", /pppoes:ppp:ip:udp/],
  ["arp request", /ethertype:arp/],
  ["lldp", /ethertype:lldp/],
  ["gre key ethernet", /ip:gre:eth:ethertype:ip:tcp/],
  ["ip in ip in ip", /ip:ip:ip:udp/],
  ["6in4", /ip:ipv6:tcp/],
  ["4in6", /ipv6:ip:udp/],
  ["vxlan vlan", /udp:vxlan:eth:ethertype:vlan:ethertype:ipv6:tcp/],
  ["geneve", /udp:geneve:eth:ethertype:ip:udp/],
  ["gtp-u", /udp:gtp:ip:udp/],
  ["llc stp", /eth:llc:stp/],
  ["llc snap", /eth:llc:ip:udp/],
];

test("each kind of awkward frame is what its name says, to tshark", (t) => {
  if (!hasTool("tshark")) return skip(t, "tshark is not installed");
  const seed = 3;
  const random = new Random(seed);
  const writer = new PcapngWriter();
  const batch = batchOf(dissections.map(([kind]) => ({ data: awkwardFrame(kind, random) })));
  const folder = mkdtempSync(join(tmpdir(), "paste-switch-awkward-"));
  t.teardown(() => rmSync(folder, { recursive: true }));
  const file = join(folder, "kinds.pcapng");
  const header = writer.header([{ name: "a", linkType: 1, snaplen: 0 }]);
  writeFileSync(file, Buffer.concat([header, writer.append(batch)]));
  const args = ["-r", file, "-o", "ip.defragment:FALSE", "-T", "fields", "-e", "frame.protocols"];
  const lines = runTool("tshark", args)!.toString().trim().split("\n");
  t.is(lines.length, dissections.length);
  dissections.forEach(([kind, protocols], i) => void t.regex(lines[i]!, protocols, `${kind}, seed ${seed}`));
});
