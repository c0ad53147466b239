// Whatever is done to a switch and its rules while frames pass, an audit with its configuration finds nothing that differs.
import test from "ava";
import { Random } from "../../logger/traffic/random.js";
import type { NativePortOptions } from "../../native/engine.js";
import { parsePortSpec } from "../../switch/port-spec.js";
import { nativeOptions } from "../../switch/switch.js";
import { frame, rule } from "../support/live-switch.js";
import { checked, config, doubts, everything, logged, portsSettled, send, tagged } from "./audit-switch.js";

const names = ["vale0:a", "vale0:b", "vale0:c", "vale0:d", "vale1:e", "vale1:f"];
const vlans = ["", "", ",access=5", ",access=6", ",trunk=all,native=5", ",trunk=all", ",trunk=5+6,native=6"];
const tags = [undefined, undefined, 0, 5, 6, 7];
const filter = "ether[5] & 1 = 0";
const every = [[rule("")], everything] as const;
const some = [[rule(filter)], JSON.stringify([{ filter }])] as const;
const none = [[], "[]"] as const;

for (const [seed, text, start, changed] of [
  [2, "rules that come and go", every, [every, some, none]],
  [8, "rules that come and go", every, [every, some, none]],
  [9, "every frame is logged", every, []],
  [19, "part of the traffic is logged", some, []],
] as const)
  test.serial(`seed ${seed}: ${text}`, async (t) => {
    const random = new Random(seed);
    const specs = names.map((name) => `${name}${random.pick(vlans)}`);
    const live = await logged(t, specs, { threads: 1 + (seed % 2) }, [...start[0]], start[1]);
    const { engine, ports } = live;
    const mac = () => `02:00:00:00:00:0${1 + random.below(9)}`;
    const changes = [
      () => engine.macFlush(random.pick(["vale0", "vale1"]), ""),
      () => engine.macAdd("vale0", mac(), random.below(8), random.pick(names.slice(0, 4))),
      () => {
        const [address, vlan] = [mac(), random.below(8)];
        engine.macAdd("vale1", address, vlan, "vale1:e");
        engine.macRemove("vale1", address, vlan);
      },
      async () => {
        const which = random.below(names.length);
        const { name, options } = parsePortSpec(specs[which]!);
        engine.detach(name);
        engine.attach(name, "", nativeOptions(options) as NativePortOptions);
        ports[which]!.close();
        ports[which] = live.open(name, { slots: 4096 });
        await portsSettled();
      },
      ...changed.map(
        ([rules, words]) =>
          () =>
            engine.setRules([...rules], words),
      ),
    ];
    const someFrame = () => {
      const plain = frame(random.below(10), 1 + random.below(9));
      const vlan = random.pick(tags);
      return vlan === undefined ? plain : tagged(vlan, plain);
    };
    for (let i = 0; i < 300; i++) {
      if (random.chance(0.1)) await random.pick(changes)();
      await send(live, random.pick(ports), ...Array.from({ length: 1 + random.below(4) }, someFrame));
      for (const port of ports) port.receive();
    }
    const report = await checked(live, config(specs));
    t.log(`${report.frames} frames, not judged:`, doubts(report));
    t.deepEqual(report.findings, [], specs.join(" "));
    t.true(report.same > report.frames * 0.8);
  });
