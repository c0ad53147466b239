// Trimming a store, whoever has it open: a running daemon is asked, else the store is opened for the moment.
import { realpathSync } from "node:fs";
import { PasteError } from "../logger/errors.js";
import { trimStore } from "../logger/store.js";
import { ControlClient } from "./control-client.js";
import { type InstanceOptions, locateInstance } from "./instance.js";

/** Gives the number of blocks that were given up. */
export async function trimAnywhere(path: string, before: bigint, options: InstanceOptions): Promise<number> {
  const { control } = locateInstance(options);
  const client = await ControlClient.connect(control).catch((error) => {
    // No daemon there: then nobody of ours has it open. If somebody else has, the store's own lock says so.
    if (error instanceof PasteError && error.code === "CONTROL") return undefined;
    throw error;
  });
  if (!client) return trimStore(path, before);
  try {
    const { storePath } = await client.call("stats", {});
    if (storePath === "" || realpathSync(storePath) !== realpathSync(path)) return await trimStore(path, before);
    return (await client.call("trim", { before })).count;
  } finally {
    client.close();
  }
}
