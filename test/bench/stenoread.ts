// One host's packets among many, asked of Stenographer and of a store that hold the same packets.
import { join } from "node:path";
import { exportFrames } from "../../logger/export.js";
import { openStore, type StoreReader } from "../../logger/reader.js";
import type { Bench, Effort } from "./bench.js";
import { mixedStore, rareHost, storeBytes } from "./mixed-frames.js";
import { exportCommand, type Found, ownCommand, timedCapture } from "./programs.js";
import type { Row } from "./report.js";
import { Stenographer } from "./stenographer.js";
import { Veth } from "./veth.js";

const framesFull = 2_000_000;
const framesQuick = 20_000;
const wanted = 1000;
/** At which stenotype loses none on two cores, the sender's included. */
const framesPerSecond = 200_000;
/** As stenotype keeps it, with its index, and as all of them are counted. */
const heldBytesPerFrame = 900;
const warmups = 50;
const questions = [
  { name: "one host", filter: `host ${rareHost}` },
  { name: "an absent host", filter: "host 10.99.0.1" },
];

type Ask = (filter: string) => Promise<Found>;
interface Side {
  what: string;
  ask: Ask;
  /** What it is compared with; nothing: it is the peer. */
  against?: string;
}

function sidesOf(steno: Stenographer, veth: Veth, store: string, reader: StoreReader, folder: string): Side[] {
  const [whole, served] = ["stenoread -w -, process and all", "stenographer's answer to a request"];
  return [
    { what: whole, ask: (filter) => steno.read(filter) },
    {
      what: "export -w -, process and all",
      against: whole,
      ask: (filter) => timedCapture(veth.command(...exportCommand(store, filter))),
    },
    { what: served, ask: (filter) => steno.answer(filter) },
    { what: "exportFrames() into a file", against: served, ask: (filter) => exported(store, filter, folder) },
    { what: "frames() of an open store, none written", against: served, ask: (filter) => read(reader, filter) },
  ];
}

async function exported(store: string, filter: string, folder: string): Promise<Found> {
  const startMs = performance.now();
  const output = join(folder, "answer.pcap");
  const { frames } = await exportFrames({ sources: [store], output, format: "pcap", filter });
  return { ms: performance.now() - startMs, packets: frames };
}

async function read(reader: StoreReader, filter: string): Promise<Found> {
  const startMs = performance.now();
  let packets = 0;
  for await (const { count } of reader.frames({ filter, reuse: true })) packets += count;
  return { ms: performance.now() - startMs, packets };
}

/** All sides in turn, `rounds` times after one that does not count. */
async function compare(name: string, filter: string, sides: readonly Side[], rounds: number): Promise<Row[]> {
  const full = (what: string) => `${name}: ${what}`;
  const rows = sides.map(
    ({ what, against }): Row => ({
      bench: "stenoread",
      what: full(what),
      unit: "ms",
      samples: [],
      ...(against !== undefined && { pairedWith: full(against) }),
    }),
  );
  for (let round = -1; round < rounds; round++) {
    const found: Found[] = [];
    for (const { ask } of sides) found.push(await ask(filter));
    for (const [i, { ms, packets }] of found.entries()) {
      const same = packets === found[0]!.packets;
      rows[i]!.note = `${same ? "" : `NOT the ${found[0]!.packets} of stenoread: `}${packets} packets`;
      if (round >= 0) rows[i]!.samples.push(ms);
    }
  }
  return rows;
}

async function capturedAndAsked(veth: Veth, steno: Stenographer, { quick, rounds, folder, say }: Effort) {
  const frames = quick ? framesQuick : framesFull;
  const store = join(folder, "stenoread.store");
  await mixedStore(store, frames, { rareEvery: frames / wanted });
  await veth.run(ownCommand("replay", "-r", store, "-i", "near", "-p", `${framesPerSecond}`));
  await steno.settle(questions[0]!.filter, wanted);
  const { packets } = await steno.answer("tcp or udp");
  say(`stenoread: stenographer holds ${packets} of the ${frames} frames that the store holds`);
  const reader = openStore(store);
  try {
    const sides = sidesOf(steno, veth, store, reader, folder);
    // What a process pays for its first questions (compiled code, above all) is its start.
    for (let time = 0; time < warmups; time++) {
      await exported(store, questions[1]!.filter, folder);
      await read(reader, questions[1]!.filter);
    }
    const rows: Row[] = [];
    for (const { name, filter } of questions) rows.push(...(await compare(name, filter, sides, rounds)));
    return rows;
  } finally {
    reader.close();
  }
}

export const stenoread: Bench = {
  summary: "one host's packets among two million, beside stenoread on the same packets (needs root and Stenographer)",
  storeBytes: storeBytes(framesFull),
  async run(effort) {
    const why = process.getuid?.() === 0 ? Stenographer.missing() : "network namespaces need root";
    if (why !== undefined) {
      effort.say(`stenoread: left out: ${why}`);
      return [];
    }
    const peer = await started((effort.quick ? framesQuick : framesFull) * heldBytesPerFrame, effort.say);
    if (!peer) return [];
    try {
      return await capturedAndAsked(peer.veth, peer.steno, effort);
    } finally {
      peer.steno.close();
      peer.veth.close();
    }
  },
};

/** Undefined, and said why, where there are no namespaces or Stenographer does not start. */
async function started(bytes: number, say: Effort["say"]): Promise<{ veth: Veth; steno: Stenographer } | undefined> {
  let veth: Veth | undefined;
  let steno: Stenographer | undefined;
  try {
    veth = new Veth("steno");
    steno = new Stenographer(veth, bytes);
    await steno.start();
    return { veth, steno };
  } catch (error) {
    say(`stenoread: left out, it does not start: ${(error as Error).message.trim()}`);
    steno?.close();
    veth?.close();
    return undefined;
  }
}
