// What a command reads: the stores and captures of -r, by default the running daemon's store, and what of them.
import { type Command, repeated } from "./commander.js";
import type { InstanceFlags } from "./connect.js";

export interface CaptureFlags {
  synthEthernet?: boolean;
  allowTruncated?: boolean;
}
export interface SourceFlags extends InstanceFlags, CaptureFlags {
  read?: string[];
}
export interface RangeFlags extends SourceFlags {
  snaplen?: string;
  from?: string;
  to?: string;
}

export const filterArgument = ["[filter...]", "pcap-filter(7), and words about records; none: every frame"] as const;

/** The filter and -r; addCaptureOptions() has the rest of SourceFlags. */
export function addSourceOptions(command: Command): Command {
  return command
    .argument(...filterArgument)
    .option(
      "-r, --read <source>",
      "a store or a capture; may be repeated (default: the running daemon's store)",
      repeated,
    );
}

export function addCaptureOptions(command: Command): Command {
  return command
    .option("--synth-ethernet", "give frames of captures without Ethernet headers some")
    .option("--allow-truncated", "a capture that ends inside a frame is a warning, not an error");
}

export function captureOptions({ synthEthernet, allowTruncated }: CaptureFlags) {
  return {
    ...(synthEthernet && { synthesizeEthernet: true }),
    ...(allowTruncated && { allowTruncated: true }),
  };
}

export async function sourceOptions(words: string[], flags: SourceFlags) {
  return { filter: words.join(" "), sources: await readSources(flags.read, flags), ...captureOptions(flags) };
}

/** -s; 0 stands for whole frames, as with tcpdump. Throws USAGE. */
export async function snaplenOption(text?: string): Promise<{ snaplen?: number }> {
  const { parseWhole } = await import("../switch/units.js");
  const snaplen = text === undefined ? 0 : parseWhole(text, "-s", 0, 262144);
  return snaplen > 0 ? { snaplen } : {};
}

/** sourceOptions() with which frames of a store, and how much of each. Throws USAGE. */
export async function rangeOptions(words: string[], flags: RangeFlags) {
  const { snaplen, from, to } = flags;
  const { parseSequence } = await import("../switch/units.js");
  return {
    ...(await sourceOptions(words, flags)),
    ...(await snaplenOption(snaplen)),
    ...(from !== undefined && { fromSequence: parseSequence(from, "--from") }),
    ...(to !== undefined && { toSequence: parseSequence(to, "--to") }),
  };
}

/** The store of a command that reads one. */
export async function readStore(flags: InstanceFlags & { read?: string }): Promise<string> {
  const [store] = await readSources(flags.read === undefined ? undefined : [flags.read], flags);
  return store!;
}

export async function readSources(named: string[] | undefined, flags: InstanceFlags): Promise<string[]> {
  if (named !== undefined && named.length > 0) return named;
  const { PasteError } = await import("../logger/errors.js");
  const { locateInstance } = await import("../switch/instance.js");
  const { control } = locateInstance(flags);
  const store = await daemonStore(flags).catch((error) => {
    if (!(error instanceof PasteError)) throw error;
    throw new PasteError(error.code, `nothing to read: name a store or a capture with -r (${error.message})`, {
      cause: error,
    });
  });
  if (store !== undefined) return [store];
  throw new PasteError("STORE", `the daemon at ${control} runs without a store: name one with -r`);
}

/** The store of the daemon, or the one that it would have when it ran; undefined when it runs without one. Throws CONTROL or PRIVILEGE. */
export async function daemonStore(flags: InstanceFlags): Promise<string | undefined> {
  const { existsSync } = await import("node:fs");
  const { PasteError } = await import("../logger/errors.js");
  const { withDaemon } = await import("./connect.js");
  const { locateInstance } = await import("../switch/instance.js");
  try {
    const { storePath } = await withDaemon(flags, (client) => client.call("stats", {}));
    return storePath || undefined;
  } catch (error) {
    if (!(error instanceof PasteError)) throw error;
    const { store } = locateInstance(flags);
    if (existsSync(store)) return store;
    throw error;
  }
}
