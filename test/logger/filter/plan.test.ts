// What the planner asks of an index: never too little. An index's answer to a filter's plan has every record that the filter selects.
import test from "ava";
import fc from "fast-check";
import { type CompiledFilter, compileFilter } from "../../../logger/filter/compile.js";
import { explainPlan } from "../../../logger/filter/explain.js";
import { planText } from "../../../logger/filter/index-expression.js";
import { askRun, type IndexedStore, indexStore } from "../../support/native-index.js";
import { storedFrames, testFolder } from "../store-tools.js";
import { seed } from "./frames.js";
import { compiledOrRefused } from "./random-filter.js";
import { variedFilter, variedStore } from "./varied-store.js";

const nameFields = { "in-port": 12, "out-port": 13, rule: 14 } as const;

/** Times of the frames that the runs name, and how many that are. */
function named({ runs, blocks }: IndexedStore, filter: CompiledFilter): Set<bigint> {
  const tests = filter.names.map(({ of, pattern }) => ({ field: nameFields[of], pattern }));
  const times = new Set<bigint>();
  for (const [number, run] of runs.entries()) {
    const answer = askRun(run, filter.plan!, tests);
    const of = blocks.filter((block) => block.run === number);
    for (const block of answer.blocks) {
      const offsets = new Set(block.offsets);
      for (const record of of.find(({ index }) => index === block.index)!.records)
        if (record.type === 1 && (block.all || offsets.has(record.offset))) times.add(BigInt(record.timeNs));
    }
  }
  return times;
}

for (const [what, options] of Object.entries({
  "whole frames": { lanes: 1, snaplen: 1 << 18, tunnels: true, blocksPerRun: 1000 },
  "short frames, several lanes, many runs": { lanes: 3, snaplen: 96, tunnels: true, blocksPerRun: 2 },
  "very short frames": { lanes: 2, snaplen: 40, tunnels: true, blocksPerRun: 5 },
  "an index without tunnels": { lanes: 2, snaplen: 1 << 18, tunnels: false, blocksPerRun: 5 },
}))
  test(`an index names every record that a filter selects: ${what}`, async (t) => {
    t.timeout(180_000);
    t.log(`seed ${seed}`);
    const path = await variedStore(testFolder(t), { seed, count: 700, ...options });
    const store = indexStore(path, options);
    const frames = store.blocks.flatMap(({ records }) => records.filter(({ type }) => type === 1)).length;
    let [asked, few] = [0, 0];
    await fc.assert(
      fc.asyncProperty(variedFilter, async (text) => {
        const filter = compiledOrRefused(text, { record: "store" });
        if (!filter?.plan) return;
        const answer = named(store, filter);
        const selected = await storedFrames(path, { filter, index: false });
        const missing = selected.filter(({ timeNs }) => !answer.has(timeNs));
        t.deepEqual(
          missing.map(({ data }) => data.toString("hex")).slice(0, 1),
          [],
          `${text}: ${planText(filter.planned.plan)}`,
        );
        asked++;
        if (answer.size * 4 < frames) few++;
      }),
      { numRuns: 250, seed },
    );
    // A plan that asks for everything would pass, too.
    t.true(asked > 60 && few > 10, `${asked} of 250 have a plan, ${few} lead to a quarter of the frames or less`);
  });

/** Filters and their questions: where the index helps, and where it must not be trusted. */
const plans: Record<string, string> = {
  tcp: "IP protocol 6",
  "host 10.0.0.1": "source address 10.0.0.1 or destination address 10.0.0.1",
  "src net 10.0.0.0/8": "source address 10.0.0.0/8",
  "net 10.0.0.0 mask 255.0.255.0": "source address 10.0.0.0/8 or destination address 10.0.0.0/8",
  "dst host 2001:db8::1": "destination address 2001:db8:0:0:0:0:0:1",
  "tcp dst portrange 90-80": "destination port 80 to 90",
  "src and dst port 53": "source port 53 and destination port 53",
  "arp host 10.0.0.1": "EtherType 0x0806 and (source address 10.0.0.1 or destination address 10.0.0.1)",
  "ether src 2:0:0:0:0:1": "source MAC 02:00:00:00:00:01",
  broadcast: "destination MAC ff:ff:ff:ff:ff:ff",
  multicast: "everything",
  "ip multicast": "destination address 224.0.0.0/3",
  "ether proto 0x88cc": "EtherType 0x88cc",
  "ether proto 0x42": "everything",
  "atalk or stp": "everything",
  "ip proto 300": "nothing",
  "icmp[icmptype] = 8": "IP protocol 1 and ICMP type 8 of IPv4",
  "icmp[icmptype] != 8": "IP protocol 1",
  "tcp[13] & 2 != 0 and ip[8] < 5": "IP protocol 6 and EtherType 0x0800",
  "ether[12:2] = 0x800": "EtherType 0x0800",
  "less 100 or tcp": "everything",
  "less 100 and udp": "IP protocol 17",
  "not tcp": "everything",
  "not (tcp or not udp)": "IP protocol 17",
  "not not tcp": "IP protocol 6",
  "vlan 5": "VLAN 5",
  "vlan 5 and ip": "VLAN 5 and EtherType 0x0800",
  "vlan or ip": "everything",
  "(vlan or tcp) and udp": "everything",
  "(vlan 5 and tcp) or udp": "everything",
  "udp or (vlan 5 and tcp)": "IP protocol 17 or (VLAN 5 and IP protocol 6)",
  "not vlan and tcp": "everything",
  "mpls and host 10.0.0.1": "EtherType 0x8847 and (source address 10.0.0.1 or destination address 10.0.0.1)",
  "pppoes and arp": "EtherType 0x8864",
  "in-port vale0:* and dropped": 'in-port "vale0:*" and outcome 1 to 255',
  "not forwarded": "outcome 1 to 255",
  flooded: "flooded",
  "any src host 10.0.0.1": "source address 10.0.0.1",
  "any dst port 53": "destination port 53 or later fragment of unknown ports or port of a first fragment 53",
  "tcp and any port 53":
    "(IP protocol 6 and (source port 53 or destination port 53 or later fragment of unknown ports)) or port of a first fragment 53",
  'payload "x"': "everything",
  "after 12:00": "everything",
};
for (const [text, expected] of Object.entries(plans))
  test(`the index is asked for ${expected}: ${text}`, (t) => {
    const filter = compileFilter(text, { record: "store" });
    t.is(planText(filter.planned.plan), expected);
    t.is(filter.plan === undefined, expected === "everything");
  });

test("explainPlan says who answers what", (t) => {
  const lines = (text: string) => explainPlan(compileFilter(text, { record: "store" }));
  t.deepEqual(lines("src host 10.0.0.1 and not (tcp port 80 or 443) and payload x and between 5 and 6.5"), [
    "index: source address 10.0.0.1",
    "time: from 1970-01-01T00:00:05.000000000Z before 1970-01-01T00:00:06.500000000Z",
    "src host 10.0.0.1: index, then filter",
    "tcp port 80: filter",
    "443: filter",
    "payload x: filter",
    "between 5 and 6.5: filter",
  ]);
  t.deepEqual(lines(""), ["index: not asked, nothing in the filter leads to few records"]);
});

test("a long row is one question", (t) => {
  const row = Array.from(
    { length: 1300 },
    (_, i) => `ether src 2:0:0:0:${(i >> 8).toString(16)}:${(i & 255).toString(16)}`,
  );
  t.is(compileFilter(row.join(" or "), { record: "store" }).plan?.length, 1301 * 40);
});
