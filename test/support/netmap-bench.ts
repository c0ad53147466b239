// A switch with netmap programs on it, for the tests of what such a program may ask for.
import type { ExecutionContext } from "ava";
import type { EngineOptions } from "../../native/engine.js";
import { type LiveSwitch, liveSwitch, type StoreWanted, until } from "./live-switch.js";
import { NetmapError, NetmapUser } from "./netmap-user.js";
import type { RequestFields } from "./ports-request.js";

export interface Bench {
  s: LiveSwitch;
  user(): NetmapUser;
  open(name: string, fields?: RequestFields, before?: NetmapUser): NetmapUser;
}
/** A live switch, and netmap programs on it that end with the test. */
export async function bench(t: ExecutionContext, ...how: [Partial<EngineOptions>?, StoreWanted?]): Promise<Bench> {
  const s = await liveSwitch(t, ...how);
  const users: NetmapUser[] = [];
  t.teardown(() => {
    for (const user of users) user.close();
  });
  const user = () => {
    const made = new NetmapUser(s.socket);
    users.push(made);
    return made;
  };
  return {
    s,
    user,
    open: (name, fields, before) => user().open(name, { txSlots: 64, rxSlots: 64, ...fields }, before),
  };
}
export function refused(t: ExecutionContext, error: number, act: () => unknown): void {
  const thrown = t.throws(act, { instanceOf: NetmapError });
  t.is(thrown?.errno, error, thrown?.message);
}
export const ports = (s: LiveSwitch) => s.engine.stats().ports.map((port) => port.name);
export const goes = (s: LiveSwitch, name: string) => until(() => !ports(s).includes(name), `${name} to go`);
/** A body with 16- and 32-bit fields at their offsets. */
export function body(bytes: number, fields: [offset: number, size: 2 | 4, value: number][]): Buffer {
  const made = Buffer.alloc(bytes);
  for (const [offset, size, value] of fields) made.writeUIntLE(value, offset, size);
  return made;
}
