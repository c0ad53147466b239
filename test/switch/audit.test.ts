import { writeFileSync } from "node:fs";
import { join } from "node:path";
import test from "ava";
import { PcapWriter } from "../../logger/capture/pcap-writer.js";
import { PasteError } from "../../logger/errors.js";
import { openStore } from "../../logger/reader.js";
import type { PortClient } from "../../native/port-client.js";
import { auditConfig, auditStore, keepsEveryFrame, portsAtWork } from "../../switch/audit.js";
import { parsePortSpec } from "../../switch/port-spec.js";
import { storeWith, testFolder } from "../logger/store-tools.js";
import { frame, liveSwitch, rule, until } from "../support/live-switch.js";
import { checked, config, doubts, everything, logged, portsSettled, push, send, tagged } from "./audit-switch.js";

test("floods, unicast, hairpins and moves come out again", async (t) => {
  const specs = ["vale0:a", "vale0:b", "vale0:c", "vale1:x", "vale1:y"];
  const live = await logged(t, specs);
  const [a, b, c, x] = live.ports as [PortClient, PortClient, PortClient, PortClient];
  await send(live, a, frame(2, 1), frame(0, 1), frame(1, 3)); // unknown, broadcast, hairpin
  await send(live, b, frame(1, 2), frame(2, 2), frame(1, 2));
  await send(live, a, frame(2, 1));
  await send(live, c, frame(2, 1), frame(1, 4)); // station 1 moved
  await send(live, b, frame(1, 2), frame(4, 2));
  await send(live, x, frame(1, 2), frame(2, 1));
  const report = await checked(live, config(specs));
  t.is(report.frames, 13);
  t.is(report.same, 13);
  t.deepEqual(doubts(report), {});
  t.deepEqual(report.findings, []);
});

test("VLANs: access, trunk, native, transparent, and what they refuse", async (t) => {
  const specs = ["vale0:a,access=5", "vale0:b,access=5", "vale0:c,access=6", "vale0:t,trunk=5-7,native=6", "vale0:n"];
  const live = await logged(t, specs);
  const [a, b, c, trunk, plain] = live.ports as [PortClient, PortClient, PortClient, PortClient, PortClient];
  await send(live, a, frame(2, 1), frame(0, 1), tagged(6, frame(2, 1)), tagged(5, frame(2, 1)));
  await send(live, b, frame(1, 2), frame(0, 2));
  await send(live, c, frame(1, 3), frame(0, 3));
  await send(live, trunk, tagged(5, frame(1, 4)), tagged(9, frame(1, 4)), frame(3, 4), tagged(7, frame(0, 4)));
  await send(live, plain, frame(1, 5), tagged(5, frame(1, 5)), tagged(6, frame(3, 5)));
  const report = await checked(live, config(specs));
  t.is(report.same, report.frames);
  t.is(report.frames, 15);
  // The same log against a switch without VLANs: whatever they decided differs.
  const without = await auditStore({ source: live.storePath, recorded: config([]) });
  t.true(without.differ > 5);
  t.true(without.findings.some(({ was }) => was === "dropped: vlan_ingress"));
});

test("what-if: a VLAN that changes concerns exactly its frames", async (t) => {
  const specs = ["vale0:a,access=5", "vale0:b,access=5", "vale0:c,access=6", "vale0:d,access=6"];
  const live = await logged(t, specs);
  const [a, b, c, d] = live.ports as [PortClient, PortClient, PortClient, PortClient];
  await send(live, a, frame(2, 1), frame(0, 1)); // 1, 2: floods to b
  await send(live, b, frame(1, 2)); // unicast to a
  await send(live, c, frame(4, 3), frame(0, 3)); // floods to d
  await send(live, d, frame(3, 4)); // unicast to c
  await send(live, c, frame(4, 3));
  const other = config(["vale0:a,access=5", "vale0:b,access=6", "vale0:c,access=6", "vale0:d,access=6"]);
  const report = await checked(live, config(specs), other);
  t.is(report.frames, 7);
  t.deepEqual(
    report.findings.map(({ ingress, was, would }) => [ingress, was, would]),
    [
      ["vale0:a", "flooded to vale0:b", "dropped: no_destination"],
      ["vale0:a", "flooded to vale0:b", "dropped: no_destination"],
      ["vale0:b", "vale0:a", "flooded to vale0:c vale0:d"],
      ["vale0:c", "flooded to vale0:d", "flooded to vale0:b vale0:d"],
      ["vale0:c", "flooded to vale0:d", "flooded to vale0:b vale0:d"],
    ],
  );
  t.is(report.differ, 5);
  t.is(report.same, 2);
  const same = await auditStore({ source: live.storePath, recorded: config(specs), other: config(specs) });
  t.is(same.same, 7);
});

