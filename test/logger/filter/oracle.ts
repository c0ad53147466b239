// What tcpdump selects: the frames are written to a capture in which a frame's time is its number, so that tcpdump's output
// says which ones it let through.
import { spawnSync } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { TestFrame } from "./frames.js";

const fileHeaderSize = 24;
const recordHeaderSize = 16;

/**
 * Why tcpdump cannot be asked here, or undefined if it can: it must stand on libpcap 1.10, because its releases differ in
 * corners (what a load rejects, what a comparison requires), and 1.10 is what the filter language follows.
 */
export function noOracle(): string | undefined {
  const { stdout, stderr, error } = spawnSync("tcpdump", ["--version"], { encoding: "utf8" });
  if (error) return "tcpdump is not installed";
  const version = /libpcap version (\S+)/.exec(`${stdout}${stderr}`)?.[1] ?? "unknown";
  return version.startsWith("1.10.") ? undefined : `tcpdump stands on libpcap ${version}, not 1.10`;
}

export interface Oracle {
  /** Numbers of the frames that tcpdump selects, or its complaint about the filter. */
  select(filter: string, ...options: string[]): number[] | string;
  close(): void;
}

export function openOracle(frames: readonly TestFrame[]): Oracle {
  const folder = mkdtempSync(join(tmpdir(), "paste-switch-filter-"));
  const path = join(folder, "frames.pcap");
  writeFileSync(path, capture(frames));
  return {
    select(filter, ...options) {
      const result = spawnSync("tcpdump", ["-r", path, "-w", "-", ...options, "--", filter], { maxBuffer: 2 ** 30 });
      if (result.status === 0) return times(result.stdout);
      // tcpdump refuses a filter of which its optimiser finds out that it selects nothing.
      if (result.stderr.includes("expression rejects all packets")) return [];
      const lines = result.stderr.toString().trim().split("\n");
      return lines.at(-1)!.replace(/^tcpdump: (can't parse filter expression: )?/, "");
    },
    close: () => rmSync(folder, { recursive: true }),
  };
}

function capture(frames: readonly TestFrame[]): Buffer {
  const header = Buffer.alloc(fileHeaderSize);
  header.writeUInt32LE(0xa1b2c3d4);
  header.writeUInt16LE(2, 4);
  header.writeUInt16LE(4, 6);
  header.writeUInt32LE(262144, 16);
  header.writeUInt32LE(1, 20);
  const records = frames.flatMap(({ data, wireLength }, index) => {
    const record = Buffer.alloc(recordHeaderSize);
    for (const [place, value] of [index, 0, data.length, wireLength].entries()) record.writeUInt32LE(value, place * 4);
    return [record, data];
  });
  return Buffer.concat([header, ...records]);
}

function times(output: Buffer): number[] {
  const found: number[] = [];
  for (let at = fileHeaderSize; at < output.length; at += recordHeaderSize + output.readUInt32LE(at + 8))
    found.push(output.readUInt32LE(at));
  return found;
}
