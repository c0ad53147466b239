// Queries over several sources: one order by time, whatever is asked.
import { spawn, spawnSync } from "node:child_process";
import { join } from "node:path";
import test, { type ExecutionContext } from "ava";
import { exportFrames } from "../../logger/export.js";
import type { PrintablePacket } from "../../logger/print/packet.js";
import { packetJson } from "../../logger/print/packet-json.js";
import { PacketText } from "../../logger/print/packet-text.js";
import { type QueryOptions, QueryReading } from "../../logger/query-reading.js";
import { countFlows, countFrames, countTop } from "../../logger/query-tally.js";
import { replayFrames } from "../../logger/replay.js";
import { ports, traffic } from "./query-frames.js";
import { firstDifference, mergedModel, type StoredFrame, storedFrames, storeWith, testFolder } from "./store-tools.js";

async function packetsOf(options: QueryOptions): Promise<PrintablePacket[]> {
  const packets: PrintablePacket[] = [];
  for await (const piece of (await QueryReading.open(options)).packets()) packets.push(...piece);
  return packets;
}

const framesOf = (packets: readonly PrintablePacket[]) =>
  packets.map((packet) => ({ ...packet, data: Buffer.from(packet.bytes) }));

/** Stores whose frames are those of one traffic, in turns of different lengths, so that their times interlock; so many have one time. */
async function interlockedStores(t: ExecutionContext, count: number, alike = 2): Promise<string[]> {
  const frames = traffic(31, 3000).map((frame, i) => ({
    ...frame,
    timeNs: 10n ** 18n + BigInt(Math.floor(i / alike)),
  }));
  const paths: string[] = [];
  for (let s = 0; s < count; s++)
    paths.push(
      await storeWith(
        t,
        frames.filter((_, i) => (i ^ (i >> 4)) % count === s),
        { ports },
      ),
    );
  return paths;
}

const newestFirst = (sources: readonly StoredFrame[][]) => mergedModel(sources).toReversed();

test("packets of stores come in the order of their times, each with its source, up to the limit", async (t) => {
  const sources = await interlockedStores(t, 3);
  const expected = mergedModel(await Promise.all(sources.map((path) => storedFrames(path))));
  const packets = await packetsOf({ sources });
  t.is(firstDifference(framesOf(packets), expected), -1);
  t.deepEqual(
    new Set(packets.map(({ source }) => source)),
    new Set(["test.store", "test.store (2)", "test.store (3)"]),
  );
  t.deepEqual(
    packets.map(({ sequence }) => sequence),
    expected.map(({ sequence }) => sequence),
  );
  for (const limit of [1, 64, 65, 1000, expected.length + 1])
    t.is(firstDifference(framesOf(await packetsOf({ sources, limit })), expected.slice(0, limit)), -1, `${limit}`);
});

test("newest first is the same backwards, also behind a filter that an index answers", async (t) => {
  const sources = await interlockedStores(t, 2);
  for (const filter of ["", "host 10.0.0.1", "arp"]) {
    const expected = newestFirst(await Promise.all(sources.map((path) => storedFrames(path, { filter }))));
    t.is(firstDifference(framesOf(await packetsOf({ sources, filter, reverse: true })), expected), -1, filter);
    const few = await packetsOf({ sources, filter, reverse: true, limit: 7 });
    t.is(firstDifference(framesOf(few), expected.slice(0, 7)), -1, filter);
  }
});

test("stores and captures together: what an export of them has", async (t) => {
  const [store, other] = await interlockedStores(t, 2);
  const capture = `${other}.pcapng`;
  await exportFrames({ sources: [other!], output: capture });
  const sources = [capture, store!];
  const merged = join(`${other}.merged.pcapng`);
  await exportFrames({ sources, output: merged });
  const exported = framesOf(await packetsOf({ sources: [merged] }));
  t.is(firstDifference(framesOf(await packetsOf({ sources })), exported), -1);
});

test("a packet says its source where there are several", async (t) => {
  const sources = await interlockedStores(t, 2);
  const [first] = await packetsOf({ sources, limit: 1 });
  t.regex(new PacketText({ sequence: true }).text(first!), /^test\.store#\d+ /);
  t.is(packetJson(first!).source, "test.store");
  const [alone] = await packetsOf({ sources: sources.slice(0, 1), limit: 1 });
  t.regex(new PacketText({ sequence: true }).text(alone!), /^#\d+ /);
  t.false("source" in packetJson(alone!));
});

test("counts, flows and top are the same whatever the order of the sources", async (t) => {
  const sources = await interlockedStores(t, 3, 1);
  const turned = sources.toReversed();
  t.deepEqual((await countFrames({ sources })).all, (await countFrames({ sources: turned })).all);
  const flows = async (paths: string[]) => [...(await countFlows({ sources: paths })).rows()];
  const found = await flows(sources);
  t.true(found.length > 20 && found.some(({ packetsBack }) => packetsBack > 0));
  t.deepEqual(await flows(turned), found);
  const top = async (paths: string[]) =>
    [...(await countTop({ sources: paths }, "in-port")).rows()].toSorted((a, b) => (a.value < b.value ? -1 : 1));
  t.deepEqual(await top(turned), await top(sources));
});

test("standard input and named pipes are captures that are read once only", async (t) => {
  const pipe = join(testFolder(t), "pipe");
  t.is(spawnSync("mkfifo", [pipe]).status, 0);
  for (const name of ["-", pipe]) {
    const error = { code: "USAGE", message: /once/ };
    await t.throwsAsync(QueryReading.open({ sources: [name, name] }), error, name);
    await t.throwsAsync(replayFrames({ sources: [name], ports: ["vale0:a"], socket: "none", loops: 2 }), error, name);
  }
  const store = await storeWith(t, traffic(5, 300), { ports });
  const capture = join(testFolder(t), "all.pcap");
  const { frames } = await exportFrames({ sources: [store], output: capture, format: "pcap" });
  const writer = spawn("sh", ["-c", 'exec cat "$0" > "$1"', capture, pipe]);
  const ended = new Promise((resolve) => writer.on("close", resolve));
  t.is((await packetsOf({ sources: [pipe] })).length, frames);
  t.is(await ended, 0);
});
