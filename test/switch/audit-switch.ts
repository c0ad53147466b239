// Switches that log what they do, for audits of what they did.
import type { ExecutionContext } from "ava";
import type { NativePortOptions } from "../../native/engine.js";
import type { PortClient } from "../../native/port-client.js";
import { type AuditConfig, type AuditReport, auditStore } from "../../switch/audit.js";
import { defaultConfig } from "../../switch/config.js";
import { parsePortSpec } from "../../switch/port-spec.js";
import { nativeOptions } from "../../switch/switch.js";
import { type LiveSwitch, liveSwitch, rule, type StoreWanted } from "../support/live-switch.js";

export const everything = JSON.stringify([{ filter: "" }]);

export const config = (specs: readonly string[], more: Partial<AuditConfig["switch"]> = {}): AuditConfig => ({
  ports: specs.map((text) => parsePortSpec(text)),
  switch: { ...defaultConfig().switch, ...more },
});

/** A frame with a VLAN tag behind its addresses. */
export function tagged(vlan: number, data: Buffer): Buffer {
  return Buffer.concat([data.subarray(0, 12), Buffer.from([0x81, 0, vlan >> 8, vlan & 255]), data.subarray(12)]);
}

/** A port that comes or goes leaves floods in doubt for a moment: behind it they are judged. */
export const portsSettled = () => new Promise((resolve) => setTimeout(resolve, 150));

/** A switch whose ports have these options, that logs everything; `open` attaches. */
export async function logged(
  t: ExecutionContext,
  specs: readonly string[],
  options: Parameters<typeof liveSwitch>[1] = {},
  rules = [rule("")],
  text = everything,
  store: Omit<StoreWanted, "on"> = {},
) {
  const live = await liveSwitch(t, options, { on: "memory", ...store });
  live.engine.setRules(rules, text);
  const ports: PortClient[] = [];
  for (const spec of specs) {
    const { name, options } = parsePortSpec(spec);
    live.engine.attach(name, "", nativeOptions(options) as NativePortOptions);
    ports.push(live.open(name, { slots: 4096 }));
  }
  await portsSettled();
  return { ...live, ports };
}

/** Sends, and waits until the switch has taken it, so that the log has it in this order. */
export async function send(live: LiveSwitch, port: PortClient, ...frames: Buffer[]): Promise<void> {
  push(port, frames);
  await live.settled();
}

export function push(port: PortClient, frames: readonly Buffer[]): void {
  if (port.send(frames) !== frames.length) throw new Error("the ring was full");
}

export async function checked(live: LiveSwitch, recorded: AuditConfig, other?: AuditConfig): Promise<AuditReport> {
  await portsSettled();
  await live.engine.drain();
  return auditStore({ source: live.storePath, recorded, ...(other && { other }) });
}

export const doubts = (report: AuditReport) =>
  Object.fromEntries(Object.entries(report.notJudged).filter(([, count]) => count > 0));
