// Frames for benches that read: 10,000 flows of UDP and TCP in sizes of choice, a few frames of one more host among them.
import type { CaptureBatch } from "../../logger/capture/capture.js";
import { createStore, StoreAppender } from "../../logger/store.js";

/** The simple Internet mix, seven to four to one, without checksums (FCS). */
export const imix: readonly number[] = [60, 590, 60, 60, 590, 60, 1514, 60, 590, 60, 60, 590];
const flows = 10_000;
const pcapRecordBytes = 16;
const batch = 20_000;

/** An average record of frames of these sizes: a line in front, and whole lines. */
export const recordBytes = (sizes: readonly number[]): number =>
  sizes.reduce((sum, size) => sum + 64 + Math.ceil(size / 64) * 64, 0) / sizes.length;

/** What a store of so many frames needs: records, their index, and the room of the last blocks. */
export const storeBytes = (frames: number, sizes: readonly number[] = imix): number =>
  Math.ceil((frames * recordBytes(sizes) * 1.08) / 2 ** 20 + 64) * 2 ** 20;

/** What is to be found: a frame from or to this host now and then. */
export const rareHost = "10.77.0.1";

/** Frame `number` and those behind it; `data` is at the same time what stands behind the header of a nanosecond pcap file. */
export function mixedFrames(
  number: number,
  count: number,
  { sizes = imix, rareEvery = 0 }: { sizes?: readonly number[]; rareEvery?: number } = {},
): CaptureBatch {
  const lengths = Uint32Array.from({ length: count }, (_, i) => sizes[(number + i) % sizes.length]!);
  const data = Buffer.alloc(lengths.reduce((sum, length) => sum + length + pcapRecordBytes, 0));
  const offsets = new Uint32Array(count);
  const timesNs = new BigInt64Array(count);
  for (let i = 0, at = 0; i < count; i++) {
    const length = lengths[i]!;
    const n = number + i;
    timesNs[i] = 1_700_000_000_000_000_000n + BigInt(n) * 1000n;
    data.writeUInt32LE(1_700_000_000 + Math.floor(n / 1e6), at);
    data.writeUInt32LE((n % 1e6) * 1000, at + 4);
    data.writeUInt32LE(length, at + 8);
    data.writeUInt32LE(length, at + 12);
    at += pcapRecordBytes;
    offsets[i] = at;
    writeFrame(data, at, length, n, rareEvery > 0 && n % rareEvery === rareEvery >> 1);
    at += length;
  }
  return {
    data,
    count,
    offsets,
    capturedLengths: lengths,
    wireLengths: lengths,
    timesNs,
    interfaces: Uint16Array.from({ length: count }, (_, i) => (number + i) & 3),
  };
}

/** A new store with so many of them, `each` of whose batches may be written elsewhere, too. */
export async function mixedStore(
  path: string,
  frames: number,
  {
    each = () => {},
    ...traffic
  }: { sizes?: readonly number[]; rareEvery?: number; each?: (batch: CaptureBatch) => void } = {},
): Promise<void> {
  await createStore(path, { sizeBytes: storeBytes(frames, traffic.sizes) });
  const appender = await StoreAppender.open(path);
  for (let port = 0; port < 4; port++) appender.addInterface(`bench${port}`);
  for (let number = 0; number < frames; number += batch) {
    const mixed = mixedFrames(number, Math.min(batch, frames - number), traffic);
    each(mixed);
    await appender.append(mixed);
  }
  await appender.close();
}

function writeFrame(data: Buffer, at: number, length: number, n: number, rare: boolean): void {
  const flow = Math.imul(n, 0x9e3779b1) >>> 0;
  const which = flow % flows;
  const tcp = which % 3 !== 0;
  data.writeUInt32BE(0x02000000 | (which & 0xff), at);
  data.writeUInt32BE(0x02010000 | (which % 251), at + 6);
  data.writeUInt16BE(0x0800, at + 12);
  data[at + 14] = 0x45;
  data.writeUInt16BE(length - 14, at + 16);
  data[at + 22] = 64;
  data[at + 23] = tcp ? 6 : 17;
  data.writeUInt32BE(rare ? 0x0a4d0001 : 0x0a010000 + which, at + 26);
  data.writeUInt32BE(0x0a020000 + (which % 509), at + 30);
  data.writeUInt16BE(1024 + (which % 40_000), at + 34);
  data.writeUInt16BE(tcp ? [80, 443, 22, 8080][which & 3]! : 53, at + 36);
  if (tcp) data.writeUInt16BE(0x5010, at + 46);
  else data.writeUInt16BE(length - 34, at + 38);
}
