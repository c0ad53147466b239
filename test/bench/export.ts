// Everything of a store written to a capture file, beside tcpdump and editcap, which copy the same packets from a file that this export wrote.
import { spawnSync } from "node:child_process";
import { rmSync, statSync } from "node:fs";
import { join } from "node:path";
import { exportFrames } from "../../logger/export.js";
import type { Bench, Effort } from "./bench.js";
import { imix, mixedStore, recordBytes } from "./mixed-frames.js";
import { installed } from "./programs.js";
import type { Row } from "./report.js";

/** About what is exported, as records of the store. */
const dataBytes = 320 << 20;

interface Side {
  name: string;
  /** Writes everything to /dev/null; throws when that fails. */
  run(): Promise<void> | void;
}

function program(name: string, args: (capture: string) => string[], capture: string, say: Effort["say"]): Side[] {
  if (!installed(name)) {
    say(`export: ${name} is not installed, its rows are left out`);
    return [];
  }
  const run = () => {
    const { status, stderr } = spawnSync(name, args(capture));
    if (status !== 0) throw new Error(`${name}: ${stderr.toString().trim()}`);
  };
  return [{ name, run }];
}

/** Bytes of frames, which all sides copy, whatever their files hold beside them. */
function frameBytes(sizes: readonly number[], frames: number): number {
  const round = sizes.reduce((sum, size) => sum + size, 0);
  return (
    Math.floor(frames / sizes.length) * round +
    sizes.slice(0, frames % sizes.length).reduce((sum, size) => sum + size, 0)
  );
}

export const exporting: Bench = {
  summary:
    "a whole store to /dev/null as pcapng and nanosecond pcap, beside tcpdump -r -w and editcap on the same packets",
  // The store, and the same frames in two captures.
  storeBytes: dataBytes * 4,
  async run({ quick, rounds, folder, say }) {
    const rows: Row[] = [];
    const mixes: [string, number | undefined, readonly number[]][] = [
      ["1514 bytes", 1514, [1514]],
      ["IMIX", undefined, imix],
    ];
    for (const [mix, sizeBytes, sizes] of mixes) {
      const store = join(folder, "export.store");
      const frames = quick ? 20_000 : Math.floor(dataBytes / recordBytes(sizes));
      await mixedStore(store, frames, { sizes });
      const bytes = frameBytes(sizes, frames);
      for (const [format, capture] of [
        ["pcapng", join(folder, "export.pcapng")],
        ["nsecpcap", join(folder, "export.pcap")],
      ] as const) {
        // What the others read has the frames and nothing beside them: comments and hashes would slow them down.
        await exportFrames({ sources: [store], output: join(folder, "export.pcap"), format: "nsecpcap" });
        if (format === "pcapng")
          await exportFrames({ sources: [join(folder, "export.pcap")], output: capture, format });
        const ours = async () => void (await exportFrames({ sources: [store], output: "/dev/null", format }));
        const nano = format === "nsecpcap" ? ["--time-stamp-precision=nano"] : [];
        const sides: Side[] = [
          { name: "paste-switch", run: ours },
          ...program("tcpdump", (from) => [...nano, "-r", from, "-w", "/dev/null"], capture, say),
          ...program(
            "editcap",
            (from) => ["-F", format === "pcapng" ? "pcapng" : "nsecpcap", from, "/dev/null"],
            capture,
            say,
          ),
        ];
        const measured = sides.map(({ name }, i): Row => {
          const what = `${mix}, ${format}: ${name}`;
          const shared = {
            bench: "export",
            what,
            unit: "GB/s",
            samples: [] as number[],
            ...(sizeBytes && { sizeBytes }),
          };
          return i === 0 ? shared : { ...shared, pairedWith: `${mix}, ${format}: paste-switch` };
        });
        for (let round = -1; round < rounds; round++)
          for (const [i, { run }] of sides.entries()) {
            const startMs = performance.now();
            await run();
            if (round >= 0) measured[i]!.samples.push(bytes / (performance.now() - startMs) / 1e6);
          }
        rows.push(...measured);
        if (statSync(capture).size < bytes) throw new Error(`${capture} lacks frames`);
      }
      for (const name of ["export.store", "export.pcapng", "export.pcap"]) rmSync(join(folder, name));
    }
    return rows;
  },
};