test("what-if: what a frame taught the switch it teaches the other one only where that takes it", async (t) => {
  const specs = ["vale0:a,access=5", "vale0:b"];
  const live = await logged(t, specs);
  const [a, b] = live.ports as [PortClient, PortClient];
  await send(live, a, tagged(5, frame(9, 1)));
  await send(live, b, tagged(6, frame(1, 2)));
  const report = await checked(live, config(specs), config(["vale0:a,access=6", "vale0:b"]));
  t.deepEqual(
    report.findings.map(({ ingress, was, would }) => [ingress, was, would]),
    [
      ["vale0:a", "flooded to vale0:b", "dropped: vlan_ingress"],
      ["vale0:b", "dropped: no_destination", "flooded to vale0:a"],
    ],
  );
});

test("what-if: an address that no frame of the log taught is where its untagged frames put it", async (t) => {
  const filter = "ether[14] = 0x6b";
  const specs = ["vale0:a,access=5", "vale0:b,access=5", "vale0:c,trunk=all,native=5"];
  const live = await logged(t, specs, {}, [rule(filter)], JSON.stringify([{ filter }]));
  const [a, b, c] = live.ports as [PortClient, PortClient, PortClient];
  await send(live, a, frame(9, 1, "unseen"));
  await send(live, c, frame(9, 3, "unseen"));
  await portsSettled(); // the table's changes are logged
  await send(live, b, frame(1, 2, "keep"), frame(3, 2, "keep"));
  for (const vlan of ["", ",access=7"]) {
    const other = config(["vale0:a", "vale0:b", "vale0:c"].map((name) => `${name}${vlan}`));
    const report = await checked(live, config(specs), other);
    t.deepEqual([report.same, report.findings], [2, []]);
  }
  const refused = await checked(live, config(specs), config(["vale0:a", "vale0:b", "vale0:c,trunk=all"]));
  t.deepEqual(
    refused.findings.map(({ was, would }) => [was, would]),
    [["vale0:c", "flooded to vale0:a"]],
    "the trunk takes no frame without a tag",
  );
});

test("floods are judged again where the log's beginning is gone: each segment describes the silent ports, too", async (t) => {
  const specs = ["vale0:a", "vale0:b", "vale0:silent", "vale0:mute", "vale1:other"];
  const live = await logged(t, specs, {}, [rule("")], everything, { blockBytes: 64 << 10 });
  const [a] = live.ports as [PortClient];
  // Twice around, and then a moment longer than the housekeeper sleeps.
  for (let i = 0; i < 90; i++) {
    await send(live, a, ...Array.from({ length: 256 }, () => frame(2, 1, "", 1400)));
    for (const port of live.ports) port.receive();
    if (i % 10 === 9) await portsSettled();
  }
  const report = await checked(live, config(specs));
  const reader = openStore(live.storePath);
  t.true((await reader.info()).firstSequence > 1000n, "the log's beginning is gone");
  reader.close();
  t.is(report.differ, 0);
  t.true(report.same > 2000, JSON.stringify(report));
  t.true((report.notJudged.ports ?? 0) < report.frames / 2, JSON.stringify(report));
});

test("mirror ports take no part, and what they send is dropped", async (t) => {
  const specs = ["vale0:a", "vale0:b", "vale0:m,mirror=a+b"];
  const live = await logged(t, specs);
  const [a, b, m] = live.ports as [PortClient, PortClient, PortClient];
  await send(live, a, frame(2, 1), frame(0, 1));
  await send(live, b, frame(1, 2));
  await send(live, m, frame(1, 7));
  await send(live, a, frame(7, 1));
  const report = await checked(live, config(specs));
  t.deepEqual([report.frames, report.same], [5, 5]);
  const plain = await auditStore({ source: live.storePath, recorded: config(specs), other: config([]) });
  t.deepEqual(
    plain.findings.map(({ was, would }) => [was, would]),
    [
      ["flooded to vale0:b", "flooded to vale0:b vale0:m"],
      ["flooded to vale0:b", "flooded to vale0:b vale0:m"],
      ["dropped: mirror_port", "vale0:a"],
      ["flooded to vale0:b", "vale0:m"],
    ],
  );
});

