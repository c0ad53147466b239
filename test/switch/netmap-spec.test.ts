// The grammar of kernel netmap ports: netmap's own, with the rows that netmap's tests know and those that it gets wrong.
import test from "ava";
import { loadAddon } from "../../native/load.js";

type Parsed = Record<string, number | string>;
const parse = (text: string): Parsed =>
  (loadAddon("paste_switch_test") as unknown as { parseNetmapSpec(text: string): Parsed }).parseNetmapSpec(text);

const allNic = 1;
const host = 2;
const nicAndHost = 3;
const oneNic = 4;
const oneHost = 8;
const exclusive = 0x800;
const monitors = { tx: 0x100, rx: 0x200, zeroCopy: 0x400 };
const receiveOnly = 0x2000;
const transmitOnly = 0x4000;

const good: Array<[text: string, parsed: Parsed]> = [
  ["netmap:eth0", { name: "eth0", mode: allNic }],
  ["netmap:eth0.100", { name: "eth0.100", mode: allNic }],
  ["netmap:vale0:x", { name: "vale0:x", mode: allNic }],
  ["netmap:vale:x", { name: "vale:x", mode: allNic }],
  ["netmap:valeth", { name: "valeth", mode: allNic }],
  ["netmap:eth0-0", { name: "eth0", mode: oneNic }],
  ["netmap:eth0-12", { name: "eth0", mode: oneNic, ring: 12 }],
  ["netmap:eth0-4094", { name: "eth0", mode: oneNic, ring: 4094 }],
  ["netmap:eth0^", { name: "eth0", mode: host }],
  ["netmap:eth0^3", { name: "eth0", mode: oneHost, ring: 3 }],
  ["netmap:eth0*", { name: "eth0", mode: nicAndHost }],
  ["netmap:eth0/x", { name: "eth0", mode: allNic, flags: exclusive }],
  ["netmap:eth0/zt", { name: "eth0", mode: allNic, flags: monitors.zeroCopy + monitors.tx }],
  ["netmap:eth0-1/r", { name: "eth0", mode: oneNic, ring: 1, flags: monitors.rx }],
  ["netmap:eth0/R", { name: "eth0", mode: allNic, flags: receiveOnly }],
  ["netmap:eth0/xT", { name: "eth0", mode: allNic, flags: exclusive + transmitOnly }],
  ["netmap:eth0@2", { name: "eth0", mode: allNic, memoryId: 2 }],
  ["netmap:eth0@2/R", { name: "eth0", mode: allNic, memoryId: 2, flags: receiveOnly }],
  ["netmap:eth0@2/R@2", { name: "eth0", mode: allNic, memoryId: 2, flags: receiveOnly }],
  ["netmap:eth0-0@2/R", { name: "eth0", mode: oneNic, memoryId: 2, flags: receiveOnly }],
  ["netmap:eth0{1", { name: "eth0{1", mode: allNic }],
  ["netmap:vale0:x}pipe_2", { name: "vale0:x}pipe_2", mode: allNic }],
  ["netmap:vale0:x{a-0/x", { name: "vale0:x{a", mode: oneNic, flags: exclusive }],
  ["netmap:vale0:x@share=vale0:y", { name: "vale0:x", mode: allNic, share: "vale0:y" }],
  ["netmap:vale0:x,share=netmap:eth1", { name: "vale0:x", mode: allNic, share: "eth1" }],
  ["netmap:vale0:x@conf:rings=2,tx-slots=64", { name: "vale0:x", mode: allNic, txRings: 2, rxRings: 2, txSlots: 64 }],
  ["netmap:vale0:x,slots=512,extmem=off", { name: "vale0:x", mode: allNic, txSlots: 512, rxSlots: 512, extmem: 2 }],
  [
    "netmap:eth0*,host-rings=4,extmem=on",
    { name: "eth0", mode: nicAndHost, hostTxRings: 4, hostRxRings: 4, extmem: 1 },
  ],
];

for (const [text, parsed] of good) test(`${text} is understood`, (t) => t.deepEqual(parse(text), parsed));

const bad: Array<[text: string, reason: RegExp]> = [
  ["netmap:", /a port's name is missing/],
  ["netmap:^", /a port's name is missing/],
  ["netmap:{", /pipe's identifier/],
  ["netmap:{0", /a port's name has letters/],
  ["eth0", /netmap:NAME is meant/],
  ["netmaps:eth0", /netmap:NAME is meant/],
  ["netmap:eth0-", /a ring's number/],
  ["netmap:eth0-4095", /below 4095/],
  ["netmap:eth0-99999999999", /below 4095/],
  ["netmap:eth0-0-1", /no mode, memory id or flag/],
  ["netmap:eth0*^", /no mode, memory id or flag/],
  ["netmap:eth0@", /a memory id/],
  ["netmap:eth0@0", /a memory id/],
  ["netmap:eth0@65536", /a memory id/],
  ["netmap:eth0@2/R@3", /two memory ids/],
  ["netmap:eth0/", /flags: x z t r R T/],
  ["netmap:eth0/q", /flag `q`/],
  ["netmap:eth0/RT", /exclude each other/],
  ["netmap:eth0&", /letters, digits/],
  ["netmap:eth0{", /pipe's identifier/],
  ["netmap:eth0{a&", /pipe's identifier/],
  ["netmap:eth:x", /stands vale and a switch's identifier/],
  ["netmap:vale-0:x", /no mode, memory id or flag/],
  ["netmap:vale0:x^", /no host rings/],
  ["netmap:vale0:x*", /no host rings/],
  ["netmap:eth0{1*", /no host rings/],
  [`netmap:${"a".repeat(64)}`, /longer than 63/],
  ["netmap:eth0,extmem=maybe", /extmem=auto\|on\|off/],
  ["netmap:eth0@2,extmem=on", /leave one out/],
  ["netmap:eth0,slots=0", /option `slots=0`/],
  ["netmap:eth0@conf:slots=many", /option `slots=many`/],
  ["netmap:eth0,speed=3", /option `speed=3`/],
  ["netmap:eth0@offset:bits=32", /option `offset:bits=32`/],
];

for (const [text, reason] of bad) {
  test(`${text} is refused, with the reason`, (t) => {
    const error = t.throws(() => parse(text));
    t.regex(error.message, reason);
    t.true(error.message.startsWith(`USAGE: port \`${text}\``), error.message);
  });
}
