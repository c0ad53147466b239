// How far behind a tail is: a frame is sent into a running switch, and seen as a line of another process. The log's line can only come when
// the record is durable, so the time includes what that takes; a port's line comes beside it.
import { spawn } from "node:child_process";
import { join } from "node:path";
import { createStore } from "../../logger/store.js";
import { createEngine } from "../../native/engine.js";
import { packageRoot } from "../../native/load.js";
import { openPort, type PortClient } from "../../native/port-client.js";
import type { Bench } from "./bench.js";
import { engineDefaults, rule } from "./engine-options.js";
import type { Row } from "./report.js";

const storeBytes = 64 << 20;
const cli = join(packageRoot(), "dist", "cli", "main.cjs");

/** A broadcast with its number in it. */
function numbered(number: number): Buffer {
  const frame = Buffer.alloc(60);
  frame.write("ffffffffffff020000000001", 0, "hex");
  frame.writeUInt16BE(0x88b5, 12);
  frame.writeUInt32BE(number, 14);
  return frame;
}

/** A tail in a process of its own; `next` resolves with the time at which its next line came. */
class TailProcess {
  readonly #child;
  #lines = 0;
  #wanted: (() => void) | undefined;

  constructor(args: readonly string[], control: string) {
    this.#child = spawn(process.execPath, [cli, "tail", "--jsonl", ...args], {
      env: { ...process.env, PASTE_SWITCH_CONTROL: control },
      stdio: ["ignore", "pipe", "ignore"],
    });
    this.#child.stdout.on("data", (chunk: Buffer) => {
      for (const byte of chunk) if (byte === 10) this.#lines++;
      this.#wanted?.();
    });
  }

  /** Until it has printed so many lines. */
  async printed(lines: number): Promise<void> {
    while (this.#lines < lines)
      await new Promise<void>((resolve) => {
        this.#wanted = resolve;
      });
  }
  get lines(): number {
    return this.#lines;
  }
  end(): Promise<void> {
    const closed = new Promise<void>((resolve) => this.#child.on("close", () => resolve()));
    this.#child.kill("SIGINT");
    return closed;
  }
}

const quantile = (sorted: readonly number[], q: number) =>
  sorted[Math.min(sorted.length - 1, Math.floor(q * sorted.length))]!;
const sleep = (ms: number) => new Promise((resolve) => setTimeout(resolve, ms));

/** Frames one by one, at irregular times; how long each took to be printed, in ms. */
async function lags(
  [port, sink]: readonly [PortClient, PortClient],
  tail: TailProcess,
  frames: number,
): Promise<number[]> {
  // Until it follows: the first that it prints.
  for (let number = 0; tail.lines === 0; number++) {
    await port.sendAll([numbered(number)]);
    await sleep(20);
  }
  await sleep(100);
  const found: number[] = [];
  for (let number = 0; number < frames; number++) {
    const before = tail.lines;
    const start = performance.now();
    await port.sendAll([numbered(number)]);
    await tail.printed(before + 1);
    found.push(performance.now() - start);
    sink.receive();
    await sleep(1 + ((number * 7) % 23));
  }
  return found.sort((a, b) => a - b);
}

export const tail: Bench = {
  summary: "from a frame's sending to its line in another process: the log, strict, and a port",
  storeBytes,
  async run({ quick, rounds, folder }) {
    const store = join(folder, "tail.store");
    await createStore(store, { sizeBytes: storeBytes });
    const control = join(folder, "control.sock");
    const engine = await createEngine({
      ...engineDefaults,
      portsSocket: join(folder, "ports.sock"),
      store: { path: store, full: "overwrite", blockTimeoutMs: 1000 },
    });
    engine.setRules([rule("", { name: "all" })], "[]");
    engine.start();
    const open = (name: string) => openPort({ socket: join(folder, "ports.sock"), name, reconnectMs: 0 });
    const ports = [open("vale0:a"), open("vale0:b")] as const;
    const ways: [string, string[]][] = [
      ["log", ["-r", store]],
      ["port", ["-i", "any"]],
    ];
    const rows: Row[] = ways.flatMap(([what]) =>
      ["p50", "p99"].map((part) => ({ bench: "tail", what: `${what}, ${part}`, unit: "ms", samples: [] })),
    );
    try {
      for (let round = 0; round < (quick ? 1 : rounds); round++)
        for (const [i, [, args]] of ways.entries()) {
          const tail = new TailProcess(args, control);
          const found = await lags(ports, tail, quick ? 20 : 300);
          await tail.end();
          rows[2 * i]!.samples.push(quantile(found, 0.5));
          rows[2 * i + 1]!.samples.push(quantile(found, 0.99));
        }
    } finally {
      for (const port of ports) port.close();
      await engine.drain();
    }
    return rows;
  },
};