test("static entries, removed ones, flushes and detached ports", async (t) => {
  const specs = ["vale0:a", "vale0:b", "vale0:c"];
  const live = await logged(t, specs);
  const [a, b, c] = live.ports as [PortClient, PortClient, PortClient];
  live.engine.macAdd("vale0", "02:00:00:00:00:09", 0, "vale0:c");
  await send(live, a, frame(9, 1));
  await send(live, b, frame(1, 9), frame(9, 2)); // the static address stays where it is
  live.engine.macRemove("vale0", "02:00:00:00:00:09", 0);
  await send(live, a, frame(9, 1), frame(2, 1));
  live.engine.macFlush("vale0", "");
  await send(live, a, frame(2, 1));
  c.close();
  await until(
    () => live.engine.stats().ports.every(({ name, clientPid }) => name !== "vale0:c" || clientPid < 0),
    "gone",
  );
  await send(live, a, frame(0, 1), frame(2, 1));
  const report = await checked(live, config(specs));
  t.is(
    report.differ,
    0,
    JSON.stringify(report.findings, (_, value) => `${value}`),
  );
  t.true(report.same >= report.frames - 4, JSON.stringify(doubts(report)));
});

test("an address that grew old: the log says when, and a frame at the border is not judged", async (t) => {
  const specs = ["vale0:a", "vale0:b", "vale0:c"];
  const live = await logged(t, specs, { macAgeMs: 300 });
  const [a, b] = live.ports as [PortClient, PortClient];
  await send(live, a, frame(2, 1));
  await send(live, b, frame(1, 2));
  await until(() => live.engine.stats().macEntries === 0, "grown old");
  await send(live, b, frame(1, 2));
  const report = await checked(live, config(specs, { macAgeMs: 300 }));
  t.is(report.differ, 0);
  t.is(report.frames, 3);
});

test("full rings are not judged", async (t) => {
  const specs = ["vale0:a", "vale0:b"];
  const live = await logged(t, specs);
  const [a, b] = live.ports as [PortClient, PortClient];
  await send(live, b, frame(0, 2));
  for (let i = 0; i < 5; i++) await send(live, a, ...Array.from({ length: 1000 }, () => frame(2, 1)));
  const report = await checked(live, config(specs));
  t.is(report.frames, 5001);
  t.true(report.notJudged.load > 0);
  t.deepEqual(doubts(report), { load: report.notJudged.load });
  t.is(report.same + report.notJudged.load, 5001);
});

test("part of the traffic is logged: what other frames taught is known from the table's changes", async (t) => {
  const specs = ["vale0:a", "vale0:b", "vale0:c"];
  const some = [rule("ether[14] = 0x6b", { name: "some" })];
  const live = await logged(t, specs, {}, some, JSON.stringify([{ filter: "ether[14] = 0x6b" }]));
  const [a, b] = live.ports as [PortClient, PortClient];
  await send(live, a, frame(2, 1, "unseen"));
  await send(live, b, frame(1, 2, "unseen"));
  for (let i = 0; i < 20; i++) {
    await send(live, a, frame(2, 1, "keep"), frame(7, 1, "keep"));
    await send(live, b, frame(1, 2, "keep"), frame(2, 2, "unseen"));
  }
  const report = await checked(live, config(specs));
  t.is(report.frames, 60);
  t.is(
    report.same,
    60,
    JSON.stringify([report.findings, doubts(report)], (_, value) => `${value}`),
  );
});

