// What-if against a switch that really runs with the other configuration: of every frame, what the one says the other has done.
import test from "ava";
import { Random } from "../../logger/traffic/random.js";
import { auditStore } from "../../switch/audit.js";
import { storedFrames } from "../logger/store-tools.js";
import { frame, type LiveSwitch } from "../support/live-switch.js";
import { config, logged, portsSettled, send, tagged } from "./audit-switch.js";

const names = ["vale0:a", "vale0:b", "vale0:c", "vale0:d"];
const vlans = ["", "", ",access=5", ",access=6", ",trunk=all,native=5", ",trunk=all", ",trunk=5+6,native=6"];
const tags = [undefined, undefined, 0, 5, 6, 7];

/** Where a frame went; of a flood, how many copies. */
const flooded = (copies: number) => `flooded ${copies}`;

async function fates(live: LiveSwitch): Promise<string[]> {
  await live.engine.drain();
  return (await live.logged()).map(({ outcome, egress, reserved }) =>
    outcome !== "forwarded" ? `dropped: ${outcome}` : egress === "*" ? flooded(reserved) : egress,
  );
}

for (const seed of [1, 2, 3])
  test.serial(`every frame goes where a switch with those VLANs sent it, seed ${seed}`, async (t) => {
    const random = new Random(seed);
    const specs = () => names.map((name) => `${name}${random.pick(vlans)}`);
    const [as, instead] = [specs(), specs()];
    const both = [await logged(t, as), await logged(t, instead)] as const;
    for (let i = 0; i < 300; i++) {
      const vlan = random.pick(tags);
      const plain = frame(random.below(10), 1 + random.below(9), `${i}`);
      const data = vlan === undefined ? plain : tagged(vlan, plain);
      const from = random.below(names.length);
      for (const live of both) await send(live, live.ports[from]!, data);
    }
    await portsSettled();
    const [was, is] = [await fates(both[0]), await fates(both[1])];
    const report = await auditStore({ source: both[0].storePath, recorded: config(as), other: config(instead) });
    const found = new Map(report.findings.map(({ sequence, would }) => [sequence, would]));
    const predicted = (await storedFrames(both[0].storePath)).map(({ sequence }, i) => {
      const would = found.get(sequence) ?? was[i]!;
      return would.startsWith("flooded to ") ? flooded(would.split(" ").length - 2) : would;
    });
    t.deepEqual([report.frames, report.same + report.differ], [300, 300], "none is in doubt");
    t.deepEqual(predicted, is, `${as.join(" ")} | ${instead.join(" ")}`);
    t.true(report.differ > 0);
  });
