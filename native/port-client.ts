// A program's own port on a running daemon: open it, send and receive frames in batches, wait without blocking the event loop.
//
//   using port = openPort({ socket, name: "vale0:a" });
//   port.send([frame]);
//   for await (const frames of port.batches()) ...
import { PasteError } from "../logger/errors.js";
import { native } from "./engine.js";
import { loadAddon } from "./load.js";

export interface PortOptions {
  /** Path of the daemon's ports.sock. */
  socket: string;
  /** valeSWITCH:PORT, such as "vale0:a". */
  name: string;
  /** Slots in each of the two rings, 16 to 4096; one stays empty. Default 1024. */
  slots?: number;
  /** Bytes in one packet buffer, a multiple of 64 from 256 to 16384; a longer frame takes several. Default 2048. */
  bufferBytes?: number;
  /** Nobody else may open this port. (A name has one client at a time in any case.) */
  exclusive?: boolean;
  /** How long to try to come back when the daemon went away; 0 = not at all. Default 10 000. */
  reconnectMs?: number;
}

/** Frames in columns: frame i is `lengths[i]` bytes at `data[offsets[i]]`. */
export interface FrameColumns {
  data: Uint8Array;
  offsets: Uint32Array;
  lengths: Uint32Array;
  count: number;
}

/** `reconnected`: the daemon was away and is back, with empty rings. `gone`: it is not coming back, or detached the port. */
export type Wake = "ready" | "timeout" | "reconnected" | "gone";

export interface WaitOptions {
  /** Default: for ever. */
  timeoutMs?: number;
  /** Waits for room to send instead of frames to receive. */
  forRoom?: boolean;
}

interface NativeState {
  room: number;
  pending: number;
  sentAll: boolean;
  reconnects: number;
  lostOnReconnect: number;
  ringResets: number;
}

interface NativePortClient {
  send(data: Uint8Array, offsets: Uint32Array, lengths: Uint32Array, from: number, count: number): number;
  flush(): boolean;
  receive(data: Uint8Array, offsets: Uint32Array, lengths: Uint32Array, max: number): number;
  tryWait(forRoom: boolean): number;
  watch(forRoom: boolean, callback: () => void): boolean | null;
  unwatch(): void;
  close(): void;
  state(): NativeState;
}

const frameBytesMax = 9216;
const batchFrames = 256;
const batchBytes = 512 << 10;
const retryMs = 20;
const wakes: readonly Wake[] = ["ready", "timeout", "reconnected", "gone"];

/** Columns with space for `frames` frames and `bytes` bytes, none in them yet. */
export function frameColumns(frames = batchFrames, bytes = batchBytes): FrameColumns {
  return { data: new Uint8Array(bytes), offsets: new Uint32Array(frames), lengths: new Uint32Array(frames), count: 0 };
}

export class PortClient {
  readonly name: string;
  #native: NativePortClient;
  #closed = false;
  #endWait: ((wake: Wake) => void) | undefined;
  #scratch = frameColumns();