test("part of the traffic is logged: a frame is in doubt however often the address moves behind it", async (t) => {
  const filter = "ether[14] = 0x6b";
  const live = await logged(t, ["vale0:a", "vale0:b", "vale0:c"], {}, [rule(filter)], JSON.stringify([{ filter }]));
  const [a, b, c] = live.ports as [PortClient, PortClient, PortClient];
  await send(live, a, frame(9, 1, "unseen"));
  await send(live, b, frame(9, 1, "unseen"), frame(1, 2, "keep")); // moved in this batch: a hairpin
  for (let i = 0; i < 20; i++) await send(live, i % 2 === 0 ? a : c, frame(9, 1, "unseen"));
  const report = await checked(live, config([]));
  t.deepEqual([report.frames, report.differ, doubts(report)], [1, 0, { order: 1 }]);
});

test("what was learned while nothing was logged is not judged until the log knows it", async (t) => {
  const live = await liveSwitch(t, {}, { on: "memory" });
  const [a, b] = [live.open("vale0:a"), live.open("vale0:b")];
  live.open("vale0:c");
  await send(live, b, frame(0, 2));
  live.engine.setRules([rule("")], everything);
  await send(live, a, frame(2, 1));
  await send(live, a, frame(2, 1), frame(0, 1));
  await send(live, b, frame(1, 2));
  const report = await checked(live, config([]));
  t.deepEqual([report.frames, report.same, report.differ], [4, 3, 0]);
  t.deepEqual(doubts(report), { before: 1 });
  const whatIf = await checked(live, config([]), config([]));
  t.deepEqual([whatIf.same, doubts(whatIf)], [3, { baseline: 1 }]);
});

test("a static address counts, also one that was entered or removed while there was no rule", async (t) => {
  const live = await logged(t, ["vale0:a", "vale0:b", "vale0:c"]);
  const [a] = live.ports as [PortClient];
  live.engine.macAdd("vale0", "02:00:00:00:00:07", 0, "vale0:b");
  await send(live, a, frame(7, 1));
  live.engine.setRules([], "[]");
  live.engine.macAdd("vale0", "02:00:00:00:00:08", 0, "vale0:c");
  live.engine.macRemove("vale0", "02:00:00:00:00:07", 0);
  live.engine.setRules([rule("")], everything);
  await send(live, a, frame(7, 1), frame(8, 1));
  const report = await checked(live, config([]));
  t.deepEqual([report.frames, report.same, doubts(report)], [3, 3, {}]);
});

test("what moved while nothing was logged is not judged either", async (t) => {
  const live = await logged(t, ["vale0:a", "vale0:b", "vale0:c"]);
  const [a, b, c] = live.ports as [PortClient, PortClient, PortClient];
  await send(live, a, frame(0, 1));
  live.engine.setRules([], "[]");
  await send(live, c, frame(0, 1));
  live.engine.setRules([rule("")], everything);
  await send(live, b, frame(1, 2));
  const report = await checked(live, config([]));
  t.deepEqual([report.frames, report.same, report.differ, doubts(report)], [2, 1, 0, { before: 1 }]);
});

test("several frames at once to an address that was learned before the log begins are all not judged", async (t) => {
  const live = await liveSwitch(t, {}, { on: "memory" });
  const [a, b] = [live.open("vale0:a"), live.open("vale0:b")];
  await send(live, b, frame(0, 2));
  live.engine.setRules([rule("")], everything);
  await send(live, a, frame(2, 1), frame(2, 1), frame(2, 1));
  await send(live, a, frame(2, 1), frame(2, 1));
  const report = await checked(live, config([]));
  t.deepEqual([report.frames, report.same, report.differ], [5, 2, 0]);
  t.deepEqual(doubts(report), { before: 3 });
});

