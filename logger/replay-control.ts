// A hand on a replay that runs: pause, go on, one frame at a time; from a program or from a keyboard.
import { readFileSync } from "node:fs";
import type { NativeReplay } from "../native/replay.js";

/** Give it to `replayFrames`; what is said before the replay begins holds from its first frame on. */
export class ReplayControl {
  #replay: Pick<NativeReplay, "pause" | "resume" | "step"> | undefined;
  #paused = false;
  #earlySteps = 0;

  get paused(): boolean {
    return this.#paused;
  }

  /** The replay calls it. */
  attach(replay: Pick<NativeReplay, "pause" | "resume" | "step">): void {
    this.#replay = replay;
    if (this.#paused) replay.pause();
    for (; this.#earlySteps > 0; this.#earlySteps--) replay.step();
  }

  /** Time stands still for the frames that wait. */
  pause(): void {
    this.#paused = true;
    this.#replay?.pause();
  }

  resume(): void {
    this.#paused = false;
    this.#earlySteps = 0;
    this.#replay?.resume();
  }

  /** Sends the next frame at once, and pauses. */
  step(): void {
    this.#paused = true;
    if (this.#replay) this.#replay.step();
    else this.#earlySteps++;
  }
}

/** What a keyboard is read from: process.stdin, as far as it is a terminal. */
export interface KeyboardSource {
  isTTY?: boolean;
  setRawMode?(raw: boolean): unknown;
  on(event: "data", listener: (data: Buffer) => void): unknown;
  off(event: "data", listener: (data: Buffer) => void): unknown;
  resume(): unknown;
  pause(): unknown;
}

export const keysText = "space pauses and goes on, n or enter sends the next frame, q ends";

/**
 * Whether this process is in front on its terminal: one behind ("&") is halted by the kernel as soon as it changes or reads the
 * terminal. True where the kernel does not say.
 */
function inForeground(): boolean {
  try {
    // The name in parentheses may hold anything; behind it: state, parent, process group, session, terminal, its foreground group.
    const stat = readFileSync("/proc/self/stat", "latin1");
    const [, , group, , , front] = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
    return Number(front) <= 0 || group === front;
  } catch {
    return true;
  }
}

/**
 * Reads keys until the function that it returns is called: space pauses and goes on, n or enter sends one frame, q and ctrl-c
 * call `end`. The terminal is itself again afterwards, also when the process ends on its way. Does nothing, and returns
 * nothing, where `input` is no terminal or belongs to another process at the time.
 */
export function controlByKeyboard(
  input: KeyboardSource,
  control: ReplayControl,
  end: () => void,
): (() => void) | undefined {
  if (!input.isTTY || !input.setRawMode || !inForeground()) return undefined;
  const keys = (data: Buffer) => {
    for (const key of data.toString("latin1")) {
      if (key === " ") control.paused ? control.resume() : control.pause();
      else if (key === "n" || key === "\r" || key === "\n") control.step();
      else if (key === "q" || key === "\x03") end();
    }
  };
  const restore = () => input.setRawMode?.(false);
  process.once("exit", restore);
  input.setRawMode(true);
  input.on("data", keys);
  input.resume();
  return () => {
    input.off("data", keys);
    input.pause();
    restore();
    process.off("exit", restore);
  };
}
