// From a store or a capture back into a switch, each frame at its time.
import { asPasteError, native } from "../native/engine.js";
import { type NativeStoreReader, openNativeReader } from "../native/reader.js";
import { createNativeReplay, type NativeReplay, type PacerReport, type ReplayMode } from "../native/replay.js";
import { openCapture } from "./capture/open-capture.js";
import { PasteError } from "./errors.js";
import { type CompiledFilter, compileFilter } from "./filter/compile.js";
import { FilterCheck } from "./filter/filter-check.js";
import { answerableKinds, checkSources, isPipe, type SourceKind, selectedBatches, sourceName } from "./query-source.js";
import { nativeOptions } from "./reader.js";
import type { ReplayControl } from "./replay-control.js";
import { nativeRewrite, type ReplayRewrite } from "./replay-rewrite.js";

export interface ReplayOptions {
  /** Stores and captures, one behind the other in this order. One that is later than those before keeps its distance. */
  sources: readonly string[];
  /** The daemon's ports.sock; of replays into vale ports. */
  socket?: string;
  /**
   * What the replay sends into: ports that it attaches ("vale0:a"), devices that it opens for itself ("tap:t0", "xdp:eth0",
   * "netmap:eth0"), interfaces of the kernel ("eth0").
   */
  ports: readonly string[];
  /**
   * From where a frame came (a port of the store, an interface of the capture) to the port it goes into. Without it: the port of
   * that name; else the one of that name in another switch ("vale0:a" into "vale1:a"); else, when there is one port only, that
   * one. What has no port is left out and counted; when that is every frame, it is an error.
   */
  map?: Readonly<Record<string, string>>;
  /** At most one of these four; default: speed 1, with the frames' own gaps. */
  speed?: number;
  framesPerSecond?: number;
  megabitsPerSecond?: number;
  topSpeed?: boolean;
  /** Times to go over the sources; default 1, 0 = until it is stopped. */
  loops?: number;
  /** Frames to send at most, over all loops. */
  limit?: number;
  /** Reads everything into memory before the first frame is sent. */
  preload?: boolean;
  /** In the language of pcap-filter(7) and the words of FILTER.md. */
  filter?: string;
  /** Wall clock: the first frame goes then. Past: at once, and the report's startLateNs says by how much. */
  beginAtNs?: bigint;
  /**
   * Whether the sending thread asks to run ahead of others on its core (SCHED_FIFO), for which it needs CAP_SYS_NICE. Left out: where
   * frames have deadlines and there is more than one core, and a refusal is no warning.
   */
  realtime?: boolean;
  /** Only frames that were received earlier. */
  untilNs?: bigint;
  /** A frame before the first one and after the last one says so, with this text of up to 40 characters (logger/REPLAY.md). */
  marker?: string;
  rewrite?: ReplayRewrite;
  /** Pauses and steps the replay from elsewhere. */
  control?: ReplayControl;
  /** Of stores: first and last sequence wanted. */
  fromSequence?: bigint;
  toSequence?: bigint;
  /** Of captures: see CaptureOptions. */
  synthesizeEthernet?: boolean;
  allowTruncated?: boolean;
  /** Slots of each port's rings; default 1024. */
  slots?: number;
  /** Stops at once. */
  signal?: AbortSignal;
  /** Called now and then while frames are sent. */
  onProgress?: (sentFrames: number) => void;
}

export interface ReplayReport extends PacerReport {
  /** In the order of `portFrames`. */
  ports: string[];
  /** Frames that have no port to go to. */
  unmapped: number;
  /** Of stores: records whose checksum is wrong, and blocks that were overwritten before they were read. */
  corrupt: number;
  overtaken: number;
  loops: number;
  aborted: boolean;
  notes: string[];
  warnings: string[];
}

const batchFrames = 4096;
const batchBytes = 1 << 20;

