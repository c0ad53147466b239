// What may be shared: Crypto-PAn against its published sample and a model, and that nothing gets through that should not.
import { createCipheriv, randomBytes } from "node:crypto";
import { join } from "node:path";
import test, { type ExecutionContext } from "ava";
import type { SanitizeOptions } from "../../../logger/export/sanitize.js";
import { exportFrames } from "../../../logger/export.js";
import { u16 } from "../../support/awkward-packets.js";
import { awkwardFrames } from "../../support/awkward-traffic.js";
import { wordSum } from "../../support/checksums.js";
import { skip } from "../../support/skip.js";
import { hasTool, runTool } from "../../support/tools.js";
import { readAll } from "../capture/read-all.js";
import { storeWith, testFolder } from "../store-tools.js";

/** The key of Crypto-PAn's sample program. */
const sampleKey = Buffer.from([
  ...[21, 34, 23, 141, 51, 164, 207, 128, 19, 10, 91, 22, 73, 144, 125, 16],
  ...[216, 152, 143, 131, 121, 121, 101, 39, 98, 87, 76, 45, 42, 132, 34, 2],
]);
/** Lines of its sample trace, before and after. */
const sampleTrace: [string, string][] = [
  ["128.11.68.132", "135.242.180.132"],
  ["129.118.74.4", "134.136.186.123"],
  ["130.132.252.244", "133.68.164.234"],
  ["141.223.7.43", "141.167.8.160"],
  ["141.233.145.108", "141.129.237.235"],
  ["152.163.225.39", "151.140.114.167"],
  ["156.29.3.236", "147.225.12.42"],
  ["165.247.96.84", "162.9.99.234"],
  ["166.107.77.190", "160.132.178.185"],
  ["192.102.249.13", "252.138.62.131"],
];

/** The paper's definition, bit by bit. */
function mapped(address: Buffer, key: Buffer): Buffer {
  const encrypt = (block: Buffer) => {
    const cipher = createCipheriv("aes-128-ecb", key.subarray(0, 16), null).setAutoPadding(false);
    return cipher.update(block);
  };
  const pad = encrypt(key.subarray(16));
  const out = Buffer.from(address);
  const bit = (bytes: Buffer, i: number) => (bytes[i >> 3]! >> (7 - (i & 7))) & 1;
  for (let i = 0; i < address.length * 8; i++) {
    const block = Buffer.from(pad);
    for (let j = 0; j < i; j++) if (bit(block, j) !== bit(address, j)) block[j >> 3]! ^= 0x80 >> (j & 7);
    out[i >> 3]! ^= (encrypt(block)[0]! >> 7) << (7 - (i & 7));
  }
  return out;
}

const ip4 = (text: string) => Buffer.from(text.split(".").map(Number));
const ethernet = (type: number, payload: Buffer) =>
  Buffer.concat([Buffer.from("020102030405020a0b0c0d0e", "hex"), u16(type), payload]);
function packet4(
  protocol: number,
  source: Buffer,
  destination: Buffer,
  payload: Buffer,
  options = Buffer.alloc(0),
): Buffer {
  const header = Buffer.concat([
    Buffer.from([0x45 + options.length / 4, 0]),
    u16(20 + options.length + payload.length, 1, 0),
    Buffer.from([64, protocol, 0, 0]),
    ...[source, destination, options],
  ]);
  header.writeUInt16BE(~wordSum(header) & 0xffff, 10);
  return Buffer.concat([header, payload]);
}
function packet6(next: number, source: Buffer, destination: Buffer, payload: Buffer): Buffer {
  const header = Buffer.concat([Buffer.from([0x60, 0, 0, 0]), u16(payload.length), Buffer.from([next, 64])]);
  return Buffer.concat([header, source, destination, payload]);
}
function udp(source: Buffer, destination: Buffer, ports: [number, number], payload: Buffer): Buffer {
  const datagram = Buffer.concat([u16(...ports, 8 + payload.length, 0), payload]);
  const pseudo = Buffer.concat([source, destination, u16(17, datagram.length), datagram]);
  datagram.writeUInt16BE(~wordSum(pseudo) & 0xffff, 6);
  return datagram;
}
/** Never part of any header here. */
const secret = Buffer.from("SECRETsecretSECRETsecretSECRET");

async function sanitized(t: ExecutionContext, datas: Buffer[], options: SanitizeOptions = {}): Promise<Buffer[]> {
  const frames = datas.map((data, i) => ({ data, wireLength: data.length, timeNs: BigInt(i + 1) }));
  const path = await storeWith(t, frames, { sizeBytes: 64 << 20 });
  const output = join(testFolder(t), "out.pcapng");
  await exportFrames({ sources: [path], output, sanitize: { key: sampleKey, ...options } });
  const found = (await readAll(output)).frames;
  t.is(found.length, datas.length);
  for (const [i, frame] of found.entries()) {
    t.true(frame.data.length <= datas[i]!.length);
    t.is(frame.wireLength, datas[i]!.length);
  }
  return found.map((frame) => frame.data);
}

