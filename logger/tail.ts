// Following what is being logged: the records of a store as they become durable, as lines or as a capture. Only reads.
import { native } from "../native/engine.js";
import { createCaptureEncoder } from "../native/export.js";
import { openNativeReader } from "../native/reader.js";
import { capturedLengthMax } from "./capture/capture.js";
import { PasteError } from "./errors.js";
import { type CompiledFilter, compileFilter } from "./filter/compile.js";
import { Pause } from "./follow.js";
import type { FrameBatch } from "./frame-batch.js";
import { packetsOf } from "./print/packet.js";
import { type CompiledOptions, nativeOptions, needsForward, openStore, type StoreReader } from "./reader.js";
import { captureHead } from "./tail-capture.js";
import { type PacketLines, type TailEnd, TailOutput, type TailOutputOptions } from "./tail-output.js";

export interface TailOptions extends TailOutputOptions {
  store: string;
  /** In the language of pcap-filter(7) and the words of FILTER.md; absent or empty: every frame. */
  filter?: string;
  /** Begin with this record; default: with what comes. */
  fromSequence?: bigint;
  /** Instead of it: begin with so many of the newest frames that the filter takes. */
  last?: number;
  /** The store was faster: so many more of its blocks were used again before they were read. */
  onOvertaken?: (blocks: number) => void;
  /** Nobody writes the store (any more), or somebody does again. */
  onWriter?: (alive: boolean) => void;
}

export interface TailReport {
  frames: number;
  /** Blocks that were overwritten before they were read. */
  overtaken: number;
  /** Records whose checksum is wrong. */
  corrupt: number;
  ended: TailEnd;
}

const application = "paste-switch";
/** Bytes of a capture encoded at once. */
const pieceBytes = 1 << 20;
/** Between two looks whether the store still has a writer: each reads its directory. Who ends with the writer looks more often. */
const writerLookMs = { toEnd: 100, toTell: 1000 };

/**
 * Writes the frames of a store as they become durable, each within 10 ms as long as the output takes them, until `signal`, `limit`
 * or the output's reader ends it. While the store's writer is away it waits: another one goes on in the same store. What the store
 * overwrites before it was read is left out, counted and told. Throws USAGE, FILTER, STORE or RESOURCE.
 */
export async function tailStore(options: TailOptions): Promise<TailReport> {
  const { fromSequence, last } = options;
  if (last !== undefined && fromSequence !== undefined)
    throw new PasteError(
      "USAGE",
      "how many are the newest (-n) and a first sequence (--from) exclude each other: give one",
    );
  if (last !== undefined && !(Number.isSafeInteger(last) && last >= 0))
    throw new PasteError("USAGE", `last must be an integer from 0 on, it is ${last}`);
  const filter = options.filter ? compileFilter(options.filter, { record: "store" }) : undefined;
  const reader = openStore(options.store);
  const watch = new WriterWatch(reader, options);
  try {
    const output = await TailOutput.open(options.output, [options.store], options.limit, options.signal);
    try {
      const from = fromSequence ?? (await firstOf(reader, filter, last ?? 0));
      const tail = new StoreTail(options, output, filter, from, watch);
      await (options.print ? tail.lines(options.print) : tail.capture());
      return tail.report();
    } finally {
      await output.close();
    }
  } finally {
    watch.end();
    reader.close();
  }
}

/** Where to begin so that the newest `last` frames that the filter takes come first. */
async function firstOf(reader: StoreReader, filter: CompiledFilter | undefined, last: number): Promise<bigint> {
  const { nextSequence } = await reader.info();
  if (last === 0) return nextSequence;
  let first = nextSequence;
  let left = last;
  if (needsForward(filter)) return firstForwards(reader, filter, last, nextSequence);
  const newestFirst = {
    reverse: true,
    toSequence: nextSequence > 0n ? nextSequence - 1n : 0n,
    snaplen: 1,
    verifyPayload: false,
  };
  for await (const batch of reader.frames({ ...newestFirst, ...(filter && { filter }) })) {
    const taken = Math.min(left, batch.count);
    if (taken > 0) first = batch.sequence(taken - 1);
    left -= taken;
    if (left === 0) break;
  }
  return first;
}

/** The same where a store can be read forwards only. */
async function firstForwards(
  reader: StoreReader,
  filter: CompiledFilter | undefined,
  last: number,
  nextSequence: bigint,
): Promise<bigint> {
  let newest: bigint[] = [];
  for await (const batch of reader.frames({ snaplen: 1, verifyPayload: false, ...(filter && { filter }) })) {
    for (let i = 0; i < batch.count; i++) newest.push(batch.sequence(i));
    if (newest.length >= 2 * last) newest = newest.slice(-last);
  }
  return newest.slice(-last)[0] ?? nextSequence;
}

