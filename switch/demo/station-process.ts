// A program on a port of the switch, as the demo and the crash tests start it: in a process of its own, it plays frames and
// notes what it receives. What it saw is its word alone; the daemon is not asked.

import { selectFrames } from "../../logger/filter/bpf-program.js";
import { compileFilter } from "../../logger/filter/compile.js";
import { type FrameColumns, frameColumns, openPort, type PortClient } from "../../native/index.js";
import { DigestList, frameDigest } from "./frame-digest.js";

/** What a parent asks of a station. */
export type StationCommand =
  | { kind: "open"; socket: string; name: string; filter: string }
  | { kind: "frames"; frames: FrameColumns; framesPerSecond: number; loop: boolean }
  | { kind: "pause" }
  | { kind: "report"; clear: boolean }
  | { kind: "close" };

/** What it answers. */
export type StationAnswer =
  | { kind: "opened" }
  | { kind: "paused" }
  | { kind: "report"; received: number; sent: number; selected: Float64Array }
  | { kind: "failed"; message: string };

const turnMs = 1;

class Station {
  readonly #port: PortClient;
  readonly #program: Uint8Array;
  readonly #selected = new DigestList();
  readonly #into = frameColumns();
  #received = 0;
  #sent = 0;
  #playing:
    | { frames: FrameColumns; next: number; perMs: number; loop: boolean; startMs: number; due: number }
    | undefined;
  #open = true;

  constructor(socket: string, name: string, filter: string) {
    this.#port = openPort({ socket, name });
    this.#program = compileFilter(filter).bytes;
  }

  play(frames: FrameColumns, framesPerSecond: number, loop: boolean): void {
    this.#playing = { frames, next: 0, perMs: framesPerSecond / 1000, loop, startMs: performance.now(), due: 0 };
  }

  pause(): void {
    this.#playing = undefined;
  }

  report(clear: boolean): StationAnswer {
    this.#receive();
    const answer = {
      kind: "report",
      received: this.#received,
      sent: this.#sent,
      selected: this.#selected.values(),
    } as const;
    if (clear) {
      this.#selected.clear();
      this.#received = 0;
      this.#sent = 0;
    }
    return answer;
  }

  close(): void {
    this.#open = false;
    this.#port.close();
  }

  /** Receives and plays until it is closed; a daemon that went away is waited for. */
  async run(): Promise<void> {
    while (this.#open) {
      this.#receive();
      this.#play();
      await this.#port.wait({ timeoutMs: turnMs });
      // Frames that keep coming must not keep the parent's commands out.
      await new Promise((resolve) => setImmediate(resolve));
    }
  }

  #receive(): void {
    const into = this.#into;
    while (this.#open && this.#port.receiveColumns(into) > 0) {
      this.#received += into.count;
      const lengths = into.lengths.subarray(0, into.count);
      const offsets = into.offsets.subarray(0, into.count);
      const accepted = selectFrames(this.#program, {
        data: into.data,
        offsets,
        capturedLengths: lengths,
        wireLengths: lengths,
      });
      for (let i = 0; i < into.count; i++) {
        if (!accepted[i]) continue;
        const offset = into.offsets[i]!;
        this.#selected.push(frameDigest(into.data.subarray(offset, offset + into.lengths[i]!)));
      }
    }
  }

  #play(): void {
    const playing = this.#playing;
    if (!playing) return;
    playing.due = Math.floor((performance.now() - playing.startMs) * playing.perMs);
    const { frames } = playing;
    while (playing.due > playing.next) {
      const first = playing.next % frames.count;
      const count = Math.min(playing.due - playing.next, frames.count - first, 256);
      const sent = this.#port.sendColumns({ ...frames, count: first + count }, first);
      this.#sent += sent;
      playing.next += sent;
      if (sent === 0) return;
      if (!playing.loop && playing.next >= frames.count) {
        this.#playing = undefined;
        return;
      }
    }
  }
}

let station: Station | undefined;

function answer(message: StationAnswer): void {
  process.send?.(message);
}

process.on("message", (command: StationCommand) => {
  try {
    if (command.kind === "open") {
      station = new Station(command.socket, command.name, command.filter);
      answer({ kind: "opened" });
      station.run().catch((error: Error) => answer({ kind: "failed", message: error.message }));
    } else if (command.kind === "frames") station?.play(command.frames, command.framesPerSecond, command.loop);
    else if (command.kind === "pause") {
      station?.pause();
      answer({ kind: "paused" });
    } else if (command.kind === "report") answer(station!.report(command.clear));
    else {
      station?.close();
      process.disconnect();
    }
  } catch (error) {
    answer({ kind: "failed", message: (error as Error).message });
  }
});
process.on("disconnect", () => process.exit(0));