test("IPv4 addresses become those of Crypto-PAn's published sample", async (t) => {
  const datas = sampleTrace.map(([address]) => ethernet(0x0800, packet4(6, ip4(address), ip4(address), secret)));
  const found = await sanitized(t, datas);
  t.deepEqual(
    found.map((frame) => [...frame.subarray(26, 30)].join(".")),
    sampleTrace.map(([, after]) => after),
  );
});

test("IPv6 and many IPv4 addresses: as the paper defines it", async (t) => {
  const seen6 = Array.from({ length: 40 }, (_, i) =>
    Buffer.concat([Buffer.from("20010db8", "hex"), Buffer.alloc(4, i >> 3), randomBytes(8)]),
  );
  const seen4 = Array.from({ length: 200 }, () => randomBytes(4));
  const found = await sanitized(t, [
    ...seen6.map((address) => ethernet(0x86dd, packet6(59, address, seen6[0]!, secret))),
    ...seen4.map((address) => ethernet(0x0800, packet4(59, address, seen4[0]!, secret))),
  ]);
  for (const [i, address] of seen6.entries()) t.true(found[i]!.subarray(22, 38).equals(mapped(address, sampleKey)));
  for (const [i, address] of seen4.entries()) {
    const frame = found[40 + i]!;
    t.true(frame.subarray(26, 30).equals(mapped(address, sampleKey)));
    t.is(wordSum(frame.subarray(14, 34)), 0xffff, "the header's checksum is mended");
  }
});

const [a, b] = [ip4("10.1.2.3"), ip4("192.0.2.77")];
const [a6, b6] = [
  Buffer.from("20010db8000000000000000000000abc", "hex"),
  Buffer.from("20010db8000000000000000000000def", "hex"),
];
const tcpHeader = (options: Buffer) =>
  Buffer.concat([
    u16(40000, 443, 1, 2, 3, 4),
    Buffer.from([(5 + options.length / 4) << 4, 0x18]),
    u16(1000, 0xbeef, 0),
    options,
  ]);
const inner = packet4(6, a, b, Buffer.concat([tcpHeader(Buffer.alloc(0)), secret]));
/** A frame, and how many of its bytes stay. */
const shapes: [string, Buffer, number][] = [
  ["TCP", ethernet(0x0800, inner), 54],
  [
    "UDP behind two tags",
    ethernet(0x88a8, Buffer.concat([u16(5, 0x8100, 6, 0x0800), packet4(17, a, b, udp(a, b, [53, 53], secret))])),
    50,
  ],
  ["SCTP", ethernet(0x0800, packet4(132, a, b, Buffer.concat([u16(1, 2, 3, 4, 5, 6), secret]))), 46],
  ["ICMP echo", ethernet(0x0800, packet4(1, a, b, Buffer.concat([u16(0x0800, 1, 2, 3), secret]))), 42],
  [
    "ICMP error with the packet it is about",
    ethernet(0x0800, packet4(1, b, a, Buffer.concat([u16(0x0303, 1, 0, 0), inner]))),
    82,
  ],
  ["ICMP of another kind", ethernet(0x0800, packet4(1, b, a, Buffer.concat([u16(0x0900, 1, 0, 0), secret]))), 38],
  [
    "IPv6 with hop-by-hop options, UDP",
    ethernet(
      0x86dd,
      packet6(0, a6, b6, Buffer.concat([Buffer.from([17, 0]), secret.subarray(0, 6), udp(a6, b6, [9, 9], secret)])),
    ),
    70,
  ],
  [
    "neighbour solicitation",
    ethernet(
      0x86dd,
      packet6(58, a6, b6, Buffer.concat([u16(0x8700, 1, 0, 0), a6, Buffer.from([1, 1, 2, 1, 2, 3, 4, 5]), secret])),
    ),
    86,
  ],
  [
    "VXLAN",
    ethernet(
      0x0800,
      packet4(
        17,
        a,
        b,
        udp(a, b, [1, 4789], Buffer.concat([Buffer.from("0800000000002a00", "hex"), ethernet(0x0800, inner)])),
      ),
    ),
    104,
  ],
  [
    "GENEVE with an option",
    ethernet(
      0x0800,
      packet4(
        17,
        a,
        b,
        udp(
          a,
          b,
          [1, 6081],
          Buffer.concat([Buffer.from("02006558000001000102", "hex"), secret.subarray(0, 6), ethernet(0x0800, inner)]),
        ),
      ),
    ),
    112,
  ],
  [
    "GRE with a key",
    ethernet(0x0800, packet4(47, a, b, Buffer.concat([Buffer.from("2000080000000007", "hex"), inner]))),
    82,
  ],
  ["IP in IP", ethernet(0x0800, packet4(4, a, b, inner)), 74],
  [
    "ARP and what lies behind",
    ethernet(
      0x0806,
      Buffer.concat([
        Buffer.from("0001080006040001", "hex"),
        Buffer.from("020102030405", "hex"),
        a,
        Buffer.alloc(6),
        b,
        secret,
      ]),
    ),
    42,
  ],
  ["ARP of another kind", ethernet(0x0806, Buffer.concat([Buffer.from("0006080006040001", "hex"), secret])), 14],
  [
    "IPv4 options",
    ethernet(
      0x0800,
      packet4(17, a, b, udp(a, b, [1, 2], secret), Buffer.concat([Buffer.from([7, 8, 4]), secret.subarray(0, 5)])),
    ),
    50,
  ],
  [
    "a TCP option that holds an address",
    ethernet(
      0x0800,
      packet4(
        6,
        a,
        b,
        Buffer.concat([tcpHeader(Buffer.concat([Buffer.from([30, 8]), secret.subarray(0, 6)])), secret]),
      ),
    ),
    62,
  ],
  [
    "a TCP option that is known, but longer than it is",
    ethernet(
      0x0800,
      packet4(
        6,
        a,
        b,
        Buffer.concat([tcpHeader(Buffer.concat([Buffer.from([2, 20]), secret.subarray(0, 18)])), secret]),
      ),
    ),
    74,
  ],
  ["a frame in a frame without a tunnel", ethernet(0x6558, ethernet(0x0800, inner)), 14],
  [
    "padding behind a short packet",
    Buffer.concat([ethernet(0x0800, packet4(17, a, b, udp(a, b, [1, 2], Buffer.alloc(0)))), secret]),
    42,
  ],
  ["an unknown EtherType", ethernet(0x88b5, secret), 14],
  ["LLC", ethernet(30, secret), 14],
  ["an unknown protocol", ethernet(0x0800, packet4(99, a, b, secret)), 34],
  ["a header that claims another version", ethernet(0x0800, Buffer.concat([Buffer.from([0x65]), secret])), 14],
  ["half an address", Buffer.from("0201020304", "hex"), 0],
];

