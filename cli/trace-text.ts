// One frame's story as a page of text, and as JSON.
import type { MacEntryThen } from "../logger/mac-history.js";
import type { PrintablePacket } from "../logger/print/packet.js";
import { eveTime, packetJson } from "../logger/print/packet-json.js";
import { PacketText } from "../logger/print/packet-text.js";
import { jsonText, safeName } from "../logger/print/plain-text.js";
import type { AddressThen, FrameStory, TracedPort } from "../logger/trace.js";
import { formatCount, formatDuration, formatOf, formatTime } from "./format.js";

/** With a line feed at the end. */
export function storyText(story: FrameStory, utc: boolean): string {
  const { packet, facts } = story;
  const rows: [string, string][] = [
    ["received", formatTime(packet.timeNs, utc)],
    ["from", portText(story.ingress)],
    ["length", lengthText(story)],
    ["source", addressText(facts.sourceMac, story.source, story)],
    ["destination", addressText(facts.destinationMac, story.destination, story)],
    ["went to", wayText(story)],
    ["kept by", ruleText(story)],
  ];
  const lines = rows.map(([name, text]) => `${name.padEnd(12)} ${text}`);
  for (const remark of story.remarks) lines.push(`${"".padEnd(12)} (${remark})`);
  lines.push("", flowText(story), "", bytesText(story));
  return `Frame ${packet.sequence}\n${lines.join("\n")}\n`;
}

function portText({ name, kind, epoch }: TracedPort): string {
  if (name === "") return "no port";
  return kind === undefined ? safeName(name) : `${safeName(name)} (${kind}, attached in the store's epoch ${epoch})`;
}

function lengthText({ packet, capturedLength }: FrameStory): string {
  const kept = capturedLength < packet.wireLength ? `${formatCount(capturedLength)} of them kept` : "all of them kept";
  return `${formatOf(packet.wireLength, "byte")}, ${kept}`;
}

function addressText(mac: string | undefined, then: AddressThen, story: FrameStory): string {
  if (mac === undefined) return "none: the frame is too short";
  if ("entry" in then) return `${mac} ${entryText(then.entry, story.packet.timeNs)}`;
  if (then.known) return `${mac} behind ${safeName(then.shownBehind)}, as what became of the frame shows`;
  if (then.flushed) {
    const ago = formatDuration(Math.max(0, Number(story.packet.timeNs - then.flushed.timeNs)) / 1e6);
    return `${mac}, ${unknownTexts.unknown} since it was flushed ${ago} before (record ${then.flushed.sequence})`;
  }
  const vlan = then.why === "unknown" && story.facts.vlans[0] ? ` in VLAN ${story.facts.vlans[0]}` : "";
  return `${mac}, ${unknownTexts[then.why]}${vlan}`;
}

const unknownTexts = {
  unknown: "which the table did not know",
  untold: "of which the log does not say whether the table knew it",
  group: "a group: no table holds it",
  "no-table": "which no table was asked for: it was imported",
} as const;

function entryText(entry: MacEntryThen, nowNs: bigint): string {
  const vlan = entry.fid === 0 ? "" : `, VLAN ${entry.fid}`;
  const where = `behind ${safeName(entry.port)}${vlan}`;
  if (entry.how === "later") return `${where}, as what came later shows (record ${entry.sequence})`;
  const ago = formatDuration(Math.max(0, Number(nowNs - entry.sinceNs)) / 1e6);
  return `${where}, ${entry.how === "static" ? "entered as static" : entry.how} ${ago} before (record ${entry.sequence})`;
}

function wayText(story: FrameStory): string {
  const { outcome, egress, flooded, copiesReserved, copiesRefused } = story;
  const copies = `${formatOf(copiesReserved, "copy").replace("copys", "copies")} reserved, ${formatCount(copiesRefused)} refused`;
  if (outcome.name !== "forwarded") return `nowhere: ${outcome.name}: ${outcome.sentence}`;
  if (flooded) return `every other port: ${copies}`;
  return egress ? `${portText(egress)}: ${copies}` : "nobody: it was imported, not forwarded";
}

function ruleText({ rule, strict }: FrameStory): string {
  const durability = strict
    ? "strict: no copy left before the record was durable"
    : "relaxed: copies may have left before the record was durable";
  if (!rule) return "no rule: it was imported";
  return `rule ${safeName(rule.name)} (${rule.filter === "" ? "every frame" : safeName(rule.filter)}), rule set ${rule.ruleSet}; ${durability}`;
}

function flowText(story: FrameStory): string {
  const { before, after, packet, communityId } = story;
  const name = communityId === undefined ? "Between the two addresses" : `Flow ${communityId}`;
  if (before.length + after.length === 0) return `${name}: no other frame in the log`;
  const printer = new PacketText({ style: "none", dumpUnknown: false });
  const line = (each: PrintablePacket) => {
    const delta = Number(each.timeNs - packet.timeNs) / 1e6;
    const shown = each === packet ? "this one" : `${delta < 0 ? "-" : "+"}${formatDuration(Math.abs(delta))}`;
    return `  ${`#${each.sequence}`.padEnd(12)} ${shown.padStart(10)}  ${printer.text(each).trimEnd()}`;
  };
  return [`${name}:`, ...[...before, packet, ...after].map(line)].join("\n");
}

function bytesText({ packet }: FrameStory): string {
  return new PacketText({ style: "none", linkHeader: true, switchWords: false, hex: "XX" }).text(packet);
}

export function storyJson(story: FrameStory, utc: boolean): string {
  const { packet, before, after, source, destination, facts: _, ...rest } = story;
  const json = {
    packet: packetJson(packet, { utc }),
    ...rest,
    source: addressJson(source, utc),
    destination: addressJson(destination, utc),
    before: before.map((each) => packetJson(each, { utc })),
    after: after.map((each) => packetJson(each, { utc })),
    bytes: Buffer.from(packet.bytes).toString("hex"),
  };
  return `${jsonText(json)}\n`;
}

function addressJson(then: AddressThen, utc: boolean): object {
  if ("entry" in then) return { known: true, ...macJson(then.entry, utc) };
  if (then.known) return { known: true, port: then.shownBehind, how: "shown" };
  const { flushed, ...rest } = then;
  return flushed ? { ...rest, flushed: eveTime(flushed.timeNs, utc), flushed_seq: Number(flushed.sequence) } : rest;
}

/** An entry of a table as it was. */
export function macJson(entry: MacEntryThen, utc: boolean): object {
  const { mac, fid, port, how, sinceNs, sequence, mayHaveAged } = entry;
  return {
    mac,
    vlan: fid,
    port,
    static: entry.static,
    how,
    since: eveTime(sinceNs, utc),
    seq: Number(sequence),
    ...(mayHaveAged && { may_have_aged: true }),
  };
}
