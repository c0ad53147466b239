import test from "ava";
import { formatTable, wrapText } from "../../cli/format.js";
import { portsText } from "../../cli/ports-text.js";
import type { PortInfo } from "../../native/engine.js";

const port = (name: string, more: Partial<PortInfo> = {}): PortInfo =>
  ({
    name,
    kind: "xdp",
    state: "up",
    clientPid: -1,
    frameBytesMax: 1518,
    counters: { receivedFrames: 1234567, deliveredCopies: 0 },
    interface: "",
    detail: "",
    vlan: "",
    mirror: [],
    mirrorDirection: "both",
    ...more,
  }) as PortInfo;

const ports = [
  port("vale0:a", { kind: "vale", clientPid: 77 }),
  port("vale0:uplink", {
    interface: "blue/eth0",
    detail: `native, copy mode, UMEM in DRAM (not in the store: ${"why it is not ".repeat(6)})`,
    vlan: "trunk 10, 20-30",
    mirror: ["vale0:a", "vale0:b"],
  }),
  port("vale0:file", { kind: "pcap", state: "error: lunch.pcap is cut after frame 12" }),
];

test("a port has a row, and below it what there is to tell; nothing is wider than the terminal", (t) => {
  const lines = portsText(ports, 80).split("\n");
  t.true(
    lines.every((line) => line.length <= 80),
    lines.join("\n"),
  );
  t.regex(lines[0]!, /^port +kind +state +pid +frame max +received +delivered$/);
  t.regex(lines[1]!, /^vale0:a +vale +up +77 +1518 +1,234,567 +0$/);
  t.regex(lines[2]!, /^vale0:uplink +xdp +up +- +1518 /);
  t.regex(lines[3]!, /^ {4}blue\/eth0; native, copy mode/);
  const told = lines
    .slice(3, -2)
    .map((line) => line.trim())
    .join(" ");
  t.regex(told, /; trunk 10, 20-30; mirror of vale0:a, vale0:b \(both\) vale0:file +pcap +error /);
  t.is(lines.at(-2), "    lunch.pcap is cut after frame 12");
});

test("in a pipe each port's text is one line", (t) => {
  t.is(portsText(ports, Infinity).split("\n").length, 1 + 3 + 2 + 1);
});

test("no port: what to do", (t) => t.regex(portsText([]), /^no ports: .*port add/));

test("a table's last column goes on below itself", (t) => {
  const text = formatTable(["n", "reasons"], [["12", "full 3, no_destination 1,000, gone 2"]], ["n"], 28);
  t.is(text, " n  reasons\n12  full 3, no_destination\n    1,000, gone 2\n");
  t.is(formatTable(["n", "reasons"], [["12", ""]], ["n"], 28), " n  reasons\n12\n");
});

test("a word that is longer than the line is not cut", (t) => {
  t.deepEqual(wrapText("a /a/very/long/path b", 8), ["a", "/a/very/long/path", "b"]);
});
