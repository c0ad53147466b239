import { writeFileSync } from "node:fs";
import { join } from "node:path";
import test, { type ExecutionContext } from "ava";
import { batchOf } from "../../logger/capture/frame-columns.js";
import { PcapWriter } from "../../logger/capture/pcap-writer.js";
import { PasteError } from "../../logger/errors.js";
import { replayFrames } from "../../logger/replay.js";
import { nativeRewrite, type ReplayRewrite } from "../../logger/replay-rewrite.js";
import { awkwardFrames } from "../support/awkward-traffic.js";
import { crc32c, wordSum } from "../support/checksums.js";
import { liveSwitch, until } from "../support/live-switch.js";
import { skipPart } from "../support/skip.js";
import { hasTool, runTool } from "../support/tools.js";
import { storeWith, testFolder } from "./store-tools.js";

const octets = (text: string) => Buffer.from(text.replaceAll(/[ :\n]/g, ""), "hex");

/** Addresses, ports and whether every checksum is right: a reader of its own, made to be short. */
function read(frame: Buffer) {
  let at = 12;
  const tags: number[] = [];
  for (; [0x8100, 0x88a8].includes(frame.readUInt16BE(at)); at += 4) tags.push(frame.readUInt16BE(at + 2));
  const type = frame.readUInt16BE(at);
  const ip = frame.subarray(at + 2);
  const v6 = type === 0x86dd;
  const header = v6 ? 40 : (ip[0]! & 15) * 4;
  const length = v6 ? 40 + ip.readUInt16BE(4) : ip.readUInt16BE(2);
  const protocol = v6 ? ip[6]! : ip[9]!;
  const addresses = v6 ? ip.subarray(8, 40) : ip.subarray(12, 20);
  const transport = ip.subarray(header, length);
  const headerRight = v6 || wordSum(ip.subarray(0, header)) === 0xffff;
  const pseudo = Buffer.from([0, protocol, transport.length >> 8, transport.length & 255]);
  let right = wordSum([...(protocol === 1 ? [] : [addresses, pseudo]), transport]) === 0xffff;
  if (protocol === 17 && transport.readUInt16BE(6) === 0) right = true;
  if (protocol === 132) {
    const held = transport.readUInt32LE(8);
    const zeroed = Buffer.from(transport);
    zeroed.writeUInt32LE(0, 8);
    right = crc32c(zeroed) === held;
  }
  const half = addresses.length / 2;
  return {
    tags,
    to: frame.toString("hex", 0, 6),
    from: frame.toString("hex", 6, 12),
    source: addresses.toString("hex", 0, half),
    target: addresses.toString("hex", half),
    ports: [transport.readUInt16BE(0), transport.readUInt16BE(2)],
    right: headerRight && right,
  };
}

interface Made {
  v6?: boolean;
  protocol: number;
  transport: string;
  tags?: string;
  noChecksum?: boolean;
}

/** A frame from 02::1, 10.1.2.3 or 2001:db8::3, to 02::2, 10.9.8.7 or 2001:db8::7, with right checksums. */
function made({ v6 = false, protocol, transport, tags = "", noChecksum = false }: Made): Buffer {
  const body = octets(transport);
  const addresses = v6
    ? octets("20010db8000000000000000000000003 20010db8000000000000000000000007")
    : octets("0a010203 0a090807");
  const head = v6
    ? Buffer.concat([octets("60000000"), Buffer.from([body.length >> 8, body.length, protocol, 64]), addresses])
    : Buffer.concat([
        octets("4500"),
        Buffer.from([0, body.length + 20]),
        octets("00014000 40"),
        Buffer.from([protocol, 0, 0]),
        addresses,
      ]);
  if (!v6) head.writeUInt16BE(0xffff ^ wordSum(head), 10);
  const pseudo = Buffer.from([0, protocol, body.length >> 8, body.length & 255]);
  const field = { 6: 16, 17: 6, 136: 6, 58: 2, 1: 2 }[protocol];
  if (protocol === 132) body.writeUInt32LE(crc32c(body), 8);
  else if (field !== undefined && !noChecksum)
    body.writeUInt16BE(0xffff ^ wordSum([...(protocol === 1 ? [] : [addresses, pseudo]), body]) || 0xffff, field);
  return Buffer.concat([octets("020000000002 020000000001"), octets(tags), octets(v6 ? "86dd" : "0800"), head, body]);
}

const tcp = "0050 1f90 00000001 00000002 5010 0400 0000 0000 68656c6c6f";
const udp = "0035 1f90 000d 0000 68656c6c6f";
const sctp = "0050 1f90 00000007 00000000 0b000004";
const packets: [string, Made][] = [
  ["TCP", { protocol: 6, transport: tcp }],
  ["UDP of odd length", { protocol: 17, transport: udp }],
  ["UDP without a checksum", { protocol: 17, transport: udp, noChecksum: true }],
  ["ICMP", { protocol: 1, transport: "0800 0000 0001 0001 6162636465" }],
  ["SCTP", { protocol: 132, transport: sctp }],
  ["TCP over IPv6", { v6: true, protocol: 6, transport: tcp }],
  ["UDP over IPv6", { v6: true, protocol: 17, transport: udp }],
  ["UDP over IPv6 without a checksum", { v6: true, protocol: 17, transport: udp, noChecksum: true }],
  ["UDP-Lite", { protocol: 136, transport: udp }],
  ["ICMPv6", { v6: true, protocol: 58, transport: "8000 0000 0001 0001 6162636465" }],
  ["SCTP over IPv6", { v6: true, protocol: 132, transport: sctp }],
  ["TCP behind two tags", { protocol: 6, transport: tcp, tags: "88a8 0064 8100 e005" }],
];

