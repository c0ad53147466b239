// Lines as tcpdump prints them: tcpdump is the oracle over generated traffic; hostile frames end in a line, too.
import test from "ava";
import { batchOf } from "../../../logger/capture/frame-columns.js";
import { PacketText, type PacketTextOptions } from "../../../logger/print/packet-text.js";
import { Random } from "../../../logger/traffic/random.js";
import { generateTraffic } from "../../../logger/traffic/traffic-generator.js";
import { awkwardFrames } from "../../support/awkward-traffic.js";
import { skip } from "../../support/skip.js";
import { noPrinter, packetsOf, sameUpToApplication, tcpdumpPrints } from "./tcpdump.js";

const oursOnly: PacketTextOptions = { utc: true, nanoseconds: true, switchWords: false };

const optionSets: [title: string, args: string[], options: PacketTextOptions][] = [
  ["", [], {}],
  ["-e", ["-e"], { linkHeader: true }],
  ["-S", ["-S"], { absoluteSequences: true }],
  ["-t", ["-t"], { style: "none" }],
  ["-tt", ["-tt"], { style: "seconds" }],
  ["-ttt", ["-ttt"], { style: "since-previous" }],
  ["-tttt", ["-tttt"], { style: "date" }],
  ["-ttttt", ["-ttttt"], { style: "since-first" }],
];

for (const [title, args, options] of optionSets)
  test(`generated traffic is printed as tcpdump -n ${title} prints it`, (t) => {
    const reason = noPrinter();
    if (reason) return skip(t, reason);
    const { batch } = generateTraffic({ seed: 4, frames: 3000 });
    const printer = new PacketText({ ...oursOnly, ...options });
    const ours = packetsOf(batch).map((packet) => printer.text(packet));
    const theirs = tcpdumpPrints(batch, args).trimEnd().split("\n");
    t.is(theirs.length, ours.length);
    const different = ours.findIndex((line, i) => !sameUpToApplication(line, theirs[i]!));
    t.is(different, -1, different < 0 ? "" : `frame ${different}:\n${ours[different]}\n${theirs[different]}`);
  });

for (const hex of ["x", "xx", "X", "XX", "A", "AA"] as const)
  test(`-${hex} dumps frames as tcpdump does`, (t) => {
    const reason = noPrinter();
    if (reason) return skip(t, reason);
    const { batch } = generateTraffic({ seed: 5, frames: 400 });
    const printer = new PacketText({ ...oursOnly, style: "seconds", hex });
    const ours = packetsOf(batch)
      .map((packet) => printer.text(packet))
      .join("\n")
      .split("\n");
    const theirs = tcpdumpPrints(batch, ["-tt", `-${hex}`]).split("\n");
    const different = ours.findIndex((line, i) => !sameUpToApplication(line, theirs[i]!));
    t.is(different, -1, different < 0 ? "" : `line ${different}:\n${ours[different]}\n${theirs[different]}`);
  });

/** What ends in a dump, or in nothing: EtherTypes and service access points that are not known, and frames that are too short. */
const unknown = [
  "88b5 6578706572696d656e74616c0d0a00017461620968657265656e64",
  "88b5",
  "88b5 78",
  "8100 0005 88b5 696e206120766c616e",
  "88a8 0005 88b5 7376",
  "8847 00010140 ffff616263",
  "0014 102003 6162636465666768616263646566676861 0000000000000000000000000000", // 802.3, padded
  "0010 f0f003 6162636465666768616263646566",
  "0004 f0f10101 000000000000", // supervisory
  "0009 f0f00200 6162636465", // information
  "001e aaaa0300000c0003 6162636465666768616263646566676869707172737475",
  "0800 4500",
  "0800 15616263",
  "86dd 60",
].map((text) => Buffer.from(`020000000002020000000001${text}`.replaceAll(" ", ""), "hex"));

for (const hex of [undefined, "x", "xx", "X", "XX", "A", "AA"] as const)
  for (const linkHeader of [false, true])
    test(`what is not known is printed as by tcpdump ${hex ? `-${hex}` : ""} ${linkHeader ? "-e" : ""}`, (t) => {
      const reason = noPrinter();
      if (reason) return skip(t, reason);
      const frames = [...unknown, Buffer.from("010203", "hex")];
      const batch = batchOf(frames.map((data) => ({ data, timeNs: 0n, wireLength: data.length })));
      const printer = new PacketText({ ...oursOnly, style: "none", linkHeader, ...(hex && { hex }) });
      const args = ["-t", ...(hex ? [`-${hex}`] : []), ...(linkHeader ? ["-e"] : [])];
      t.is(
        packetsOf(batch)
          .map((packet) => `${printer.text(packet)}\n`)
          .join(""),
        tcpdumpPrints(batch, args),
      );
    });

