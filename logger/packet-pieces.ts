// Pieces of packets: of several sources as of one, by time; the last ones of a reading, backwards.
import { mergeTimes } from "../native/query.js";
import type { PrintablePacket } from "./print/packet.js";

export type PacketPieces = AsyncGenerator<PrintablePacket[], void, void>;

interface Source {
  readonly pieces: PacketPieces;
  /** The piece under way, with its times, and how many of it have been given. */
  packets: PrintablePacket[];
  times: BigUint64Array;
  given: number;
}

/** Each source keeps its own order (native/core/export/time_merge.h). In memory is a piece of each; all are ended with this one. */
export async function* mergedPieces(sources: readonly PacketPieces[], newestFirst: boolean): PacketPieces {
  let open: Source[] = sources.map((pieces) => ({ pieces, packets: [], times: new BigUint64Array(), given: 0 }));
  try {
    for (;;) {
      await Promise.all(open.map(refill));
      open = open.filter(({ packets }) => packets.length > 0);
      if (open.length === 0) return;
      yield takeTurns(open, newestFirst);
    }
  } finally {
    await Promise.all(sources.map((pieces) => pieces.return()));
  }
}

async function refill(source: Source): Promise<void> {
  while (source.given === source.packets.length) {
    const { done, value } = await source.pieces.next();
    source.packets = done ? [] : value;
    source.given = 0;
    if (done) return;
    source.times = BigUint64Array.from(source.packets, ({ timeNs }) => timeNs);
  }
}

function takeTurns(open: readonly Source[], newestFirst: boolean): PrintablePacket[] {
  const columns = open.map(({ times, given }) => times.subarray(given));
  const runs = mergeTimes(columns, newestFirst);
  const merged: PrintablePacket[] = [];
  for (let i = 0; i < runs.length; i += 2) {
    const source = open[runs[i]!]!;
    for (const end = source.given + runs[i + 1]!; source.given < end; source.given++)
      merged.push(source.packets[source.given]!);
  }
  return merged;
}

/** What can be read forwards only, from its end: the last `count` packets, the last one first. They are in memory until then. */
export async function* lastPackets(pieces: PacketPieces, count: number): PacketPieces {
  let kept: PrintablePacket[] = [];
  for await (const piece of pieces) {
    // A view would keep the whole batch that it lies in.
    for (const packet of piece.slice(-count)) kept.push({ ...packet, bytes: packet.bytes.slice() });
    if (kept.length >= 2 * count) kept = kept.slice(-count);
  }
  yield kept.slice(-count).reverse();
}
