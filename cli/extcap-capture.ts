// A capture for Wireshark: what the dialog chose, as options of tail and export, written as pcapng into the pipe that Wireshark made.
import { createWriteStream } from "node:fs";
import type { Writable } from "node:stream";
import { PasteError } from "../logger/errors.js";
import { compileFilter } from "../logger/filter/compile.js";
import { parseTimeOption } from "../logger/filter/times.js";
import { parseWhole } from "../switch/units.js";
import { type InstanceFlags, withDaemon } from "./connect.js";
import type { ExtcapArguments } from "./extcap-main.cjs";
import { damageText, formatOf, onOvertaken, overtakenText } from "./format.js";
import { interruption } from "./progress.js";
import { daemonStore } from "./sources.js";

const say = (text: string) => process.stderr.write(`paste-switch: ${text}\n`);

/** The lines that Wireshark shows beside a capture filter that is wrong; none when it is right. */
export function checkFilter(filter: string): string[] {
  try {
    compileFilter(filter, { record: "store" });
    return [];
  } catch (error) {
    const message = (error as Error).message.replace(/\s*\n\s*/g, " ");
    say(message);
    return [message];
  }
}

/** Captures until there is no more, the pipe's reader goes, or SIGTERM comes. Throws PasteError. */
export async function capture(name: string, asked: ExtcapArguments): Promise<void> {
  const fifo = asked.get("--fifo") ?? "";
  if (fifo === "") throw new PasteError("USAGE", "--capture needs --fifo FILE: where to write to");
  const output = createWriteStream(fifo, { flags: "w" });
  output.on("error", () => {}); // a reader that goes away ends the capture; the writer hears of it by its own call
  // Whatever is wrong is said behind this: a pipe that never had a writer has no end, and Wireshark would wait for one.
  await new Promise((resolve) => output.once("open", resolve).once("error", resolve));
  const filter = filterOf(asked);
  const snaplen = parseWhole(asked.get("--snaplen") || "262144", "Bytes of a frame at most", 1, 262_144);
  const common = { output, filter, snaplen, signal: interruption() };
  const ended = await (name === "paste-switch-query" ? query(asked, common) : tail(asked, common));
  if (ended === "closed") output.destroy();
  else await new Promise<void>((resolve) => output.end(() => resolve()));
  // A failure is what Wireshark shows; a capture in which nothing can come any more would look like a quiet network.
  if (ended === "stopped")
    throw new PasteError(
      "STORE",
      "no daemon runs (any more): start one and capture again; what it kept is shown by paste-switch-query",
    );
}

interface Common {
  output: Writable;
  filter: string;
  snaplen: number;
  signal: AbortSignal;
}

/** The instance, or the socket, that the dialog chose. The one called "default" may be elsewhere by the environment. */
function instanceOf(asked: ExtcapArguments): InstanceFlags {
  const instance = asked.get("--instance") || "default";
  if (instance.includes("/")) return { control: instance };
  return instance === "default" ? {} : { name: instance };
}

/** The dialog's fields and Wireshark's capture filter as one filter. What is wrong is told of its own field. Throws USAGE or FILTER. */
function filterOf(asked: ExtcapArguments): string {
  for (const [option, field] of [
    ["--from", "From"],
    ["--to", "To"],
  ] as const) {
    const time = asked.get(option)?.trim();
    if (time) parseTimeOption(time, field);
  }
  for (const option of ["--filter", "--extcap-capture-filter"])
    compileFilter(asked.get(option) ?? "", { record: "store" });
  const one = (option: string, word: string) => {
    const value = asked.get(option)?.trim();
    return value ? [`${word} ${value}`] : [];
  };
  const whole = (option: string) => {
    const value = asked.get(option)?.trim();
    return value ? [`(${value})`] : [];
  };
  const parts = [
    ...one("--from", "after"),
    ...one("--to", "before"),
    ...one("--in-port", "in-port"),
    ...one("--rule", "rule"),
    ...whole("--filter"),
    ...whole("--extcap-capture-filter"),
  ];
  const filter = parts.join(" and ");
  compileFilter(filter, { record: "store" });
  return filter;
}

/** Asks the daemon that the dialog chose. Where none runs, the dialog's fields are named instead of a command's options. */
async function ofDaemon<T>(asked: ExtcapArguments, ask: (flags: InstanceFlags) => Promise<T>): Promise<T> {
  const { locateInstance } = await import("../switch/instance.js");
  const { isNoDaemon } = await import("../switch/control-client.js");
  const flags = instanceOf(asked);
  return ask(flags).catch((cause) => {
    if (!isNoDaemon(cause)) throw cause;
    const fields = asked.get("--extcap-interface") === "paste-switch-query" ? ', or a file as "Store"' : "";
    const message = `no daemon answers at ${locateInstance(flags).control}: start one, or choose another as "Switch"${fields}`;
    throw new PasteError("CONTROL", message, { cause });
  });
}

/** The chosen daemon's store. `instead`: what can be chosen where it has none. */
async function storeOf(asked: ExtcapArguments, instead: string): Promise<string> {
  const store = await ofDaemon(asked, daemonStore);
  if (store === undefined) throw new PasteError("STORE", `this daemon runs without a store: choose ${instead}`);
  return store;
}

async function tail(asked: ExtcapArguments, common: Common): Promise<string> {
  const missed = (frames: number) => say(`${formatOf(frames, "frame")} missed: they came faster than they were read`);
  if (asked.get("--source") === "ports") {
    const { locateInstance } = await import("../switch/instance.js");
    const { tailPort } = await import("../switch/tap.js");
    await ofDaemon(asked, (flags) => withDaemon(flags, async () => {}));
    const direction = asked.get("--direction") || "auto";
    const report = await tailPort({
      socket: locateInstance(instanceOf(asked)).ports,
      port: asked.get("--port") || "any",
      ...(direction !== "auto" && { direction: direction as "in" | "out" | "inout" }),
      ...(asked.has("--dropped") && asked.get("--dropped") !== "false" && { dropped: true }),
      onMissed: missed,
      untilStop: true,
      ...common,
    });
    return report.ended;
  }
  const { tailStore } = await import("../logger/tail.js");
  const store = await storeOf(asked, '"as they pass the ports" as "Frames"');
  const report = await tailStore({
    store,
    last: parseWhole(asked.get("--last") || "0", "Newest logged frames first", 0, 1_000_000),
    onOvertaken: onOvertaken("capture", say),
    untilStop: true,
    ...common,
  });
  return report.ended;
}

async function query(asked: ExtcapArguments, common: Common): Promise<string> {
  const { exportFrames } = await import("../logger/export.js");
  const count = parseWhole(asked.get("--count") || "0", "Frames at most", 0, 0xffffffff);
  const report = await exportFrames({
    sources: [asked.get("--store") || (await storeOf(asked, 'a file as "Store"'))],
    ...(count > 0 && { limit: count }),
    ...common,
  });
  for (const line of [...report.notes, ...report.warnings]) say(line);
  if (report.overtaken > 0) say(overtakenText(report.overtaken, "capture"));
  if (report.corrupt > 0) say(damageText(report.corrupt));
  return report.ended;
}