  constructor(options: PortOptions) {
    this.name = options.name;
    const addon = loadAddon("paste_switch") as unknown as {
      NativePortClient: new (options: object) => NativePortClient;
    };
    const { socket, name, slots = 1024, bufferBytes = 2048, exclusive = false, reconnectMs = 10_000 } = options;
    if (typeof socket !== "string" || typeof name !== "string")
      throw new PasteError("USAGE", "openPort: `socket` and `name` are needed, both strings");
    for (const [key, value] of Object.entries({ slots, bufferBytes, reconnectMs }))
      if (!Number.isSafeInteger(value) || value < 0 || value > 0x7fffffff)
        throw new PasteError("USAGE", `openPort: \`${key}\` is a whole number, not ${value}`);
    this.#native = native(
      () => new addon.NativePortClient({ socket, name, slots, bufferBytes, exclusive, reconnectMs }),
    );
  }

  /**
   * Sends frames (at most 9216 bytes each) as far as there is room, and rings the daemon. Returns how many went; call again with
   * the rest after `wait({ forRoom: true })`, or use sendAll().
   */
  send(frames: readonly Uint8Array[]): number {
    const { data, offsets, lengths } = this.#scratch;
    let sent = 0;
    while (sent < frames.length) {
      let used = 0;
      let count = 0;
      for (; count < batchFrames && sent + count < frames.length; count++) {
        const frame = frames[sent + count]!;
        if (frame.length > frameBytesMax)
          throw new PasteError("USAGE", `send: a frame of ${frame.length} bytes is longer than ${frameBytesMax}`);
        if (used + frame.length > data.length) break;
        data.set(frame, used);
        offsets[count] = used;
        lengths[count] = frame.length;
        used += frame.length;
      }
      const went = native(() => this.#native.send(data, offsets, lengths, 0, count));
      sent += went;
      if (went < count) break;
    }
    native(() => this.#native.flush());
    return sent;
  }

  /** The same for frames in columns, from number `from` on: no copy on this side. */
  sendColumns(columns: FrameColumns, from = 0): number {
    const { data, offsets, lengths, count } = columns;
    const sent = native(() => this.#native.send(data, offsets, lengths, from, count - from));
    native(() => this.#native.flush());
    return sent;
  }

  /** Sends all frames, waiting for room. Throws PORT when the daemon is gone for good. */
  async sendAll(frames: readonly Uint8Array[]): Promise<void> {
    let sent = this.send(frames);
    while (sent < frames.length) {
      if ((await this.wait({ forRoom: true })) === "gone")
        throw new PasteError(
          "PORT",
          `port ${this.name}: the daemon is gone, ${frames.length - sent} frames were not sent`,
        );
      sent += this.send(frames.slice(sent));
    }
  }

  /** Takes the frames that wait, at most `max`; each is a copy of its own. */
  receive(max = batchFrames): Buffer[] {
    const frames: Buffer[] = [];
    const columns = this.#scratch;
    while (frames.length < max && this.receiveColumns(columns, Math.min(max - frames.length, batchFrames)) > 0)
      for (let i = 0; i < columns.count; i++) {
        const offset = columns.offsets[i]!;
        frames.push(Buffer.from(columns.data.subarray(offset, offset + columns.lengths[i]!)));
      }
    return frames;
  }

  /** Takes frames into columns that are used again and again; returns their number, also in `into.count`. */
  receiveColumns(into: FrameColumns, max = into.offsets.length): number {
    into.count = native(() => this.#native.receive(into.data, into.offsets, into.lengths, max));
    return into.count;
  }

  /** Resolves when there is something to receive (or room to send), on timeout, and on changes of the daemon. One at a time. */
  wait(options: WaitOptions = {}): Promise<Wake> {
    const { timeoutMs, forRoom = false } = options;
    if (this.#endWait) return Promise.reject(new PasteError("USAGE", `port ${this.name}: a wait is pending already`));
    return new Promise((resolve, reject) => {
      let timer: NodeJS.Timeout | undefined;
      let retry: NodeJS.Timeout | undefined;
      const end = (wake: Wake) => {
        clearTimeout(timer);
        clearTimeout(retry);
        this.#endWait = undefined;
        this.#native.unwatch();
        resolve(wake);
      };
      const attempt = () => {
        try {
          for (;;) {
            const wake = wakes[native(() => this.#native.tryWait(forRoom))]!;
            if (wake !== "timeout") return end(wake);
            const watching = native(() => this.#native.watch(forRoom, attempt));
            if (watching) return;
            if (watching === null) {
              retry = setTimeout(attempt, retryMs);
              return;
            }
          }
        } catch (error) {
          end("gone");
          reject(error);
        }
      };
      this.#endWait = end;
      if (timeoutMs !== undefined) timer = setTimeout(() => end("timeout"), timeoutMs);
      attempt();
    });
  }

  /** Batches of frames as they come, until the port is closed or the daemon is gone for good. */
  async *batches(max = batchFrames): AsyncGenerator<Buffer[]> {
    while (!this.#closed) {
      const frames = this.receive(max);
      if (frames.length > 0) yield frames;
      else if ((await this.wait()) === "gone") return;
    }
  }

  /** Free transmit slots. */
  get room(): number {
    return native(() => this.#native.state().room);
  }
  /** Frames that wait to be received. */
  get pending(): number {
    return native(() => this.#native.state().pending);
  }
  /** The switch has taken every frame that was sent. */
  get sentAll(): boolean {
    return native(() => this.#native.state().sentAll);
  }
  /** Times that a daemon was found again. */
  get reconnects(): number {
    return native(() => this.#native.state().reconnects);
  }
  /** Frames that were in the rings when a daemon went: sent and not taken, or delivered and not received. */
  get lostOnReconnect(): number {
    return native(() => this.#native.state().lostOnReconnect);
  }
  /** Times the daemon reset one of this port's rings after rubbish in it. */
  get ringResets(): number {
    return native(() => this.#native.state().ringResets);
  }
  get closed(): boolean {
    return this.#closed;
  }

  /** Detaches the port; a pending wait resolves to "gone". Frames that were flushed and not taken yet are lost. */
  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#endWait?.("gone");
    this.#native.close();
  }
  [Symbol.dispose](): void {
    this.close();
  }
}

/** Attaches a port to the daemon at `socket`. Throws PORT (no daemon, name in use), PRIVILEGE or USAGE. */
export function openPort(options: PortOptions): PortClient {
  return new PortClient(options);
}
