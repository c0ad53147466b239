// A switch with ports of netmap's /dev/netmap, in a process of its own: node netmap-switch.js SOCKET NAME=SPEC[#VLAN]... It serves
// vale ports on SOCKET besides, prints what became of each, one JSON line each, then "ready", and on SIGTERM its counters.
import { asPasteError, createEngine, type NativePortOptions } from "../../native/engine.js";
import { engineDefaults } from "./live-switch.js";

const [socket, ...ports] = process.argv.slice(2);
const engine = await createEngine({ ...engineDefaults, portsSocket: socket! });
engine.start();
const say = (what: unknown) => process.stdout.write(`${typeof what === "string" ? what : JSON.stringify(what)}\n`);

// "t7" = trunk of all VLANs with native 7, "a7" = access.
function vlan(text: string | undefined): NativePortOptions {
  if (!text) return {};
  return { vlan: { policy: text[0] === "t" ? "trunk" : "access", vid: Number(text.slice(1)) } };
}

for (const port of ports) {
  const [, name, spec, shape] = /^([^=]+)=([^#]*)(?:#(.*))?$/.exec(port)!;
  try {
    engine.attach(name!, spec!, vlan(shape));
    say({ name, spec });
  } catch (error) {
    const { code, message } = asPasteError(error) as { code: string; message: string };
    say({ name, spec, code, message });
  }
}
process.on("SIGTERM", async () => {
  say(engine.stats().ports);
  await engine.drain();
  process.exit(0);
});
setInterval(() => {}, 1 << 30);
say("ready");
