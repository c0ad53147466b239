// tcpdump as the oracle of printed lines.
import { spawnSync } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { CaptureBatch } from "../../../logger/capture/capture.js";
import { PcapWriter } from "../../../logger/capture/pcap-writer.js";
import type { PrintablePacket } from "../../../logger/print/packet.js";

/** Why tcpdump cannot be asked here: its releases print some things differently, and ours follows 4.99. */
export function noPrinter(): string | undefined {
  const { stdout, stderr, error } = spawnSync("tcpdump", ["--version"], { encoding: "utf8" });
  if (error) return "tcpdump is not installed";
  const version = /tcpdump version (\S+)/.exec(`${stdout}${stderr}`)?.[1] ?? "unknown";
  return version.startsWith("4.99.") ? undefined : `tcpdump is version ${version}, not 4.99`;
}

/** What `tcpdump -n` with these options prints for the frames; times are in UTC. */
export function tcpdumpPrints(batch: CaptureBatch, args: readonly string[]): string {
  const folder = mkdtempSync(join(tmpdir(), "paste-switch-print-"));
  try {
    const path = join(folder, "frames.pcap");
    const writer = new PcapWriter({ nanoseconds: true });
    writeFileSync(path, Buffer.concat([writer.header(), writer.append(batch)]));
    const result = spawnSync("tcpdump", ["-n", "--nano", "-r", path, ...args], {
      encoding: "latin1",
      maxBuffer: 2 ** 30,
      env: { ...process.env, TZ: "UTC" },
    });
    if (result.status !== 0) throw new Error(result.stderr);
    return result.stdout;
  } finally {
    rmSync(folder, { recursive: true });
  }
}

export function packetsOf(batch: CaptureBatch): PrintablePacket[] {
  return Array.from({ length: batch.count }, (_, i) => ({
    bytes: batch.data.subarray(batch.offsets[i]!, batch.offsets[i]! + batch.capturedLengths[i]!),
    timeNs: batch.timesNs[i]!,
    wireLength: batch.wireLengths[i]!,
  }));
}

/**
 * Whether two lines are the same up to what an application says: there tcpdump goes on, or says it instead of "UDP, length 5".
 */
export function sameUpToApplication(ours: string, theirs: string): boolean {
  if (
    ours === theirs ||
    (/length \d+$/.test(ours) && /^(:| \[| \d)/.test(theirs.slice(ours.length)) && theirs.startsWith(ours))
  )
    return true;
  const head = ours.replace(/UDP, (bad length \d+ > \d+|length \d+)$/, "");
  return head !== ours && theirs.startsWith(head);
}
