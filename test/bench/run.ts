import { PasteError } from "../../logger/errors.js";
import { openStore } from "../../logger/reader.js";
import { createStore } from "../../logger/store.js";
import { killCommands } from "../../switch/demo/command.js";
import type { Bench } from "./bench.js";
import { exporting } from "./export.js";
import { extcap } from "./extcap.js";
import { forward } from "./forward.js";
import { indexing } from "./index.js";
import { log } from "./log.js";
import { storeFolder } from "./place.js";
import { ports } from "./ports.js";
import { processes } from "./processes.js";
import { querying } from "./query.js";
import { replay } from "./replay.js";
import { machine, type ReportedRow, reported, table } from "./report.js";
import { runPrograms } from "./run-programs.js";
import { scanning } from "./scan.js";
import { stenoread } from "./stenoread.js";
import { tail } from "./tail.js";
import { tree } from "./tree.js";
import { undoAtEnd } from "./undo.js";

export const benches: Record<string, Bench> = {
  export: exporting,
  extcap,
  forward,
  index: indexing,
  log,
  ports,
  processes,
  query: querying,
  replay,
  run: runPrograms,
  scan: scanning,
  stenoread,
  tail,
  tree,
};

export interface BenchOptions {
  names: string[];
  quick: boolean;
  rounds?: number;
  progress(line: string): void;
}

export interface BenchReport {
  machine: ReturnType<typeof machine>;
  rows: ReportedRow[];
}

/** Runs the benches named (all without a name), one after the other. Throws USAGE for a name that is none. */
export async function runBenches(options: BenchOptions): Promise<BenchReport> {
  const names = options.names.length > 0 ? options.names : Object.keys(benches);
  for (const name of names)
    if (!Object.hasOwn(benches, name))
      throw new PasteError("USAGE", `bench "${name}" is not one of ${Object.keys(benches).join(", ")}`);
  const rounds = options.rounds ?? (options.quick ? 2 : 7);
  const stop = undoAtEnd(killCommands);
  const folder = storeFolder(Math.max(...names.map((name) => benches[name]!.storeBytes)) + 32 * 1024 * 1024);
  try {
    const rows = [];
    for (const name of names) {
      options.progress(`${name}: ${benches[name]!.summary}`);
      rows.push(
        ...(await benches[name]!.run({ quick: options.quick, rounds, folder: folder.path, say: options.progress })),
      );
    }
    return { machine: machine(await mediumOf(folder.path), folder.path), rows: reported(rows) };
  } finally {
    folder.remove();
    stop();
  }
}

async function mediumOf(folder: string): Promise<string> {
  const path = `${folder}/medium.store`;
  await createStore(path, { sizeBytes: 16 * 1024 * 1024 });
  const reader = openStore(path);
  const { medium, fileSystem } = await reader.info();
  reader.close();
  return `${medium} (${fileSystem})`;
}

/** The report for people: the machine in one line, then the table. */
export function benchText({ machine: m, rows }: BenchReport): string {
  const head = `${m.cpu}, ${m.cores} cores, Linux ${m.kernel}, node ${m.node}, revision ${m.revision}; stores on ${m.medium} in ${m.storePath}`;
  return `${head}\n${table(rows)}\n`;
}