/** Looks now and then whether somebody writes the store, and tells when that changes. */
class WriterWatch {
  /** Nobody does, and that is the end (`untilStop`). */
  readonly stopped = new AbortController();
  readonly #timer: NodeJS.Timeout;

  constructor(reader: StoreReader, { untilStop = false, onWriter }: TailOptions) {
    let looking = false;
    let alive = true;
    this.#timer = setInterval(
      () => {
        if (looking) return;
        looking = true;
        reader
          .info()
          .then(({ writerAlive }) => {
            if (!writerAlive && untilStop) this.stopped.abort();
            if (writerAlive !== alive && !untilStop) onWriter?.(writerAlive);
            alive = writerAlive;
          })
          .catch(() => untilStop && this.stopped.abort()) // a store that cannot be read any more: reading says why
          .finally(() => {
            looking = false;
          });
      },
      untilStop ? writerLookMs.toEnd : writerLookMs.toTell,
    );
  }

  end(): void {
    clearInterval(this.#timer);
  }
}

class StoreTail {
  readonly #options: TailOptions;
  readonly #output: TailOutput;
  readonly #reading: CompiledOptions;
  readonly #watch: WriterWatch;
  #overtaken = 0;
  #corrupt = 0;

  constructor(
    options: TailOptions,
    output: TailOutput,
    filter: CompiledFilter | undefined,
    fromSequence: bigint,
    watch: WriterWatch,
  ) {
    const { snaplen } = options;
    this.#options = options;
    this.#output = output;
    this.#reading = { fromSequence, ...(filter && { filter }), ...(snaplen !== undefined && { snaplen }) };
    this.#watch = watch;
  }

  report(): TailReport {
    const output = this.#output;
    const ended = output.ended(this.#stopped);
    return { frames: output.frames, overtaken: this.#overtaken, corrupt: this.#corrupt, ended };
  }

  get #stopped(): boolean {
    return this.#watch.stopped.signal.aborted;
  }

  async lines(print: PacketLines): Promise<void> {
    const { signal } = this.#options;
    const ends = [this.#watch.stopped.signal, ...(signal ? [signal] : [])];
    let next = this.#reading.fromSequence!;
    const take = async (reader: StoreReader, batches: AsyncIterable<FrameBatch>) => {
      for await (const batch of batches) {
        this.#count(reader.counters);
        await this.#output.lines(packetsOf(batch), print);
        if (batch.count > 0) next = batch.sequence(batch.count - 1) + 1n;
        if (this.#output.done) break;
      }
      this.#count(reader.counters, true);
    };
    const reader = openStore(this.#options.store);
    try {
      await take(reader, reader.follow({ ...this.#reading, signal: AbortSignal.any(ends) }));
      // What the writer made durable before it ended, and was not read yet.
      if (this.#stopped && !this.#output.done && !signal?.aborted)
        await take(reader, reader.frames({ ...this.#reading, fromSequence: next, ...(signal && { signal }) }));
    } finally {
      reader.close();
    }
  }

  async capture(): Promise<void> {
    const { output, signal } = this.#options;
    const snaplen = Math.min(this.#options.snaplen ?? capturedLengthMax, capturedLengthMax);
    const reader = native(() => openNativeReader(this.#options.store));
    const encoder = native(() => createCaptureEncoder("pcapng", application, snaplen));
    const pause = new Pause(signal);
    try {
      // The store's ports get interfaces of their own as they are met.
      if (output === "-" || typeof output !== "string")
        await this.#output.bytes(captureHead(encoder, [application], snaplen), 0);
      native(() => {
        reader.start({ ...nativeOptions(this.#reading), framesOnly: false, follow: true });
        encoder.openStore(reader);
      });
      while (!signal?.aborted && !this.#output.done) {
        const stopped = this.#stopped; // before the look: what was durable then is seen by it
        const piece = await encoder.next(pieceBytes, this.#output.left);
        this.#count(reader.counters());
        await this.#output.bytes(piece.bytes, piece.frames);
        if (piece.frames > 0) pause.reset();
        if (piece.more) continue;
        if (stopped) break;
        await pause.wait();
      }
      await this.#output.bytes(native(() => encoder.finish()).bytes, 0);
      this.#count(reader.counters(), true);
    } finally {
      reader.close();
    }
  }

  /** `last`: of a reading that ended; the next one counts from zero. */
  #count({ overtaken, corrupt }: { overtaken: number; corrupt: number }, last = false): void {
    const told = this.#overtaken - this.#before.overtaken;
    if (overtaken > told) this.#options.onOvertaken?.(overtaken - told);
    this.#overtaken = this.#before.overtaken + overtaken;
    this.#corrupt = this.#before.corrupt + corrupt;
    if (last) this.#before = { overtaken: this.#overtaken, corrupt: this.#corrupt };
  }
  #before = { overtaken: 0, corrupt: 0 };
}