test("several forwarding threads: every outcome, or a named doubt", async (t) => {
  const specs = Array.from({ length: 6 }, (_, i) => `vale0:p${i}`);
  const live = await logged(t, specs, { threads: 3 });
  const { ports } = live;
  let seed = 7;
  const random = (below: number) => {
    seed = (seed * 1103515245 + 12345) & 0x7fffffff;
    return Math.floor((seed / 0x80000000) * below);
  };
  const home = Array.from({ length: 40 }, (_, station) => station % ports.length);
  let sent = 0;
  for (let round = 0; round < 60; round++) {
    if (round % 10 === 9) home[random(40)] = random(ports.length); // somebody moves
    for (const [i, port] of ports.entries()) {
      const here = [...home.keys()].filter((station) => home[station] === i);
      if (here.length === 0) continue;
      const frames = Array.from({ length: 20 }, () => frame(random(42), 1 + here[random(here.length)]!));
      push(port, frames);
      sent += frames.length;
    }
    await live.settled();
    for (const port of ports) port.receive(4096);
  }
  const report = await checked(live, config(specs));
  t.is(report.frames, sent);
  t.is(
    report.differ,
    0,
    JSON.stringify(report.findings.slice(0, 3), (_, value) => `${value}`),
  );
  const { order, load, ...others } = report.notJudged;
  t.deepEqual(
    Object.values(others).filter((count) => count > 0),
    [],
    JSON.stringify(others),
  );
  t.true(report.same > sent * 0.7, `${report.same} of ${sent}, order ${order}, load ${load}`);
});

test("a record that says something else is found, and only it", async (t) => {
  const specs = ["vale0:a", "vale0:b,access=5", "vale0:c"];
  const live = await logged(t, specs);
  const [a, , c] = live.ports as [PortClient, PortClient, PortClient];
  await send(live, a, frame(3, 1), frame(0, 1));
  await send(live, c, frame(1, 3), frame(0, 3));
  const right = await checked(live, config(specs));
  t.is(right.same, 4);
  const wrong = await auditStore({
    source: live.storePath,
    recorded: config(["vale0:b,access=5", "vale0:c,access=5"]),
  });
  t.deepEqual(
    wrong.findings.map(({ ingress }) => ingress),
    ["vale0:a", "vale0:a", "vale0:c", "vale0:c"],
  );
  const few = await auditStore({ source: live.storePath, recorded: config(["vale0:c,access=5"]), limit: 1 });
  t.is(few.findings.length, 1);
  t.true(few.differ > 1);
});

test("imported frames were never switched; a capture is refused", async (t) => {
  const store = await storeWith(t, [{ data: frame(2, 1), wireLength: 60, timeNs: 1n }]);
  const report = await auditStore({ source: store, recorded: config([]) });
  t.deepEqual(doubts(report), { imported: 1 });
  const capture = join(testFolder(t), "one.pcap");
  writeFileSync(capture, new PcapWriter().header());
  const message = new RegExp(`^${capture} is a capture, and this needs a store: make one of it with`);
  await t.throwsAsync(auditStore({ source: capture, recorded: config([]) }), { instanceOf: PasteError, message });
});

const sets: [string, boolean][] = [
  ['[{"filter":""}]', true],
  ['[{"filter":"tcp"},{"filter":" "}]', true],
  ['[{"filter":"tcp"}]', false],
  ['[{"filter":"","skip":true},{"filter":""}]', false],
  ['[{"filter":"","sample":2}]', false],
  ['[{"filter":"","inPorts":["vale0:a"]}]', false],
  ["[]", false],
  ["no JSON", false],
];
for (const [text, every] of sets)
  test(`every frame is logged by ${text}: ${every}`, (t) => t.is(keepsEveryFrame(text), every));

test("the configuration: a file's, or none; ports that are named come first", async (t) => {
  const made = await auditConfig(undefined, [parsePortSpec("vale0:a,access=5")]);
  t.deepEqual(
    made.ports.map(({ name, options }) => [name, options.access]),
    [["vale0:a", 5]],
  );
  await t.throwsAsync(auditConfig("/nonexistent.toml"), { instanceOf: PasteError });
  const twice = ["vale0:a", "vale0:b", "vale0:a,access=5"].map((text) => parsePortSpec(text));
  await t.throwsAsync(auditConfig(undefined, twice), { code: "USAGE", message: /^port vale0:a is named twice/ });
});

test("a running switch's ports are what was configured", async (t) => {
  const watch = "vale0:m,mirror=vale0:a+vale0:b,mirror-direction=in";
  const specs = ["vale0:a", "vale0:b,access=5", watch, "vale0:t,trunk=5+10-20,native=5", "vale0:u,trunk=all"];
  const { engine } = await logged(t, specs);
  const wanted = specs.map((text) => parsePortSpec(text)).map(({ name, options }) => ({ name, options }));
  t.deepEqual(portsAtWork(engine.stats().ports), wanted);
});
