// Port specifications as they are typed and configured:
//   vale0:NAME                               a port that waits for a program
//   vale0:NAME=KIND:...                      a port on something else, attached under that name
//   tap:IF, xdp:IF[@Q|@all], netmap:IF       a device (port-kinds.ts); without a name it is called vale0:IF
//   pcap:FILE[,speed=X][,loop=N]             a capture as a source; without a name it is called like the file
// Each may be followed by options of its kind and by those that every port has (port-options.ts).
import { basename, isAbsolute, resolve } from "node:path";
import { PasteError } from "../logger/errors.js";
import { deviceKinds, parseDevice, parseOption, unknownOption } from "./port-kinds.js";
import {
  buildPortOptions,
  commonOptions,
  isCommonOption,
  type OptionPair,
  optionProblem,
  type PortOptions,
  portOptionsText,
} from "./port-options.js";

export interface PortSpec {
  /** With its switch: "vale0:a". */
  name: string;
  /** Empty for a vale port; else what the engine opens: "pcap:/absolute/file,speed=1,loop=1", "tap:t0,queues=2". */
  spec: string;
  options: PortOptions;
}

/** netmap's rule for names, with its length (IFNAMSIZ - 1). */
const namePattern = /^vale[0-9A-Za-z_]{0,11}:[0-9A-Za-z_]{1,15}$/;
const switchPattern = /^vale[0-9A-Za-z_]{0,11}$/;
/** The file's name may hold commas and equal signs: options are looked for from the end. */
const pcapOption = new RegExp(`,(speed|loop|${commonOptions.join("|")})=([^,]*)$`);
export const portKindsText = `vale0:NAME, ${Object.values(deviceKinds)
  .map(({ usage }) => usage)
  .join(", ")} or pcap:FILE`;

/**
 * Reads a specification; a relative capture path counts from `folder`. `more`: options from elsewhere, which must not be in
 * the text, too. Throws USAGE with what is wrong.
 */
export function parsePortSpec(text: string, folder = process.cwd(), more: readonly OptionPair[] = []): PortSpec {
  const named = /^(vale[^=,]*)(?:([=,])(.*))?$/s.exec(text);
  if (named && !namePattern.test(named[1]!)) throw badName(named[1]!);
  const source = named && named[2] !== "=" ? valePort(named[3], text) : parseSource(named?.[3] ?? text, folder);
  const name = named?.[1] ?? `vale0:${source.stem}`;
  const options = buildPortOptions(name, [...source.pairs, ...more]);
  if (source.spec.startsWith("pcap:") && options.mirror.length > 0)
    throw new PasteError("USAGE", `port "${text}": mirror: a capture only gives frames, it cannot watch`);
  return { name, spec: source.spec, options };
}

/** The specification as it can be typed anywhere: with its name, and a capture's path absolute. */
export function portSpecText({ name, spec, options }: PortSpec): string {
  return `${name}${spec === "" ? "" : `=${spec}`}${portOptionsText(options)}`;
}

interface Source {
  spec: string;
  pairs: OptionPair[];
  /** What a port without a name is called after. */
  stem: string;
}

function valePort(options: string | undefined, text: string): Source {
  const pairs = options === undefined ? [] : options.split(",").map(parseOption);
  for (const pair of pairs) {
    const problem = isCommonOption(pair[0]) ? optionProblem(pair) : unknownOption(pair[0], "");
    if (problem) throw new PasteError("USAGE", `port "${text}": ${problem}`);
  }
  return { spec: "", pairs, stem: "" };
}

/** What stands behind "NAME=", or by itself: "KIND:...". */
function parseSource(text: string, folder: string): Source {
  const kind = /^([a-z]+):/.exec(text)?.[1];
  const rest = text.slice((kind?.length ?? 0) + 1);
  if (kind === "pcap") return parseCapture(rest, folder, text);
  if (kind !== undefined && Object.hasOwn(deviceKinds, kind)) {
    const { spec, pairs } = parseDevice(kind, rest, text);
    return { spec, pairs, stem: sanitized(rest.split(",")[0]!.replace(/@all$/, "")) };
  }
  throw new PasteError(
    "USAGE",
    `port "${text}": ${kind ? `"${kind}:" is no kind of port` : "no kind"}: use ${portKindsText}`,
  );
}

function parseCapture(rest: string, folder: string, text: string): Source {
  let file = rest;
  let own = "";
  const pairs: OptionPair[] = [];
  for (let match = pcapOption.exec(file); match; match = pcapOption.exec(file)) {
    const pair: OptionPair = [match[1]!, match[2]!];
    const problem = isCommonOption(pair[0]) ? optionProblem(pair) : pcapProblem(pair);
    if (problem) throw new PasteError("USAGE", `port "${text}": ${problem}`);
    if (isCommonOption(pair[0])) pairs.unshift(pair);
    else own = `,${pair.join("=")}${own}`;
    file = file.slice(0, match.index);
  }
  if (file === "") throw new PasteError("USAGE", `port "${text}": no file is named: write pcap:FILE`);
  const stem = sanitized(basename(file).replace(/\.(pcap|pcapng|cap)$/i, "")) || "pcap";
  return { spec: `pcap:${isAbsolute(file) ? file : resolve(folder, file)}${own}`, pairs, stem };
}

function pcapProblem([name, value]: OptionPair): string | undefined {
  if (name === "speed" && value !== "max" && !(/^\d+(\.\d+)?$/.test(value) && Number(value) > 0))
    return `speed=${value}: write a factor such as 1 or 2.5, or max`;
  if (name === "loop" && !/^\d{1,9}$/.test(value)) return `loop=${value}: write how often to play the file, 0 for ever`;
  return undefined;
}

/** The capture of a specification's source; undefined when it is none. */
export function sourceFile(spec: string): string | undefined {
  if (!spec.startsWith("pcap:")) return undefined;
  let file = spec.slice("pcap:".length);
  while (pcapOption.test(file)) file = file.replace(pcapOption, "");
  return file;
}

/** Checks a port's full name, such as "vale0:a". */
export function checkPortName(name: string): string {
  if (!namePattern.test(name)) throw badName(name);
  return name;
}

/** Checks the name of a switch, such as "vale0". */
export function checkSwitchName(name: string): string {
  if (!switchPattern.test(name))
    throw new PasteError("USAGE", `switch "${name}": write vale and up to 11 letters or digits, such as vale0`);
  return name;
}

function badName(name: string): PasteError {
  return new PasteError(
    "USAGE",
    `port "${name}": a name is SWITCH:PORT such as vale0:a, of letters, digits and _, each part at most 15 long`,
  );
}

/** As the part of a port's name behind the colon. */
function sanitized(text: string): string {
  return text.replace(/[^0-9A-Za-z_]/g, "_").slice(0, 15);
}
