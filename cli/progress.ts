// Progress of long work: one line on a terminal that is written over, nothing in a pipe or a file.
import { formatBytes, formatCount } from "./format.js";

const intervalMs = 200;

export class Progress {
  readonly #verb: string;
  #shownMs = 0;

  constructor(verb: string) {
    this.#verb = verb;
  }

  show(frames: number, bytes?: number, note = ""): void {
    const now = Date.now();
    if (!process.stderr.isTTY || now - this.#shownMs < intervalMs) return;
    this.#shownMs = now;
    process.stderr.write(
      `\r\x1b[K${this.#verb} ${formatCount(frames)} frames${bytes === undefined ? "" : `, ${formatBytes(bytes)}`}${note}`,
    );
  }

  /** Clears the line. */
  end(): void {
    if (this.#shownMs > 0) process.stderr.write("\r\x1b[K");
    this.#shownMs = 0;
  }
}

/** A signal that SIGINT and SIGTERM raise: work ends early and properly. A second one ends the program. */
export function interruption(): AbortSignal {
  const controller = new AbortController();
  for (const name of ["SIGINT", "SIGTERM"] as const)
    process.on(name, () => {
      if (controller.signal.aborted) process.exit(1);
      controller.abort();
    });
  return controller.signal;
}
