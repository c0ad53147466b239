// A store of everything that a filter can be about: awkward frames, tunnels, fragments, cut-off frames, on several ports, by
// several rules, with several outcomes; and conditions for it. Each record's time is its own.
import { join } from "node:path";
import fc from "fast-check";
import { createStore } from "../../../logger/store.js";
import { outcomes } from "../../../native/engine.js";
import { awkwardFrames } from "../../support/awkward-traffic.js";
import { openDriver } from "../../support/native-store.js";
import { Dice, testFrames } from "./frames.js";
import { addresses4, addresses6, fragmentedFrames, layeredFrames, portsUsed } from "./layered-frames.js";
import { randomFilter } from "./random-filter.js";

const ports = ["", "vale0:a", "vale0:b", "vale1:a", "tap:x", "vale0:a"];
const rules = ["", "web", "all"];
const flooded = 4;
export const reasons = outcomes().drops.map(({ name }) => name);

export interface VariedOptions {
  seed: number;
  /** Of each kind of frames. */
  count: number;
  lanes: number;
  snaplen: number;
  /** Its writer dies: what it wrote last is neither sealed nor indexed. */
  abandoned?: boolean;
}

/** Makes it in a folder; all its blocks are sealed when it is closed. */
export async function variedStore(
  folder: string,
  { seed, count, lanes, snaplen, abandoned }: VariedOptions,
): Promise<string> {
  const dice = new Dice(seed);
  const path = join(folder, `varied-${seed}.store`);
  await createStore(path, { sizeBytes: 48 << 20, blockBytes: 65536 });
  const driver = openDriver(path, { lanes, exactTimes: 1 });
  for (let lane = 0; lane < lanes; lane++) {
    for (const [id, name] of ports.entries()) if (id > 0) driver.describePort(lane, id, name);
    for (const [id, name] of rules.entries()) if (id > 0) driver.describeRule(lane, id, 1, name, "");
  }
  const sources = [
    testFrames(seed, count),
    layeredFrames(seed, count),
    fragmentedFrames(seed, count / 3),
    awkwardFrames(seed, count),
  ];
  let time = 0n;
  while (sources.some((source) => source.length > 0)) {
    const source = dice.pick(sources.filter((each) => each.length > 0));
    const run = source.splice(0, 1 + dice.below(20)).map(({ data, wireLength }) => {
      time += BigInt(1 + dice.below(1_000_000_000));
      return {
        bytes: data.subarray(0, snaplen),
        wireLength,
        timeNs: time,
        ingress: dice.below(ports.length),
        egress: dice.below(ports.length),
        rule: dice.below(rules.length),
        flags: dice.pick([0, 0, flooded]),
        outcome: dice.pick([0, 0, 0, 0, 1, 6]),
      };
    });
    driver.write(dice.below(lanes), run, true);
    driver.round();
    if (dice.below(20) === 0) driver.indexRound(dice.below(2) === 0);
  }
  if (abandoned) driver.abandon();
  else driver.close();
  return path;
}

const words = (...parts: string[]): string => parts.filter(Boolean).join(" ");
const direction = fc.constantFrom("", "src", "dst", "src or dst", "src and dst");
const recordWord = fc.oneof(
  fc
    .tuple(fc.constantFrom("in-port", "out-port"), fc.constantFrom("vale0:a", "vale*", "*:b", "nowhere", "tap:?"))
    .map(([word, name]) => `${word} ${name}`),
  fc.constantFrom(
    "rule web",
    "rule a*",
    "flooded",
    "forwarded",
    "dropped",
    `dropped ${reasons[0]}`,
    `dropped ${reasons[5]}`,
  ),
  fc.tuple(fc.nat(3000), fc.nat(3000)).map(([from, length]) => `between ${from}.5 and ${from + length + 1}.5`),
  fc
    .tuple(direction, fc.constantFrom(...addresses4, ...addresses6))
    .map(([way, host]) => words("any", way, "host", host)),
  fc
    .tuple(direction, fc.constantFrom("10.0.0.0/16", "2001:db8::/48"))
    .map(([way, net]) => words("any", way, "net", net)),
  fc.tuple(direction, fc.constantFrom(...portsUsed, 6081)).map(([way, port]) => words("any", way, "port", `${port}`)),
  fc.constantFrom(
    "any portrange 400-500",
    "any proto 6",
    "any proto 47",
    'payload "\\x00\\x00"',
    "payload /[a-z]{3}/i",
  ),
  fc.constantFrom(
    "flow 10.0.0.1:80 10.0.0.2:443 tcp",
    "icmp[icmptype] = 8",
    "icmp6[0] = 128",
    "tcp[0:2] = 80",
    "ip[9] = 17",
  ),
  fc.constantFrom(
    "vlan 5 and ip host 10.0.0.1",
    "mpls and host 10.0.0.2",
    "pppoes and ip",
    "vlan and vlan and tcp port 80",
    "ip6 protochain 6",
    "protochain 17",
  ),
);

/** Text of a filter for such a store. */
export const variedFilter: fc.Arbitrary<string> = fc.oneof(
  randomFilter,
  recordWord,
  fc
    .array(
      fc.tuple(fc.constantFrom("and", "and", "or"), fc.constantFrom("", "", "not"), fc.oneof(recordWord, randomFilter)),
      {
        minLength: 2,
        maxLength: 4,
      },
    )
    .map((parts) => parts.map(([join, not, text], i) => words(i > 0 ? join : "", not, `(${text})`)).join(" ")),
);
