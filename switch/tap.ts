// Watching a running switch: frames as they pass its ports, logged or not, as lines or as a capture. The switch does not wait for it.
import { capturedLengthMax } from "../logger/capture/capture.js";
import { PasteError } from "../logger/errors.js";
import { FrameSelector } from "../logger/filter/bpf-program.js";
import { compileFilter } from "../logger/filter/compile.js";
import { globForm } from "../logger/filter/filter-check.js";
import { filterError } from "../logger/filter/filter-error.js";
import { Pause } from "../logger/follow.js";
import type { PrintablePacket } from "../logger/print/packet.js";
import { captureHead } from "../logger/tail-capture.js";
import { type TailEnd, TailOutput, type TailOutputOptions } from "../logger/tail-output.js";
import { native, outcomes } from "../native/engine.js";
import { type CaptureEncoder, createCaptureEncoder } from "../native/export.js";
import { egressFlooded, type NativeLiveTap, openLiveTap, type TappedBatch, tapFilterMax } from "../native/live-tap.js";

export type TapDirection = "in" | "out" | "inout";

export interface TapOptions extends TailOutputOptions {
  /** Path of the daemon's ports.sock. */
  socket: string;
  /** A port, several by * and ?, or "any". */
  port: string;
  /** What comes in by the port, copies that leave by it, or both. Default: both; of several: what comes in, so that each frame is one. */
  direction?: TapDirection;
  /** Also frames that went nowhere. */
  dropped?: boolean;
  /** In the language of pcap-filter(7), and words about times; absent or empty: every frame. */
  filter?: string;
  /** Memory for each of the switch's threads in bytes, a power of two: what comes while nobody reads. Default 4 MiB. */
  ringBytes?: number;
  /** The tap is open. */
  onOpen?: () => void;
  /** So many more frames passed unseen, because reading was slower. */
  onMissed?: (frames: number) => void;
  /** The daemon went away; it is waited for. */
  onGone?: () => void;
}

export interface TapReport {
  /** Frames written. */
  frames: number;
  /** Frames that came from the switch. */
  seen: number;
  /** Frames that passed and were not seen. */
  missed: number;
  /** Frames that had passed and were not looked at any more when it was ended. */
  unread: number;
  ended: TailEnd;
}

const application = "paste-switch";
const ethernet = 1;
const framesMax = 8192;
const bytesMax = 1 << 20;
const ringBytesDefault = 4 << 20;
const snaplenMax = 0xffffffff;
/** Between two tries to find the daemon again. */
const retryMs = 100;

/**
 * Writes the frames that pass a port, or any, until `signal`, `limit` or the output's reader ends it; when the daemon goes, it waits for the
 * next. Under strict durability a frame that a rule selects comes when its record is durable, as any other copy of it. Frames that come
 * faster than they are taken are missed, counted, and told. Throws USAGE, FILTER, PORT, PRIVILEGE or RESOURCE.
 */
export async function tailPort(options: TapOptions): Promise<TapReport> {
  const { snaplen, filter } = options;
  if (snaplen !== undefined && !(Number.isInteger(snaplen) && snaplen > 0))
    throw new PasteError("USAGE", `snaplen must be an integer above 0, it is ${snaplen}`);
  const compiled = compileTapFilter(filter);
  const first = open(options, compiled);
  try {
    const output = await TailOutput.open(options.output, [], options.limit, options.signal);
    try {
      const tail = new PortTail(options, output, compiled);
      await tail.run(first);
      return tail.report();
    } finally {
      await output.close();
    }
  } finally {
    first.close();
  }
}

const isSeveral = (port: string) => port === "any" || /[*?]/.test(port);

/** What the switch rejects by itself, so that it is never copied; or, where that asks for more than bytes, what is sorted out here. */
interface TapFilter {
  inSwitch?: Uint8Array;
  here?: FrameSelector;
}

