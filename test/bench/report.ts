// How results look: one row a measurement, a table for people and JSON for programs, and the machine they were measured on.
import { execFileSync } from "node:child_process";
import { cpus, release } from "node:os";
import { packageRoot } from "../../native/index.js";
import { medianRatio, type Summary, summarize } from "./statistics.js";

/** One measured thing: `samples` in `unit`, one a round; `pairedWith` names the row that was measured in turn with it. */
export interface Row {
  bench: string;
  what: string;
  sizeBytes?: number;
  unit: string;
  samples: number[];
  pairedWith?: string;
  note?: string;
}

export interface Machine {
  cpu: string;
  cores: number;
  kernel: string;
  node: string;
  revision: string;
  medium: string;
  storePath: string;
}

/** The machine and the tree that the figures belong to. `revision` is "unknown" outside a git checkout. */
export function machine(medium: string, storePath: string): Machine {
  const list = cpus();
  return {
    cpu: list[0]?.model.trim() ?? "unknown",
    cores: list.length,
    kernel: release(),
    node: process.version,
    revision: revision(),
    medium,
    storePath,
  };
}

function revision(): string {
  try {
    const stdio: ("ignore" | "pipe")[] = ["ignore", "pipe", "ignore"];
    return execFileSync("git", ["describe", "--always", "--dirty"], {
      cwd: packageRoot(),
      encoding: "utf8",
      stdio,
    }).trim();
  } catch {
    return "unknown";
  }
}

export interface ReportedRow extends Omit<Row, "samples">, Summary {
  /** Median of the pairwise ratios to the row named by pairedWith; neither is there where that row is not, or has other rounds. */
  ratio?: number;
}

export function reported(rows: readonly Row[]): ReportedRow[] {
  return rows.map(({ samples, pairedWith, ...row }) => {
    const pair = rows.find(
      (other) => other.what === pairedWith && other.bench === row.bench && other.sizeBytes === row.sizeBytes,
    );
    const ratio =
      pair && pair.samples.length === samples.length
        ? { pairedWith: pair.what, ratio: medianRatio(samples, pair.samples) }
        : {};
    return { ...row, ...summarize(samples), ...ratio };
  });
}

const figure = (value: number) =>
  value >= 1000 ? value.toFixed(0) : value >= 100 ? value.toFixed(1) : value.toFixed(2);

/** The table: what, size, median, min, max, n, unit, ratio. */
export function table(rows: readonly ReportedRow[]): string {
  const head = ["bench", "what", "bytes", "median", "min", "max", "n", "unit", "ratio", "against / note"];
  const body = rows.map((row) => [
    row.bench,
    row.what,
    row.sizeBytes === undefined ? "" : String(row.sizeBytes),
    figure(row.median),
    figure(row.min),
    figure(row.max),
    String(row.n),
    row.unit,
    row.ratio === undefined ? "" : row.ratio.toFixed(2),
    [row.pairedWith, row.note].filter(Boolean).join("; "),
  ]);
  const rightAligned = new Set([2, 3, 4, 5, 6, 8]);
  const widths = head.map((title, column) => Math.max(title.length, ...body.map((cells) => cells[column]!.length)));
  const line = (cells: string[]) =>
    cells
      .map((cell, column) => (rightAligned.has(column) ? cell.padStart(widths[column]!) : cell.padEnd(widths[column]!)))
      .join("  ")
      .trimEnd();
  return [line(head), ...body.map(line)].join("\n");
}
