import type { Row } from "./report.js";

/** How much a bench does: `quick` is for CI, where it only must not rot. */
export interface Effort {
  quick: boolean;
  rounds: number;
  /** Where stores are made. */
  folder: string;
  /** What is left out, and why. */
  say(line: string): void;
}

export interface Bench {
  summary: string;
  /** Bytes of stores that it makes at the most. */
  storeBytes: number;
  run(effort: Effort): Promise<Row[]>;
}
