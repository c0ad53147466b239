import test from "ava";
import { batchOf } from "../../../logger/capture/frame-columns.js";
import { PcapWriter } from "../../../logger/capture/pcap-writer.js";
import { Random } from "../../../logger/traffic/random.js";
import { awkwardFrame, awkwardKinds } from "../../support/awkward-traffic.js";
import { RawBlocks } from "./raw-blocks.js";
import { readAll } from "./read-all.js";

const hex = (text: string): Buffer => Buffer.from(text.replaceAll(" ", ""), "hex");

const ipv4 = hex("45 00 00 1c 00 01 00 00 40 11 00 00 0a 00 00 01 0a 00 00 02 00 35 00 35 00 08 00 00");
const toGroup = hex("45 00 00 14 00 01 00 00 40 11 00 00 0a 00 00 01 e0 80 00 fb");
const toAll = hex("45 00 00 14 00 01 00 00 40 11 00 00 0a 00 00 01 ff ff ff ff");
const ipv6 = hex(`60000000 0000 3b 40 fd00${"00".repeat(13)}01 ff02${"00".repeat(10)}00000001`);
const request = hex("0001 0800 06 04 0001 aabbccddeeff 0a000001 000000000000 0a000002");
const reply = hex("0001 0800 06 04 0002 aabbccddeeff 0a000002 aabbccddee00 0a000001");
const macs = { one: "0200 0a000001", two: "0200 0a000002" };

const cases: readonly { title: string; linkType: number; link: string; payload: Buffer; header: string }[] = [
  { title: "RAW, IPv4", linkType: 101, link: "", payload: ipv4, header: `${macs.two} ${macs.one} 0800` },
  { title: "RAW (12), IPv4", linkType: 12, link: "", payload: ipv4, header: `${macs.two} ${macs.one} 0800` },
  { title: "RAW (14), IPv4", linkType: 14, link: "", payload: ipv4, header: `${macs.two} ${macs.one} 0800` },
  { title: "IPV4", linkType: 228, link: "", payload: ipv4, header: `${macs.two} ${macs.one} 0800` },
  { title: "IPV4 to a group", linkType: 228, link: "", payload: toGroup, header: `01005e0000fb ${macs.one} 0800` },
  { title: "IPV4 to everybody", linkType: 228, link: "", payload: toAll, header: `ffffffffffff ${macs.one} 0800` },
  { title: "IPV6 to a group", linkType: 229, link: "", payload: ipv6, header: "333300000001 06da94025ccb 86dd" },
  {
    title: "RAW, neither IP",
    linkType: 101,
    link: "",
    payload: hex("00112233"),
    header: "020000000000 020000000000 88b5",
  },
  { title: "RAW, nothing", linkType: 101, link: "", payload: hex(""), header: "020000000000 020000000000 88b5" },
  {
    title: "NULL, little endian",
    linkType: 0,
    link: "02000000",
    payload: ipv4,
    header: `${macs.two} ${macs.one} 0800`,
  },
  { title: "NULL, big endian", linkType: 0, link: "00000002", payload: ipv4, header: `${macs.two} ${macs.one} 0800` },
  {
    title: "NULL, another family",
    linkType: 0,
    link: "07000000",
    payload: ipv4,
    header: "020000000000 020000000000 88b5",
  },
  { title: "LOOP", linkType: 108, link: "00000002", payload: ipv4, header: `${macs.two} ${macs.one} 0800` },
  {
    title: "SLL, IPv4",
    linkType: 113,
    link: "0000 0001 0006 aabbccddeeff 0000 0800",
    payload: ipv4,
    header: `${macs.two} ${macs.one} 0800`,
  },
  {
    title: "SLL, broadcast",
    linkType: 113,
    link: "0001 0001 0006 aabbccddeeff 0000 0800",
    payload: ipv4,
    header: `ffffffffffff ${macs.one} 0800`,
  },
  {
    title: "SLL, ARP request",
    linkType: 113,
    link: "0004 0001 0006 aabbccddeeff 0000 0806",
    payload: request,
    header: `ffffffffffff ${macs.one} 0806`,
  },
  {
    title: "SLL, ARP reply",
    linkType: 113,
    link: "0000 0001 0006 aabbccddeeff 0000 0806",
    payload: reply,
    header: `${macs.one} ${macs.two} 0806`,
  },
  {
    title: "SLL, another protocol",
    linkType: 113,
    link: "0002 0001 0006 a9bbccddeeff 0000 88cc",
    payload: hex("0207"),
    header: "030000000000 aabbccddeeff 88cc",
  },
  {
    title: "SLL, LLC",
    linkType: 113,
    link: "0002 0001 0006 aabbccddeeff 0000 0004",
    payload: hex("424203"),
    header: "030000000000 aabbccddeeff 0003",
  },
  {
    title: "SLL, netlink",
    linkType: 113,
    link: "0004 0338 0000 000000000000 0000 0800",
    payload: ipv4,
    header: "020000000000 020000000000 88b5",
  },
  {
    title: "SLL, cut in its header",
    linkType: 113,
    link: "0000 0001 0006",
    payload: hex(""),
    header: "020000000000 020000000000 88b5",
  },
  {
    title: "SLL2, IPv4",
    linkType: 276,
    link: "0800 0000 00000002 0001 00 06 aabbccddeeff 0000",
    payload: ipv4,
    header: `${macs.two} ${macs.one} 0800`,
  },
  {
    title: "SLL2, another protocol",
    linkType: 276,
    link: "88cc 0000 00000002 0001 01 06 aabbccddeeff 0000",
    payload: hex("0207"),
    header: "ffffffffffff aabbccddeeff 88cc",
  },
];

