import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import test from "ava";
import { loadConfig } from "../../switch/config.js";
import { ConfigEditor } from "../../switch/config-edit.js";
import { noPortOptions, type PortOptions, vlanIds } from "../../switch/port-options.js";
import { parsePortSpec, portKindsText, portSpecText, sourceFile } from "../../switch/port-spec.js";

const good: [text: string, name: string, spec: string, options?: Partial<PortOptions>][] = [
  ["vale0:a", "vale0:a", ""],
  ["vale:x", "vale:x", ""],
  ["vale12:eth0_1", "vale12:eth0_1", ""],
  ["vale0:a,access=5", "vale0:a", "", { access: 5 }],
  ["vale0:a,trunk=all", "vale0:a", "", { trunk: "all" }],
  ["vale0:a,native=7,trunk=10+20-30", "vale0:a", "", { trunk: "10+20-30", native: 7 }],
  ["vale0:m,mirror=a+vale0:b", "vale0:m", "", { mirror: ["vale0:a", "vale0:b"] }],
  ["vale3:m,mirror=a*,mirror-direction=in", "vale3:m", "", { mirror: ["vale3:a*"], mirrorDirection: "in" }],
  ["vale0:r=pcap:x.pcap", "vale0:r", "pcap:/w/x.pcap"],
  ["vale0:r=pcap:/a,b=c,d.pcap,speed=2.5,loop=0", "vale0:r", "pcap:/a,b=c,d.pcap,speed=2.5,loop=0"],
  ["pcap:/tmp/http-2.pcapng,speed=max", "vale0:http_2", "pcap:/tmp/http-2.pcapng,speed=max"],
  ["pcap:../a_very_long_name_indeed.cap", "vale0:a_very_long_nam", "pcap:/a_very_long_name_indeed.cap"],
  ["pcap:/x.pcap,loop=0,access=9,speed=1", "vale0:x", "pcap:/x.pcap,loop=0,speed=1", { access: 9 }],
  ["tap:t0", "vale0:t0", "tap:t0"],
  ["vale1:up=tap:t-0.5", "vale1:up", "tap:t-0.5"],
  ["tap:t-0.5", "vale0:t_0_5", "tap:t-0.5"],
  [
    "tap:t0,queues=2,access=5,mtu=9000,mac=02:00:00:00:00:0A,address=10.0.0.1/24,offload=off,netns=blue",
    "vale0:t0",
    "tap:t0,queues=2,mtu=9000,mac=02:00:00:00:00:0A,address=10.0.0.1/24,offload=off,netns=blue",
    { access: 5 },
  ],
  ["tap:t0,persist", "vale0:t0", "tap:t0,persist=on"],
  ["tap:t0,address=fd00::1/64,netns=/run/user/n s", "vale0:t0", "tap:t0,address=fd00::1/64,netns=/run/user/n s"],
  ["xdp:eth0", "vale0:eth0", "xdp:eth0"],
  ["xdp:eth0@3", "vale0:eth0_3", "xdp:eth0@3"],
  ["xdp:eth0@all,mode=native,copy=zero", "vale0:eth0", "xdp:eth0@all,mode=native,copy=zero"],
  ["vale0:u=xdp:eth0,umem=dram,trunk=all,native=1", "vale0:u", "xdp:eth0,umem=dram", { trunk: "all", native: 1 }],
  ["netmap:eth0", "vale0:eth0", "netmap:eth0"],
  ["vale0:n=netmap:vale9:x", "vale0:n", "netmap:vale9:x"],
];
for (const [text, name, spec, options] of good)
  test(`port ${text}`, (t) => {
    const port = parsePortSpec(text, "/w");
    t.deepEqual(port, { name, spec, options: { ...noPortOptions, ...options } });
    t.deepEqual(parsePortSpec(portSpecText(port), "/elsewhere"), port, "typed again");
  });

