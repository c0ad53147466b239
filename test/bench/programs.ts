// Other people's programs: whether they are there, and how long they take to write the packets they find.
import { execFile } from "node:child_process";
import { existsSync } from "node:fs";
import { join } from "node:path";
import { promisify } from "node:util";
import { packageRoot } from "../../native/index.js";

const run = promisify(execFile);
const startMs = 10_000;

export const installed = (program: string): boolean =>
  ["/usr/bin", "/usr/sbin", "/usr/local/bin", "/usr/local/sbin"].some((folder) => existsSync(join(folder, program)));

/** Waits for servers that were started. Throws after ten seconds. */
export async function until(there: () => boolean): Promise<void> {
  const end = Date.now() + startMs;
  while (!there()) {
    if (Date.now() > end) throw new Error("its servers did not come up");
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}

/** A command of this package. */
export function ownCommand(...words: string[]): string[] {
  return [process.execPath, join(packageRoot(), "dist", "cli", "main.cjs"), ...words];
}

/** A store's packets as a pcap file to standard output. */
export function exportCommand(store: string, filter: string): string[] {
  return ownCommand("export", "-r", store, "-F", "pcap", "-w", "-", ...filter.split(" "));
}

export interface Found {
  ms: number;
  packets: number;
}

/** A command that writes a pcap file to standard output: from its start to its end, and the packets that it found. */
export async function timedCapture(
  [program, ...args]: readonly string[],
  env: Record<string, string> = {},
): Promise<Found> {
  const startMs = performance.now();
  const options = { encoding: "buffer", maxBuffer: 2 ** 30, env: { ...process.env, ...env } } as const;
  const { stdout } = await run(program!, args, options);
  return { ms: performance.now() - startMs, packets: packetsIn(stdout) };
}

/** Packets of a pcap file. */
export function packetsIn(file: Buffer): number {
  let count = 0;
  for (let at = 24; at + 16 <= file.length; at += 16 + file.readUInt32LE(at + 8)) count++;
  return count;
}
