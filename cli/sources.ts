// What a command reads: the stores and captures of -r, by default the running daemon's store.
import { existsSync } from "node:fs";
import { PasteError } from "../logger/errors.js";
import { ControlClient } from "../switch/control-client.js";
import { type InstanceOptions, locateInstance } from "../switch/instance.js";

export async function readSources(named: string[] | undefined, flags: InstanceOptions): Promise<string[]> {
  if (named !== undefined && named.length > 0) return named;
  const instance = locateInstance(flags);
  let reason: PasteError;
  try {
    const client = await ControlClient.connect(instance.control);
    const { storePath } = await client.call("stats", {}).finally(() => client.close());
    if (storePath !== "") return [storePath];
    reason = new PasteError("STORE", `the daemon at ${instance.control} runs without a store: name one with -r`);
  } catch (error) {
    if (!(error instanceof PasteError)) throw error;
    // Its store may be read without it.
    if (existsSync(instance.store)) return [instance.store];
    reason = new PasteError(error.code, `nothing to read: name a store or a capture with -r (${error.message})`, {
      cause: error,
    });
  }
  throw reason;
}