function compileTapFilter(filter = ""): TapFilter {
  if (filter.trim() === "") return {};
  const { bytes, needs, program, tests } = compileFilter(filter, { record: "store" });
  const need = needs.find((each) => each.needs === "store");
  if (need)
    throw filterError(
      need.at,
      `"${need.word}" asks for a record`,
      "of frames that pass it is bytes and times that can be asked for",
    );
  if (needs.length === 0 && tests.length === 0 && program.length <= tapFilterMax) return { inSwitch: bytes };
  return { here: new FrameSelector(compileFilter(filter, { record: "time" })) };
}

function open(options: TapOptions, { here, inSwitch }: TapFilter): NativeLiveTap {
  const {
    direction = isSeveral(options.port) ? "in" : "inout",
    dropped = false,
    ringBytes = ringBytesDefault,
  } = options;
  const { socket, port, snaplen } = options;
  return openLiveTap({
    socket,
    port,
    in: direction !== "out",
    out: direction !== "in",
    dropped,
    // What is sorted out here must be seen whole.
    snaplen: here ? snaplenMax : Math.min(snaplen ?? snaplenMax, snaplenMax),
    ringBytes,
    ...(inSwitch && { filter: inSwitch }),
  });
}

class PortTail {
  readonly #options: TapOptions;
  readonly #output: TailOutput;
  readonly #filter: TapFilter;
  readonly #pause: Pause;
  readonly #drops = outcomes().drops.map(({ name }) => name);
  readonly #capture: TapCapture | undefined;
  #names = new PortNames();
  #seen = 0;
  #missed = 0;
  #unread = 0;
  #stopped = false;

  constructor(options: TapOptions, output: TailOutput, filter: TapFilter) {
    this.#options = options;
    this.#output = output;
    this.#filter = filter;
    this.#pause = new Pause(options.signal);
    if (!options.print) this.#capture = new TapCapture(options.snaplen);
  }