const tapOptions = "queues, mtu, persist, owner, group, netns, mac, address, offload";
const common = "access, trunk, native, mirror, mirror-direction";
const bad: [text: string, message: string][] = [
  ["", `port "": no kind: use ${portKindsText}`],
  ["eth0", `port "eth0": no kind: use ${portKindsText}`],
  ["tun:t0", `port "tun:t0": "tun:" is no kind of port: use ${portKindsText}`],
  ["vale0:a=", `port "": no kind: use ${portKindsText}`],
  ["vale0:a=vale0:b", `port "vale0:b": no kind: use ${portKindsText}`],
  ["toString:x", `port "toString:x": no kind: use ${portKindsText}`],
  [
    "vale0:",
    'port "vale0:": a name is SWITCH:PORT such as vale0:a, of letters, digits and _, each part at most 15 long',
  ],
  ["vale0:a,speed=1", `port "vale0:a,speed=1": unknown option speed: a port takes ${common}`],
  ["vale0:a,", `port "vale0:a,": an empty option: a port takes ${common}`],
  ["pcap:", 'port "pcap:": no file is named: write pcap:FILE'],
  ["pcap:x,speed=0", 'port "pcap:x,speed=0": speed=0: write a factor such as 1 or 2.5, or max'],
  ["pcap:x,mirror=a", 'port "pcap:x,mirror=a": mirror: a capture only gives frames, it cannot watch'],
  ["tap:", 'port "tap:": "" is not the name of a TAP device, at most 15 characters'],
  ["tap:a b", 'port "tap:a b": "a b" is not the name of a TAP device, at most 15 characters'],
  [
    "tap:sixteen-letters0",
    'port "tap:sixteen-letters0": "sixteen-letters0" is not the name of a TAP device, at most 15 characters',
  ],
  ["tap:..", 'port "tap:..": ".." is not the name of a TAP device, at most 15 characters'],
  ["tap:t%d", 'port "tap:t%d": "t%d" is not the name of a TAP device, at most 15 characters'],
  ["tap:t0,mode=native", `port "tap:t0,mode=native": unknown option mode: a tap port takes ${tapOptions}, ${common}`],
  [
    "tap:t0,__proto__=1",
    `port "tap:t0,__proto__=1": unknown option __proto__: a tap port takes ${tapOptions}, ${common}`,
  ],
  ["tap:t0,queues=0", 'port "tap:t0,queues=0": queues=0: write a whole number from 1 to 64'],
  ["tap:t0,queues=1,queues=2", 'port "tap:t0,queues=1,queues=2": queues is given twice'],
  ["tap:t0,mtu=67", 'port "tap:t0,mtu=67": mtu=67: write a whole number from 68 to 9198'],
  [
    "tap:t0,mac=01:00:00:00:00:01",
    'port "tap:t0,mac=01:00:00:00:00:01": mac=01:00:00:00:00:01: write a station\'s address such as 02:00:00:00:00:01',
  ],
  ["tap:t0,netns=..", 'port "tap:t0,netns=..": netns=..: write a name below /run/netns, or a path'],
  [
    "xdp:eth0@x",
    'port "xdp:eth0@x": "eth0@x" is not the name of an interface, and a queue if need be: eth0, eth0@1 or eth0@all',
  ],
  ["xdp:eth0,mode=fast", 'port "xdp:eth0,mode=fast": mode=fast: write auto, native, generic'],
  ["tap:t0,access=0", 'port "tap:t0,access=0": access=0: write a VLAN id, 1 to 4094'],
  ["tap:t0,access=5,access=6", 'port "vale0:t0": access is given twice'],
  ["tap:t0,access=5,trunk=all", 'port "vale0:t0": access and trunk exclude each other: leave one out'],
  ["vale0:a,native=5", 'port "vale0:a": native belongs to a trunk: add trunk=all, or use access'],
  [
    "vale0:a,trunk=",
    'port "vale0:a,trunk=": trunk=: write all, or VLAN ids and ranges from 1 to 4094 such as 10+20-30',
  ],
  [
    "vale0:a,trunk=9-3",
    'port "vale0:a,trunk=9-3": trunk=9-3: write all, or VLAN ids and ranges from 1 to 4094 such as 10+20-30',
  ],
  [
    "vale0:a,trunk=all+3",
    'port "vale0:a,trunk=all+3": trunk=all+3: write all, or VLAN ids and ranges from 1 to 4094 such as 10+20-30',
  ],
  ["vale0:a,mirror=a", 'port "vale0:a": mirror: a port cannot watch itself'],
  ["vale0:a,mirror=vale1:b", 'port "vale0:a": mirror: vale1:b is of another switch: it cannot be watched from here'],
  [
    "vale0:a,mirror=b,access=1",
    'port "vale0:a": a mirror has no VLANs, it gets frames as they came: leave access and trunk out',
  ],
  ["vale0:a,mirror-direction=in", 'port "vale0:a": mirror-direction says what to copy: add mirror=PORT'],
  [
    "vale0:a,mirror=b,mirror-direction=up",
    'port "vale0:a,mirror=b,mirror-direction=up": mirror-direction=up: write in, out or both',
  ],
];
for (const [text, message] of bad)
  test(`no port: ${text}`, (t) => {
    t.throws(() => parsePortSpec(text, "/w"), { code: "USAGE", message });
  });

test("every good port survives the configuration file", (t) => {
  const folder = mkdtempSync(join(tmpdir(), "paste-test-"));
  t.teardown(() => rmSync(folder, { recursive: true }));
  const path = join(folder, "c.toml");
  const ports = good.map(([text], index) => ({ ...parsePortSpec(text, "/w"), name: `vale0:n${index}` }));
  const saved = ports.map((port) => ({
    ...port,
    options: { ...port.options, mirror: port.options.mirror.map((name) => name.replace("vale3", "vale0")) },
  }));
  const editor = new ConfigEditor(path);
  for (const port of saved) editor.addPort(port);
  t.deepEqual(loadConfig(path, () => new Uint8Array()).ports, saved);
  for (const { name } of saved) editor.removePort(name);
  t.deepEqual(loadConfig(path, () => new Uint8Array()).ports, []);
});

test("VLANs of a trunk, each once and in order", (t) => {
  t.deepEqual(vlanIds("20-22+10+21"), [10, 20, 21, 22]);
  t.deepEqual(vlanIds(""), []);
  t.is(vlanIds("1-4094")?.length, 4094);
  t.is(vlanIds("all"), undefined);
});

test("the file of a source, whatever its name", (t) => {
  t.is(sourceFile("pcap:/a,b=c,d.pcap,speed=2.5,loop=0"), "/a,b=c,d.pcap");
  t.is(sourceFile("pcap:/plain"), "/plain");
  t.is(sourceFile("tap:t0"), undefined);
  t.is(sourceFile(""), undefined);
});