test("whatever is in a frame, a line comes out, and nothing in it can move a cursor", (t) => {
  const seed = Number(process.env.PASTE_SEED ?? 20_261);
  const random = new Random(seed);
  const frames = awkwardFrames(seed, 6000, { tiny: true });
  const batch = batchOf(frames);
  for (const options of [{}, { linkHeader: true }, { hex: "A" }, { absoluteSequences: true }] as const) {
    const printer = new PacketText(options);
    for (const packet of packetsOf(batch)) {
      const mutated = Uint8Array.from(packet.bytes);
      for (let i = random.below(4); i > 0 && mutated.length > 0; i--)
        mutated[random.below(Math.min(80, mutated.length))] = random.below(256);
      const text = printer.text({ ...packet, bytes: mutated });
      if (!/^[\x20-\x7e\n\t]+$/.test(text)) return t.fail(`seed ${seed}: ${JSON.stringify(text)}`);
    }
  }
  t.pass();
});

test("a frame of nothing, of one byte, and one that is cut anywhere", (t) => {
  const printer = new PacketText({ style: "none" });
  const { batch } = generateTraffic({ seed: 6, frames: 60 });
  t.is(printer.text({ bytes: new Uint8Array(0), timeNs: 0n, wireLength: 0 }), " [|ether]");
  for (const packet of packetsOf(batch))
    for (let length = 0; length < Math.min(100, packet.bytes.length); length++) {
      const text = printer.text({ ...packet, bytes: packet.bytes.subarray(0, length) });
      t.true(length > 60 || text.length > 0);
    }
});

test("-e says what the switch knew, and escapes names", (t) => {
  const { batch } = generateTraffic({ seed: 7, frames: 1 });
  const [packet] = packetsOf(batch);
  const printer = new PacketText({ style: "none", linkHeader: true, sequence: true });
  const text = printer.text({
    ...packet!,
    sequence: 12n,
    inPort: "vale0:\u001b[2Ja",
    outPort: "",
    rule: "web",
    outcome: "hairpin",
  });
  t.true(text.startsWith("#12 [vale0:\\u001b[2Ja > nowhere, rule web, dropped hairpin] "), text);
  t.false(new PacketText({ style: "none" }).text({ ...packet!, inPort: "vale0:a" }).includes("vale0"));
});

/** Kinds of awkward frames that hold what is not printed (tunnels, IGMP, PPPoE's own messages), or that tcpdump words in a way of its own. */
const strange =
  /gre|vxlan|geneve|gtp|pppoe|mpls without|igmp|sctp|llc|802\.3|type unknown|type between|runt|random|vlan and nothing|ipv4 options|lldp|jumbo|header length wrong|too short/;

test("awkward frames, lying ones among them, are printed as tcpdump prints them", (t) => {
  const reason = noPrinter();
  if (reason) return skip(t, reason);
  const seed = Number(process.env.PASTE_SEED ?? 81);
  const frames = awkwardFrames(seed, 4000, { cuts: false }).filter(({ kind }) => !strange.test(kind));
  const timed = frames.map((frame, i) => ({ ...frame, timeNs: BigInt(i) * 1_000_000_000n }));
  const printer = new PacketText({ ...oursOnly, style: "seconds", linkHeader: true, hex: "x" });
  const firstLine = (text: string) => text.split("\n")[0]!;
  const ours = packetsOf(batchOf(timed)).map((packet) => firstLine(printer.text(packet)));
  // -x, so that nothing is dumped in between; a line begins with its number.
  const theirs = tcpdumpPrints(batchOf(timed), ["-tt", "-e", "-x"])
    .split("\n")
    .filter((line) => /^\d+\.0{9} /.test(line));
  t.is(theirs.length, ours.length);
  t.true(ours.length > 1000);
  const different = ours.findIndex((line, i) => !sameUpToApplication(line, theirs[i]!));
  t.is(
    different,
    -1,
    different < 0 ? "" : `seed ${seed}, ${frames[different]!.kind}:\n${ours[different]}\n${theirs[different]}`,
  );
});