async function rewritten(t: ExecutionContext, frames: readonly Buffer[], rewrite: ReplayRewrite): Promise<Buffer[]> {
  const { socket, open } = await liveSwitch(t, { threads: 1 });
  const sink = open("vale0:sink", { slots: 4096 });
  const store = await storeWith(
    t,
    frames.map((data, i) => ({ data, wireLength: data.length, timeNs: BigInt(i) })),
    { ports: ["vale0:a"] },
  );
  await replayFrames({ sources: [store], socket, ports: ["vale0:a"], topSpeed: true, rewrite });
  await until(() => sink.pending >= frames.length, "all frames");
  const found = sink.receive(frames.length);
  sink.close();
  return found;
}

test("addresses, ports and MACs change on both sides, and every checksum stays right", async (t) => {
  const frames = packets.map(([, each]) => made(each));
  for (const [i, frame] of frames.entries()) t.true(read(frame).right, `${packets[i]![0]}: as it was made`);
  const found = await rewritten(t, frames, {
    macs: ["02:00:00:00:00:01=06:07:08:09:0a:0b"],
    addresses: ["10.1.0.0/16=192.168.0.0/16", "10.9.8.7=1.2.3.4", "2001:db8::/125=fd00:1:2:3::ff00/125"],
    ports: ["8080=65535", "80=1", "53=0"],
  });
  for (const [i, [what, packet]] of packets.entries()) {
    const now = read(found[i]!);
    t.true(now.right, `${what}: checksums`);
    t.is(now.from, "060708090a0b", what);
    t.is(now.to, "020000000002", what);
    t.is(now.source, packet.v6 ? "fd0000010002000300000000 0000ff03".replace(" ", "") : "c0a80203", what);
    t.is(now.target, packet.v6 ? "fd0000010002000300000000 0000ff07".replace(" ", "") : "01020304", what);
    if (packet.protocol !== 1 && packet.protocol !== 58)
      t.deepEqual(now.ports, [packet.transport === udp ? 0 : 1, 65535], what);
    t.deepEqual(now.tags, packet.tags ? [0x64, 0xe005] : []);
    if (packet.noChecksum) t.is(found[i]!.readUInt16BE(packet.v6 ? 60 : 40), 0, "none stays none");
  }
});

test("UDP's and UDP-Lite's checksums never become 0, which would say that there is none", async (t) => {
  const withWord = (protocol: number, port: string, word: number) =>
    made({ protocol, transport: `${port} 1f90 000a 0000 ${word.toString(16).padStart(4, "0")}` });
  for (const protocol of [17, 136]) {
    const word = withWord(protocol, "0036", 0).readUInt16BE(40); // what makes the sum of all words ffff
    const wanted = withWord(protocol, "0036", word);
    t.is(wanted.readUInt16BE(40), 0xffff);
    const [found] = await rewritten(t, [withWord(protocol, "0035", word)], { ports: ["53=54"] });
    t.is(found!.toString("hex"), wanted.toString("hex"), `protocol ${protocol}`);
  }
});

test("VLAN tags: changed, taken away, added; priorities stay", async (t) => {
  const plain = made({ protocol: 6, transport: tcp });
  const tagged = made({ protocol: 6, transport: tcp, tags: "88a8 a064 8100 e005" });
  const tags = async (vlan: string) => (await rewritten(t, [plain, tagged], { vlan })).map((each) => read(each).tags);
  t.deepEqual(await tags("4094"), [[], [0xaffe, 0xe005]]);
  t.deepEqual(await tags("strip"), [[], [0xe005]]);
  t.deepEqual(await tags("add:7"), [[7], [7, 0xa064, 0xe005]]);
});

test("ARP and neighbour discovery tell of the new addresses", async (t) => {
  const arp = octets(
    "ffffffffffff 020000000001 0806 0001 0800 06 04 0001 020000000001 0a010203 000000000000 0a090807 000000000000000000000000000000000000",
  );
  const target = "20010db8000000000000000000000007";
  const solicit = made({ v6: true, protocol: 58, transport: `8700 0000 00000000 ${target} 0101 020000000001` });
  const [newArp, newSolicit] = await rewritten(t, [arp, solicit], {
    macs: ["02:00:00:00:00:01=06:07:08:09:0a:0b"],
    addresses: ["10.0.0.0/8=11.0.0.0/8", "2001:db8::/32=2001:db9::/32"],
  });
  t.is(newArp!.toString("hex", 22, 42), "060708090a0b0b0102030000000000000b090807");
  t.is(newSolicit!.toString("hex", 62, 78), target.replace("0db8", "0db9"));
  t.is(newSolicit!.toString("hex", 80, 86), "060708090a0b");
  t.true(read(newSolicit!).right);
});