/**
 * Replays frames. They are sent whole as far as the source has them; a full ring is waited for, so that none is lost on the
 * way to the switch. Throws USAGE, FILTER, PORT (no daemon, name in use, a port that disappeared under way, no frame that has
 * one), CAPTURE or STORE.
 */
export async function replayFrames(options: ReplayOptions): Promise<ReplayReport> {
  return new Replay(options).run();
}

interface Pace {
  mode: ReplayMode;
  speed: number;
  rate: number;
}

function paceOf(options: ReplayOptions): Pace {
  const { speed, framesPerSecond, megabitsPerSecond, topSpeed } = options;
  for (const [name, value] of Object.entries({ speed, framesPerSecond, megabitsPerSecond }))
    if (value !== undefined && !(Number.isFinite(value) && value > 0))
      throw new PasteError("USAGE", `${name} must be a number above 0, it is ${value}`);
  const given = [speed, framesPerSecond, megabitsPerSecond, topSpeed || undefined].filter((each) => each !== undefined);
  if (given.length > 1) throw new PasteError("USAGE", "speed, frame rate, bit rate and top speed exclude each other");
  if (framesPerSecond !== undefined) return { mode: "framesPerSecond", speed: 1, rate: framesPerSecond };
  if (megabitsPerSecond !== undefined) return { mode: "bitsPerSecond", speed: 1, rate: megabitsPerSecond * 1e6 };
  return { mode: topSpeed ? "top" : "original", speed: speed ?? 1, rate: 1 };
}

