// An export with its manifests, for tests to tamper with; and what is said of one that stopped.
import { readFileSync } from "node:fs";
import { join } from "node:path";
import type { ExecutionContext } from "ava";
import type { Manifest } from "../../../logger/export/manifest.js";
import { type ExportOptions, exportFrames } from "../../../logger/export.js";
import { awkwardFrames } from "../../support/awkward-traffic.js";
import { storeWith, testFolder } from "../store-tools.js";

interface Exported {
  store: string;
  output: string;
  json: string;
  binary: string;
}

export async function exported(
  t: ExecutionContext,
  options: Partial<ExportOptions> = {},
  count = 2600,
): Promise<Exported> {
  const frames = awkwardFrames(91, count).map((frame, i) => ({ ...frame, interface: i % 2 }));
  const store = await storeWith(t, frames, { sizeBytes: 32 << 20 });
  const output = join(testFolder(t), "x.pcapng");
  const report = await exportFrames({ sources: [store], output, manifest: {}, ...options });
  return { store, output: (options.output as string) ?? output, ...report.manifest! };
}

export const manifestIn = (path: string) => (JSON.parse(readFileSync(path, "utf8")) as { manifest: Manifest }).manifest;

/** After how many frames, as the message says, an export was stopped. */
export const framesIn = ({ message }: Error) =>
  Number(/after ([\d,]+) frames?,/.exec(message)![1]!.replaceAll(",", ""));