test("what stays of each kind of frame, and that no address and no payload does", async (t) => {
  const found = await sanitized(
    t,
    shapes.map(([, frame]) => frame),
  );
  for (const [i, [what, , bytes]] of shapes.entries()) {
    const frame = found[i]!;
    t.is(frame.length, bytes, what);
    for (const hidden of [a, b, a6, b6, secret.subarray(0, 5), Buffer.from("0102030405", "hex")])
      t.is(frame.indexOf(hidden), -1, `${what}: ${hidden.toString("hex")}`);
  }
  // Mapped alike wherever it stands: outside, in a tunnel, in an error, in ARP.
  const here = mapped(a, sampleKey);
  for (const what of [
    "TCP",
    "VXLAN",
    "ICMP error with the packet it is about",
    "ARP and what lies behind",
    "GRE with a key",
  ])
    t.not(found[shapes.findIndex(([name]) => name === what)]!.lastIndexOf(here), -1, what);
});

test("what ICMP and fragment headers reserve is zeroed; what they have there stays", async (t) => {
  const head = (type: number) => Buffer.concat([Buffer.from([type, 0, 0, 1]), Buffer.from("fefefefe", "hex")]);
  const quoting4 = (type: number) => ethernet(0x0800, packet4(1, a, b, Buffer.concat([head(type), inner])));
  const quoting6 = (type: number) => ethernet(0x86dd, packet6(58, a6, b6, Buffer.concat([head(type), a6])));
  const fragment = Buffer.from([59, 0xfe, 0, 0, 0, 0, 0, 7]);
  const cases: [string, Buffer, number, string][] = [
    ["unreachable: MTU", quoting4(3), 38, "0000fefe"],
    ["quench", quoting4(4), 38, "00000000"],
    ["time exceeded", quoting4(11), 38, "00000000"],
    ["parameter problem: pointer", quoting4(12), 38, "fe000000"],
    ["v6 unreachable", quoting6(1), 58, "00000000"],
    ["v6 too big: MTU", quoting6(2), 58, "fefefefe"],
    ["v6 time exceeded", quoting6(3), 58, "00000000"],
    ["v6 parameter problem: pointer", quoting6(4), 58, "fefefefe"],
    ["router solicitation", quoting6(133), 58, "00000000"],
    ["neighbour solicitation", quoting6(135), 58, "00000000"],
    ["neighbour advertisement: flags", quoting6(136), 58, "e0000000"],
    ["fragment header", ethernet(0x86dd, packet6(44, a6, b6, fragment)), 54, "3b000000"],
  ];
  const found = await sanitized(
    t,
    cases.map(([, frame]) => frame),
  );
  for (const [i, [what, , at, expected]] of cases.entries())
    t.is(found[i]!.subarray(at, at + 4).toString("hex"), expected, what);
});