class Replay {
  readonly #options: ReplayOptions;
  readonly #filter: CompiledFilter | undefined;
  readonly #check: FilterCheck;
  readonly #replay: NativeReplay;
  #kinds: ReadonlyMap<string, SourceKind> = new Map();
  readonly #extra = {
    unmapped: 0,
    corrupt: 0,
    overtaken: 0,
    loops: 0,
    notes: [] as string[],
    warnings: [] as string[],
  };
  readonly #targets = new Map<string, number>();
  #left: number;
  #taken = 0;
  #sourceStart = true;

  constructor(options: ReplayOptions) {
    const { sources, ports, loops, limit, slots, map, marker = "", untilNs } = options;
    checkSources(sources);
    if (ports.length === 0) throw new PasteError("USAGE", "nowhere to replay to: name a port, such as vale0:a");
    const twice = ports.find((name, i) => ports.indexOf(name) !== i);
    if (twice !== undefined) throw new PasteError("USAGE", `port ${twice} is named twice`);
    for (const [name, value, least] of [
      ["loops", loops, 0],
      ["limit", limit, 1],
      ["slots", slots, 1],
    ] as const)
      if (value !== undefined && !(Number.isSafeInteger(value) && value >= least))
        throw new PasteError("USAGE", `${name} must be an integer from ${least} on, it is ${value}`);
    if (!/^[ -~]{0,40}$/.test(marker))
      throw new PasteError("USAGE", `the marker's text "${marker}" must be at most 40 printable ASCII characters`);
    for (const target of Object.values(map ?? {}))
      if (!ports.includes(target)) throw new PasteError("USAGE", `${target} is in the map, but not among the ports`);
    const pipe = sources.find(isPipe);
    if (loops !== undefined && loops !== 1 && !options.preload && pipe !== undefined)
      throw new PasteError("USAGE", `${sourceName(pipe)} can be read once only: preload it to send it more often`);
    const pace = paceOf(options);
    this.#options = options;
    this.#filter = options.filter ? compileFilter(options.filter, { record: "store" }) : undefined;
    if (untilNs !== undefined) {
      const rest = options.filter ? ` and (${options.filter})` : "";
      this.#filter = compileFilter(`before ${untilNs}ns${rest}`, { record: "store" });
    }
    this.#check = new FilterCheck(this.#filter);
    this.#replay = native(() =>
      createNativeReplay({
        ...pace,
        beginAtNs: options.beginAtNs ?? 0n,
        ...(options.realtime !== undefined && { realtime: options.realtime }),
        marker,
        ...(options.rewrite && { rewrite: nativeRewrite(options.rewrite) }),
      }),
    );
    this.#left = limit ?? Number.POSITIVE_INFINITY;
  }

  async run(): Promise<ReplayReport> {
    const { ports, socket = "", slots = 1024, preload = false, signal, control } = this.#options;
    const loops = this.#options.loops === 0 ? Number.POSITIVE_INFINITY : (this.#options.loops ?? 1);
    this.#kinds = answerableKinds(this.#options, this.#filter);
    await this.#call(() => this.#replay.open(socket, ports, slots));
    const stop = () => this.#replay.stop();
    signal?.addEventListener("abort", stop, { once: true });
    control?.attach(this.#replay);
    if (signal?.aborted) stop();
    const progress = setInterval(() => this.#options.onProgress?.(this.#replay.sent()), 200);
    let problem: unknown;
    try {
      if (preload) await this.#preloaded(loops);
      else
        for (let loop = 0; loop < loops && this.#goOn(); loop++) {
          const before = this.#taken;
          await this.#once(false);
          this.#extra.loops++;
          if (this.#taken === before) break; // there was no frame, and there will be none
        }
      this.#replay.end();
    } catch (error) {
      problem = asPasteError(error);
      this.#replay.stop();
    }
    let report: PacerReport;
    try {
      report = await this.#call(() => this.#replay.finish());
    } catch (error) {
      throw problem ?? error;
    } finally {
      clearInterval(progress);
      signal?.removeEventListener("abort", stop);
    }
    if (problem) throw problem;
    if (this.#options.realtime && !report.realtime)
      this.#extra.warnings.push("real time was refused: it needs CAP_SYS_NICE, or a limit in `ulimit -r`");
    if (this.#goOn()) {
      this.#extra.warnings.push(...this.#check.remarks(report.sentFrames));
      const { unmapped } = this.#extra;
      if (unmapped > 0 && report.sentFrames + report.tooLong + report.empty === 0) throw this.#noPort(unmapped);
    }
    return { ...report, ...this.#extra, ports: [...ports], aborted: signal?.aborted ?? false };
  }

  async #preloaded(loops: number): Promise<void> {
    const limit = this.#left;
    await this.#once(true);
    this.#left = limit;
    for (let loop = 0; loop < loops && this.#goOn(); loop++) {
      if (!this.#replay.room()) await this.#call(() => this.#replay.waitRoom());
      const pushed = native(() => this.#replay.pushKept(this.#left));
      this.#left -= pushed;
      this.#extra.loops++;
      if (pushed === 0) break;
    }
  }

  #goOn(): boolean {
    return this.#left > 0 && !this.#options.signal?.aborted && !this.#replay.ended();
  }

  /** All sources, once. */
  async #once(keep: boolean): Promise<void> {
    for (const source of this.#options.sources) {
      if (!this.#goOn()) return;
      this.#sourceStart = true;
      await (this.#kinds.get(source) === "store" ? this.#store(source, keep) : this.#capture(source, keep));
    }
  }

  async #store(path: string, keep: boolean): Promise<void> {
    const { fromSequence, toSequence } = this.#options;
    const reader = native(() => openNativeReader(path));
    try {
      const range = {
        ...(fromSequence !== undefined && { fromSequence }),
        ...(toSequence !== undefined && { toSequence }),
      };
      native(() => reader.start(nativeOptions({ ...range, ...(this.#filter && { filter: this.#filter }) })));
      let map = this.#storeMap(reader);
      let version = -1;
      // A damaged store may have lost what its ports were called.
      const others = this.#options.ports.length === 1 && !this.#options.map ? 0 : -1;
      for (let more = true; more && this.#goOn(); ) {
        const batch = await this.#call(() => reader.next(batchFrames, batchBytes));
        more = batch.more;
        if (batch.namesVersion !== version) map = this.#storeMap(reader);
        version = batch.namesVersion;
        await this.#pushed(batch.count, keep, (max, sourceStart) =>
          this.#replay.pushStore(batch.index, batch.bytes, map.ids, map.targets, others, max, sourceStart, keep),
        );
      }
      const counters = reader.counters();
      this.#check.saw(reader.names(), counters);
      const { corrupt, overtaken } = counters;
      this.#extra.corrupt += corrupt;
      this.#extra.overtaken += overtaken;
    } finally {
      reader.close();
    }
  }

  #storeMap(reader: NativeStoreReader): { ids: Uint32Array; targets: Int32Array } {
    const { ports } = reader.names();
    return {
      ids: Uint32Array.from(ports, (port) => port.id),
      targets: Int32Array.from(ports, (port) => this.#target(port.name)),
    };
  }

  async #capture(path: string, keep: boolean): Promise<void> {
    const { allowTruncated = false, synthesizeEthernet = false, signal } = this.#options;
    const capture = await openCapture(path, { allowTruncated, synthesizeEthernet, signal });
    try {
      for await (const { batch, selected } of selectedBatches(capture, this.#filter)) {
        const targets = Int32Array.from(capture.interfaces, (each) => this.#target(each.name));
        const count = selected ? selected.reduce((sum, each) => sum + each, 0) : batch.count;
        await this.#pushed(count, keep, (max, sourceStart) =>
          this.#replay.pushCapture(batch, selected, targets, max, sourceStart, keep),
        );
        if (!this.#goOn()) break;
      }
    } finally {
      this.#extra.notes.push(...capture.notes);
      this.#extra.warnings.push(...capture.warnings);
      await capture.close();
    }
  }

  async #pushed(count: number, keep: boolean, push: (max: number, sourceStart: boolean) => number): Promise<void> {
    const before = this.#left;
    const taken = native(() => push(before, this.#sourceStart));
    this.#left -= taken;
    this.#taken += taken;
    if (taken > 0) this.#sourceStart = false;
    if (this.#left > 0) this.#extra.unmapped += count - taken;
    if (!keep && !this.#replay.room()) await this.#call(() => this.#replay.waitRoom());
  }

  /** Number of the port that frames from `source` go to; -1 = none. */
  #target(source: string): number {
    let target = this.#targets.get(source);
    if (target === undefined) {
      target = targetOf(source, this.#options.ports, this.#options.map);
      this.#targets.set(source, target);
    }
    return target;
  }

  #noPort(frames: number): PasteError {
    const { ports } = this.#options;
    const sources = [...this.#targets.keys()].filter((name) => name !== "");
    const shown = sources.slice(0, 8).join(", ") + (sources.length > 8 ? ` and ${sources.length - 8} more` : "");
    const why = shown
      ? `they came from ${shown}: say which goes where, --map FROM=TO, or `
      : "nothing says where they came from: ";
    const [to, hint] =
      ports.length === 1
        ? [ports[0], "leave the map out: one port takes all"]
        : [`any of ${ports.join(", ")}`, "name one port, which takes all"];
    return new PasteError("PORT", `none of ${frames} frames goes into ${to}: ${why}${hint}`);
  }

  async #call<T>(call: () => Promise<T>): Promise<T> {
    try {
      return await call();
    } catch (error) {
      throw asPasteError(error);
    }
  }
}

function targetOf(source: string, ports: readonly string[], map: Readonly<Record<string, string>> | undefined): number {
  if (map) return Object.hasOwn(map, source) ? ports.indexOf(map[source]!) : -1;
  const same = ports.indexOf(source);
  if (same >= 0) return same;
  const short = (name: string) => name.slice(name.indexOf(":") + 1);
  const alike = source === "" ? [] : ports.filter((name) => short(name) === short(source));
  if (alike.length === 1) return ports.indexOf(alike[0]!);
  return ports.length === 1 ? 0 : -1;
}