for (const { title, linkType, link, payload, header } of cases)
  test(`Ethernet headers for ${title}`, async (t) => {
    const writer = new PcapWriter({ linkType });
    const data = Buffer.concat([hex(link), payload]);
    const batch = batchOf([{ data, wireLength: data.length + 100, timeNs: 5000n }]);
    const bytes = Buffer.concat([writer.header(), writer.append(batch)]);
    const { frames, error, reader } = await readAll(bytes, { synthesizeEthernet: true });
    t.is(error, null);
    t.deepEqual(frames, [
      {
        data: Buffer.concat([hex(header), payload]),
        wireLength: 14 + payload.length + 100,
        timeNs: 5000n,
        interface: 0,
      },
    ]);
    t.regex(reader!.notes[0]!, new RegExp(`^1 frames of link type .*\\(${linkType}\\) were given Ethernet headers`));
  });

test("a host has the same address as source and as destination", async (t) => {
  const host = hex(`fd00${"00".repeat(12)}1234`);
  const other = hex(`fd00${"00".repeat(12)}9999`);
  const head = hex("60000000 0000 3b 40");
  const writer = new PcapWriter({ linkType: 101 });
  const batch = batchOf([{ data: Buffer.concat([head, host, other]) }, { data: Buffer.concat([head, other, host]) }]);
  const { frames } = await readAll(Buffer.concat([writer.header(), writer.append(batch)]), {
    synthesizeEthernet: true,
  });
  const [there, back] = frames.map((frame) => frame.data);
  t.deepEqual(there!.subarray(0, 6), back!.subarray(6, 12));
  t.deepEqual(there!.subarray(6, 12), back!.subarray(0, 6));
  t.notDeepEqual(there!.subarray(0, 6), there!.subarray(6, 12));
  t.is(there![0]! & 3, 2, "locally administered, of one host");
});

test("Ethernet interfaces of the same capture are left as they are", async (t) => {
  const raw = new RawBlocks();
  const plain = Buffer.alloc(60, 7);
  const bytes = Buffer.concat([
    raw.section(),
    raw.interface(),
    raw.interface({ linkType: 101 }),
    raw.packet(plain),
    raw.packet(ipv4, { id: 1 }),
    raw.packet(plain),
  ]);
  const { frames } = await readAll(bytes, { synthesizeEthernet: true });
  t.deepEqual(frames[0]!.data, plain);
  t.deepEqual(frames[2]!.data, plain);
  t.is(frames[1]!.data.length, ipv4.length + 14);
});

test("whatever a frame holds, it is given a header and loses nothing", async (t) => {
  const seed = 31;
  const random = new Random(seed);
  const kinds = awkwardKinds();
  for (const linkType of [0, 101, 108, 113, 228, 229, 276]) {
    const data = Array.from({ length: 300 }, () => {
      const frame = awkwardFrame(random.pick(kinds), random).subarray(random.below(20));
      return frame.subarray(0, random.below(frame.length));
    });
    const writer = new PcapWriter({ linkType });
    const bytes = Buffer.concat([writer.header(), writer.append(batchOf(data.map((each) => ({ data: each }))))]);
    const { frames, error } = await readAll(bytes, { synthesizeEthernet: true });
    t.is(error, null);
    const size = { 0: 4, 108: 4, 113: 16, 276: 20 }[linkType] ?? 0;
    const wrong = data.findIndex((each, i) => {
      const frame = frames[i]!.data;
      const payload = each.subarray(Math.min(size, each.length));
      return !frame.subarray(14).equals(payload) || (frame[6]! & 1) !== 0 || frames[i]!.wireLength !== frame.length;
    });
    t.is(wrong, -1, `link type ${linkType}, seed ${seed}, frame ${wrong}`);
  }
});