test("keep-payload keeps it, and checksums are right behind it; keep-oui keeps the vendor", async (t) => {
  const datas = [
    ethernet(0x0800, packet4(17, a, b, udp(a, b, [53, 9], secret))),
    ethernet(0x86dd, packet6(17, a6, b6, udp(a6, b6, [53, 9], secret))),
  ];
  const found = await sanitized(t, datas, { keepPayload: true, keepOui: true });
  for (const [i, at] of [34, 54].entries()) {
    const frame = found[i]!;
    t.is(frame.length, datas[i]!.length);
    t.not(frame.indexOf(secret), -1);
    const addresses = frame.subarray(i === 0 ? 26 : 22, at);
    const datagram = frame.subarray(at);
    t.is(wordSum([addresses, u16(17, datagram.length), datagram]), 0xffff);
    t.is(frame.subarray(0, 3).toString("hex"), "020102");
    t.not(frame.subarray(3, 6).toString("hex"), "030405");
  }
});

test("later fragments are cut, also with keep-payload: what they are a part of may be a tunnel", async (t) => {
  const fragment4 = packet4(47, a, b, Buffer.concat([inner, secret]));
  fragment4.writeUInt16BE(1, 6);
  fragment4.writeUInt16BE(0, 10);
  const fragment6 = packet6(44, a6, b6, Buffer.concat([Buffer.from([17, 0]), u16(8, 0, 1), inner, secret]));
  const found = await sanitized(t, [ethernet(0x0800, fragment4), ethernet(0x86dd, fragment6)], { keepPayload: true });
  t.deepEqual(
    found.map((frame) => frame.length),
    [34, 62],
  );
});

test("MAC addresses: group, local and broadcast stay what they are; the same is the same", async (t) => {
  const hex = [
    "ffffffffffff",
    "0180c2000003",
    "01005e010203",
    "333300000001",
    "00112233445566".slice(0, 12),
    "021122334455",
  ];
  const frames = hex.map((mac) => Buffer.concat([Buffer.from(mac, "hex"), Buffer.from("00112233445588b5", "hex")]));
  const found = (await sanitized(t, frames)).map((frame) => frame.toString("hex"));
  t.deepEqual(
    found.slice(0, 2).map((each) => each.slice(0, 12)),
    hex.slice(0, 2),
  );
  t.true(found[2]!.startsWith("01005e") && found[3]!.startsWith("3333"));
  t.true(found.every((each, i) => i < 2 || each.slice(0, 12) !== hex[i]));
  t.is(new Set(found.map((each) => each.slice(12, 24))).size, 1);
  t.is(found[4]!.slice(0, 12), found[0]!.slice(12, 24));
  t.deepEqual(
    found.map((each) => Number.parseInt(each.slice(0, 2), 16) & 3),
    [3, 1, 1, 3, 0, 2],
  );
});

test("any bytes: bounded, and another key gives other addresses", async (t) => {
  const datas = awkwardFrames(81, 1500, { tiny: true }).map((frame) => frame.data);
  const one = await sanitized(t, datas, { keepPayload: true });
  const other = await sanitized(t, datas, { keepPayload: true, key: randomBytes(32) });
  t.true(one.filter((frame, i) => frame.length >= 14 && !frame.equals(other[i]!)).length > 1000);
});

test("names that tell are left out: ports, sources, rules; and the hash", async (t) => {
  const path = await storeWith(t, [{ data: shapes[0]![1], wireLength: 90, timeNs: 1n }], { ports: ["vale0:payroll"] });
  const output = join(testFolder(t), "out.pcapng");
  const whole = async (sanitize: SanitizeOptions) => {
    await exportFrames({ sources: [path, path], output, sanitize });
    return (await readAll(output)).reader!.interfaces.map((each) => each.name);
  };
  t.deepEqual(await whole({}), ["port 1", "port 1"]);
  t.deepEqual(await whole({ keepNames: true }), ["vale0:payroll", "vale0:payroll"]);
});

test("tshark finds nothing malformed in what is left", async (t) => {
  if (!hasTool("tshark")) return skip(t, "tshark is not installed");
  const frames = shapes.slice(0, 13).map(([, data], i) => ({ data, wireLength: data.length, timeNs: BigInt(i + 1) }));
  const path = await storeWith(t, frames);
  const output = join(testFolder(t), "out.pcapng");
  await exportFrames({ sources: [path], output, sanitize: {} });
  t.is(runTool("tshark", ["-r", output, "-Y", "_ws.malformed || ip.checksum.status == 0"])!.toString(), "");
});
