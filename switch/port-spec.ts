// Port specifications as they are typed and configured:
//   vale0:NAME                               a port that waits for a program
//   vale0:NAME=pcap:FILE[,speed=X][,loop=N]  a capture as a source, attached under that name
//   pcap:FILE[,speed=X][,loop=N]             the same, attached to vale0 under a name made from the file's
import { basename, isAbsolute, resolve } from "node:path";
import { PasteError } from "../logger/errors.js";

export interface PortSpec {
  /** With its switch: "vale0:a". */
  name: string;
  /** Empty for a vale port; else what the engine opens: "pcap:/absolute/file,speed=1,loop=1". */
  spec: string;
}

/** netmap's rule for names, with its length (IFNAMSIZ - 1). */
const namePattern = /^vale[0-9A-Za-z_]{0,11}:[0-9A-Za-z_]{1,15}$/;
const switchPattern = /^vale[0-9A-Za-z_]{0,11}$/;
const laterKinds: Record<string, string> = {
  netmap: "netmap devices",
  xdp: "AF_XDP ports",
  tap: "TAP devices",
};
const pcapOptions = /,(speed|loop)=([^,]*)$/;

/** Reads a specification; a relative capture path counts from `folder`. Throws USAGE with what is wrong. */
export function parsePortSpec(text: string, folder = process.cwd()): PortSpec {
  const equals = text.indexOf("=");
  const head = text.slice(0, equals < 0 ? undefined : equals);
  if (head.startsWith("vale")) {
    if (!namePattern.test(head)) throw badName(head);
    return { name: head, spec: equals < 0 ? "" : parseSource(text.slice(equals + 1), folder) };
  }
  const spec = parseSource(text, folder);
  return { name: `vale0:${nameOfFile(sourceFile(spec))}`, spec };
}

/** A source by itself: "pcap:FILE,...", with its path made absolute and its options checked. */
export function parseSource(text: string, folder = process.cwd()): string {
  const kind = /^([a-z]+):/.exec(text)?.[1];
  if (kind && kind in laterKinds)
    throw new PasteError(
      "USAGE",
      `port "${text}": ${laterKinds[kind]} are not in this version: use vale0:NAME or pcap:FILE`,
    );
  if (kind !== "pcap")
    throw new PasteError(
      "USAGE",
      `port "${text}": ${kind ? `"${kind}:" is no kind of port` : "no kind"}: use vale0:NAME or pcap:FILE`,
    );
  let file = text.slice("pcap:".length);
  const options: string[] = [];
  for (let match = pcapOptions.exec(file); match; match = pcapOptions.exec(file)) {
    checkPcapOption(text, match[1]!, match[2]!);
    options.unshift(`,${match[1]}=${match[2]}`);
    file = file.slice(0, match.index);
  }
  if (file === "") throw new PasteError("USAGE", `port "${text}": no file is named: write pcap:FILE`);
  return `pcap:${isAbsolute(file) ? file : resolve(folder, file)}${options.join("")}`;
}

function checkPcapOption(text: string, name: string, value: string): void {
  if (name === "speed" && value !== "max" && !(/^\d+(\.\d+)?$/.test(value) && Number(value) > 0))
    throw new PasteError("USAGE", `port "${text}": speed=${value}: write a factor such as 1 or 2.5, or max`);
  if (name === "loop" && !/^\d{1,9}$/.test(value))
    throw new PasteError("USAGE", `port "${text}": loop=${value}: write how often to play the file, 0 for ever`);
}

/** The capture of a source that parseSource() made. */
export function sourceFile(spec: string): string {
  let file = spec.slice("pcap:".length);
  while (pcapOptions.test(file)) file = file.replace(pcapOptions, "");
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

function nameOfFile(file: string): string {
  const stem = basename(file).replace(/\.(pcap|pcapng|cap)$/i, "");
  return stem.replace(/[^0-9A-Za-z_]/g, "_").slice(0, 15) || "pcap";
}
