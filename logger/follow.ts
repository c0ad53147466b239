// Waiting for more: short looks while records come, longer ones when they stop.

/** A record must be seen within 10 ms of being durable: the longest pause leaves room for a late timer. */
const pauseMaxMs = 4;
const pauseMinMs = 1;
/** Empty looks after which pauses grow. */
const patience = 50;

/** Pauses between looks at a store; an abort ends the pause under way. */
export class Pause {
  readonly #signal: AbortSignal | undefined;
  #empty = 0;

  constructor(signal?: AbortSignal) {
    this.#signal = signal;
  }

  reset(): void {
    this.#empty = 0;
  }

  /** Lets other work of this thread run. */
  turn(): Promise<void> {
    return new Promise((resolve) => setImmediate(resolve));
  }

  wait(): Promise<void> {
    const ms = this.#empty++ < patience ? pauseMinMs : pauseMaxMs;
    return new Promise((resolve) => {
      const done = () => {
        clearTimeout(timer);
        this.#signal?.removeEventListener("abort", done);
        resolve();
      };
      const timer = setTimeout(done, ms);
      this.#signal?.addEventListener("abort", done, { once: true });
    });
  }
}