  report(): TapReport {
    const output = this.#output;
    const [seen, missed, unread] = [this.#seen, this.#missed, this.#unread];
    return { frames: output.frames, seen, missed, unread, ended: output.ended(this.#stopped) };
  }

  get #over(): boolean {
    return this.#output.done || (this.#options.signal?.aborted ?? false);
  }

  async run(first: NativeLiveTap): Promise<void> {
    for (let tap: NativeLiveTap | undefined = first; tap; tap = await this.#again()) {
      try {
        await this.#read(tap);
      } finally {
        tap.close();
      }
      if (this.#over || this.#stopped) break;
      this.#options.onGone?.();
    }
    if (this.#capture) await this.#output.bytes(this.#capture.finish(), 0);
  }

  /** The tap on the daemon that comes next; undefined when it is over. */
  async #again(): Promise<NativeLiveTap | undefined> {
    this.#names = new PortNames();
    while (!this.#over) {
      try {
        return open(this.#options, this.#filter);
      } catch (error) {
        if (!(error instanceof PasteError && error.code === "PORT")) throw error;
        await waitFor(retryMs, this.#options.signal);
      }
    }
    return undefined;
  }

  /** Until it is over, or the daemon is gone and everything was read. */
  async #read(tap: NativeLiveTap): Promise<void> {
    this.#names.update(tap);
    if (this.#capture) await this.#output.bytes(this.#capture.begin(this.#names, this.#options.port), 0);
    this.#options.onOpen?.();
    let missed = 0;
    while (!this.#over) {
      const { stands } = tap.state(); // before the look: what the daemon wrote before it went is seen by it
      const batch = native(() => tap.read(framesMax, bytesMax));
      if (batch) {
        this.#seen += batch.count;
        this.#names.update(tap);
        await this.#write(batch);
        this.#pause.reset();
      }
      const now = tap.state().missed;
      if (now > missed) {
        this.#missed += now - missed;
        this.#options.onMissed?.(now - missed);
        missed = now;
      }
      if (batch) await this.#pause.turn();
      else if (stands) await this.#pause.wait();
      else {
        this.#stopped = this.#options.untilStop ?? false;
        return;
      }
    }
    this.#unread = tap.state().unread;
  }

  async #write(batch: TappedBatch): Promise<void> {
    const selected = this.#filter.here?.select(batch) ?? null;
    const { print } = this.#options;
    if (print) return this.#output.lines(this.#packets(batch, selected), print);
    const piece = this.#capture!.encode(batch, this.#names, selected, this.#output.left);
    return this.#output.bytes(piece.bytes, piece.frames);
  }

  *#packets(batch: TappedBatch, selected: Uint8Array | null): Generator<PrintablePacket, void, void> {
    const { snaplen = snaplenMax } = this.#options;
    for (let i = 0; i < batch.count; i++) {
      if (selected && !selected[i]) continue;
      const egress = batch.egress[i]!;
      const outcome = batch.outcomes[i]!;
      yield {
        bytes: batch.data.subarray(batch.offsets[i], batch.offsets[i]! + Math.min(batch.capturedLengths[i]!, snaplen)),
        timeNs: batch.timesNs[i]!,
        wireLength: batch.wireLengths[i]!,
        inPort: this.#names.of(batch.ingress[i]!),
        outPort: egress === egressFlooded ? "*" : egress === 0 ? "" : this.#names.of(egress),
        outcome: outcome === 0 ? "forwarded" : (this.#drops[outcome - 1] ?? `reason ${outcome - 1}`),
      };
    }
  }
}

/** What the daemon's ports are called. */
class PortNames {
  #version = -1;
  #ports: Record<number, string> = {};

  update(tap: NativeLiveTap): void {
    const names = tap.names(this.#version);
    if (names) [this.#version, this.#ports] = [names.version, names.ports];
  }
  of(id: number): string {
    return this.#ports[id] ?? `port ${id}`;
  }
  get all(): string[] {
    return Object.values(this.#ports);
  }
}

/** pcapng of tapped frames: an interface for each port at which frames were seen. */
class TapCapture {
  readonly #encoder: CaptureEncoder;
  readonly #snaplen: number;
  /** Number of an interface by its name; `#numbers` has them in the order in which they came. */
  readonly #indexes = new Map<string, number>();
  #numbers: number[] = [];

  constructor(snaplen = capturedLengthMax) {
    this.#snaplen = Math.min(snaplen, capturedLengthMax);
    this.#encoder = native(() => createCaptureEncoder("pcapng", application, this.#snaplen));
  }

  /** The file's beginning, at once. */
  begin(names: PortNames, port: string): Uint8Array {
    const form = globForm(port === "any" ? "*" : port);
    const there = isSeveral(port) ? names.all.filter((name) => form.test(name)) : [];
    const known = there.length > 0 ? there : [port];
    for (const name of known) this.#index(name);
    return captureHead(this.#encoder, known, this.#snaplen);
  }

  encode(batch: TappedBatch, names: PortNames, selected: Uint8Array | null, left: number) {
    const interfaces = new Uint16Array(batch.count);
    for (let i = 0; i < batch.count; i++)
      interfaces[i] = this.#index(names.of(batch.left[i] ? batch.egress[i]! : batch.ingress[i]!));
    return native(() =>
      this.#encoder.append({ ...batch, interfaces }, Uint32Array.from(this.#numbers), selected, left),
    );
  }

  finish(): Uint8Array {
    return native(() => this.#encoder.finish()).bytes;
  }

  #index(name: string): number {
    const known = this.#indexes.get(name);
    if (known !== undefined) return known;
    this.#indexes.set(name, this.#numbers.length);
    this.#numbers.push(native(() => this.#encoder.describe(name, ethernet, this.#snaplen)));
    return this.#numbers.length - 1;
  }
}

function waitFor(ms: number, signal: AbortSignal | undefined): Promise<void> {
  return new Promise((resolve) => {
    const done = () => {
      clearTimeout(timer);
      signal?.removeEventListener("abort", done);
      resolve();
    };
    const timer = setTimeout(done, ms);
    signal?.addEventListener("abort", done, { once: true });
  });
}