test("an unfinished checksum is finished, a wrong one stays wrong, a fragment's is right when it is whole again", async (t) => {
  const whole = made({ protocol: 6, transport: tcp });
  const unfinished = Buffer.from(whole);
  const pseudo = wordSum([unfinished.subarray(26, 34), Buffer.from([0, 6, 0, 25])]);
  unfinished.writeUInt16BE(pseudo, 50);
  const wrong = Buffer.from(whole);
  wrong[58] = wrong[58]! ^ 1;
  const fragment = Buffer.from(whole.subarray(0, 54));
  fragment.writeUInt16BE(0x2000, 20);
  fragment.writeUInt16BE(0xffff ^ wordSum([fragment.subarray(14, 24), fragment.subarray(26, 34)]), 24);
  const found = await rewritten(t, [unfinished, wrong, fragment], { addresses: ["10.1.2.3=9.9.9.9"] });
  t.true(read(found[0]!).right);
  t.false(read(found[1]!).right);
  const [, , part] = found;
  t.is(wordSum(part!.subarray(14, 34)), 0xffff, "the header's own");
  const joined = Buffer.concat([part!.subarray(34, 54), whole.subarray(54)]);
  t.is(wordSum([part!.subarray(26, 34), Buffer.from([0, 6, 0, 25]), joined]), 0xffff);
});

test("whatever the frames: nothing but addresses, ports and checksums changes; tshark agrees about checksums", async (t) => {
  const frames = awkwardFrames(17, 1500, { cuts: false, lengthMax: 2000 })
    .map((each) => Buffer.from(each.data))
    .filter((data) => data.length >= 14);
  for (const frame of frames) frame[0] = frame[0]! | 1; // to everybody, whatever is known of the address
  const there = await rewritten(t, frames, { addresses: ["0.0.0.0/1=128.0.0.0/1", "::/1=8000::/1"] });
  t.deepEqual(
    there.map((each) => each.length),
    frames.map((each) => each.length),
  );
  const back = { addresses: ["128.0.0.0/1=0.0.0.0/1", "8000::/1=::/1"] };
  const [once, twice] = [await rewritten(t, frames, back), await rewritten(t, there, back)];
  t.is(
    once.findIndex((each, i) => !each.equals(twice[i]!)),
    -1,
    "there and back is back",
  );
  if (!hasTool("tshark")) return skipPart(t, "tshark is not installed: its checksums were not asked");
  const good = (packets: readonly Buffer[]) => {
    const capture = join(testFolder(t), "frames.pcap");
    const writer = new PcapWriter();
    const batch = batchOf(packets.map((data, i) => ({ data, wireLength: data.length, timeNs: BigInt(i) })));
    writeFileSync(capture, Buffer.concat([writer.header(), writer.append(batch)]));
    const on = ["ip", "tcp", "udp"].flatMap((each) => ["-o", `${each}.check_checksum:TRUE`]);
    const fields = ["ip", "tcp", "udp", "sctp", "icmp", "icmpv6"].flatMap((each) => ["-e", `${each}.checksum.status`]);
    return runTool("tshark", ["-r", capture, ...on, "-T", "fields", ...fields])!
      .toString()
      .split("\n");
  };
  const [before, after] = [good(frames), good(there)];
  const firstWorse = after.findIndex((line, i) => line.split("0").length > before[i]!.split("0").length);
  t.is(firstWorse, -1, `frame ${firstWorse}: ${before[firstWorse]} became ${after[firstWorse]}`);
  t.true(after.some((line) => line.includes("1")));
});

const refused: [ReplayRewrite, RegExp][] = [
  [{ macs: ["02:00:00:00:00:01"] }, /no pair of MACs/],
  [{ macs: ["02:00=02:00:00:00:00:01"] }, /"02:00" is no Ethernet address/],
  [{ addresses: ["10.0.0.0/8=172.16.0.0/12"] }, /prefixes of 8 and 12 bits/],
  [{ addresses: ["10.0.0.1/8=11.0.0.0/8"] }, /10.0.0.1\/8 has bits behind its prefix/],
  [{ addresses: ["10.0.0.0/33=11.0.0.0/33"] }, /"\/33" is no prefix/],
  [{ addresses: ["10.0.0.1=2001:db8::1"] }, /IPv4, the other IPv6/],
  [{ addresses: ["ten=11.0.0.0"] }, /"ten" is no IP address/],
  [{ ports: ["80=65536"] }, /"65536" is no port/],
  [{ vlan: "4095" }, /no change of a VLAN/],
  [{ vlan: "remove" }, /no change of a VLAN/],
];
for (const [rewrite, message] of refused)
  test(`refused: ${JSON.stringify(rewrite)}`, (t) => {
    const error = t.throws(() => nativeRewrite(rewrite), { instanceOf: PasteError, message });
    t.is(error?.code, "USAGE");
  });
