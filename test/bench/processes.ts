import { fork } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { createStore } from "../../logger/store.js";
import type { EndOptions, EndResult } from "../../native/index.js";
import { ControlClient } from "../../switch/control-client.js";
import { DaemonProcess } from "../../switch/demo/command.js";
import type { Bench, Effort } from "./bench.js";
import type { EndAnswer, EndCommand } from "./end-process.js";
import type { Row } from "./report.js";

const storeBytes = 64 * 1024 * 1024;

function runEnd(command: EndCommand): Promise<EndResult> {
  const child = fork(fileURLToPath(new URL("end-process.js", import.meta.url)), { serialization: "advanced" });
  return new Promise((resolve, reject) => {
    child.on("message", (answer: EndAnswer) =>
      "result" in answer ? resolve(answer.result) : reject(new Error(answer.failed)),
    );
    child.on("exit", (code) => reject(new Error(`the ${command.end} ended with ${code} and no answer`)));
    child.send(command);
  });
}

/** Waits until a port is attached: the source must not run ahead of the sink. Throws Error after 10 s. */
async function attached(control: ControlClient, name: string): Promise<void> {
  const limitMs = performance.now() + 10_000;
  while (performance.now() < limitMs) {
    const { ports } = await control.call("stats", {});
    if (ports.some((port) => port.name === name && port.state === "up")) return;
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
  throw new Error(`${name} was not attached within 10 s`);
}

/** One round: sink and source run until the source's time is over; frames per second as the sink saw them. */
async function round(
  control: ControlClient,
  ports: string,
  durationMs: number,
  busy: boolean,
): Promise<{ mpps: number; lost: number; wrong: number }> {
  const common: EndOptions = { socket: ports, frameBytes: 64, durationMs, busy, name: "" };
  const sink = runEnd({ end: "sink", options: { ...common, name: "vale0:sink", idleMs: 1500 } });
  await attached(control, "vale0:sink");
  const source = runEnd({ end: "source", options: { ...common, name: "vale0:source" } });
  const [{ frames, firstNs, lastNs, lost, wrong }] = await Promise.all([sink, source]);
  return { mpps: frames / (Number(lastNs - firstNs) / 1e3), lost, wrong };
}

/** Anonymous memory of a process, in MB: what it has beside files and shared mappings. */
function privateMegabytes(pid: number): number {
  const kilobytes = /^Anonymous:\s+(\d+) kB/m.exec(readFileSync(`/proc/${pid}/smaps_rollup`, "utf8"))?.[1];
  return Number(kilobytes) / 1000;
}

async function configuration(what: string, effort: Effort, daemonArgs: string[], busy: boolean): Promise<Row[]> {
  const folder = mkdtempSync(join(tmpdir(), "paste-switch-bench-"));
  const daemon = await DaemonProcess.start(["daemon", ...daemonArgs], {
    PASTE_SWITCH_CONTROL: join(folder, "control.sock"),
  });
  const control = await ControlClient.connect(join(folder, "control.sock"));
  try {
    const results = [];
    for (let i = 0; i < (effort.quick ? 2 : 15); i++)
      results.push(await round(control, join(folder, "ports.sock"), effort.quick ? 100 : 400, busy));
    const lost = results.reduce((sum, result) => sum + result.lost, 0);
    const wrong = results.reduce((sum, result) => sum + result.wrong, 0);
    const samples = results.map((result) => result.mpps);
    const note = `lost at the full sink: ${lost}${wrong > 0 ? `; WRONG ${wrong}` : ""}`;
    return [
      { bench: "processes", what, sizeBytes: 64, unit: "Mpps", samples, note },
      { bench: "processes", what: `${what}: daemon's own memory`, unit: "MB", samples: [privateMegabytes(daemon.pid)] },
    ];
  } finally {
    control.close();
    await daemon.stop();
    rmSync(folder, { recursive: true, force: true });
  }
}

export const processes: Bench = {
  summary: "sender, daemon and receiver as processes of their own; what arrived counts",
  storeBytes,
  async run(effort) {
    const store = join(effort.folder, "processes.store");
    await createStore(store, { sizeBytes: storeBytes });
    return [
      ...(await configuration("no log", effort, [], false)),
      ...(await configuration("no log, three busy processes", effort, ["--wait", "busy"], true)),
      ...(await configuration("every frame logged, strict", effort, ["--store", store, "--log", ""], false)),
    ];
  },
};
