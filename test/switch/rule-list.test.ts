import test from "ava";
import fc from "fast-check";
import { PasteError } from "../../logger/errors.js";
import { emptyRule, RuleList, type RuleText } from "../../switch/rules.js";
import { parseSequence, parseSize } from "../../switch/units.js";

const compile = (filter: string) => {
  if (filter === "bad") throw new PasteError("FILTER", 'filter "bad"');
  return new Uint8Array(8);
};
const rule = (name: string, filter = ""): RuleText => ({ ...emptyRule, name, filter });
const names = (list: RuleList) => list.rules.map((item) => item.name);

test("rules without names get the next free one", (t) => {
  t.deepEqual(names(new RuleList([rule(""), rule("r2"), rule(""), rule("x"), rule("")], compile)), [
    "r1",
    "r2",
    "r3",
    "x",
    "r4",
  ]);
});

test("a rule list keeps order, places and names as a plain array does", (t) => {
  const change = fc.tuple(fc.boolean(), fc.nat(30), fc.nat(30));
  fc.assert(
    fc.property(fc.array(change, { maxLength: 30 }), (changes) => {
      let list = new RuleList([], compile);
      const model: string[] = [];
      for (const [adds, which, where] of changes) {
        const name = `n${which}`;
        const before = model[where] ?? "";
        if (adds && !model.includes(name)) {
          list = list.with(rule(name), before).list;
          model.splice(before === "" ? model.length : model.indexOf(before), 0, name);
        } else if (!adds && model.includes(name)) {
          list = list.without(name);
          model.splice(model.indexOf(name), 1);
        } else t.throws(() => (adds ? list.with(rule(name)) : list.without(name)), { code: "USAGE" });
      }
      t.deepEqual(names(list), model);
    }),
    { numRuns: 100 },
  );
});

const wrong: [title: string, make: () => unknown, code: string, message: string][] = [
  [
    "a name twice",
    () => new RuleList([rule("a"), rule("a")], compile),
    "USAGE",
    'rule "a" exists already: names are unique, choose another',
  ],
  [
    "before one that is not there",
    () => new RuleList([rule("a")], compile).with(rule("b"), "c"),
    "USAGE",
    'no rule "c": there are a',
  ],
  [
    "a port's name that no port can have",
    () => new RuleList([{ ...rule("a"), inPorts: ["vale0:a", "vale0"] }], compile),
    "USAGE",
    'rule "a": inPorts: "vale0" is no port: write a name such as vale0:a, or vale0:*',
  ],
  ["removing from none", () => new RuleList([], compile).without("c"), "USAGE", 'no rule "c": there are none'],
  ["a bad filter", () => new RuleList([rule("a", "bad")], compile), "FILTER", 'filter "bad"'],
  [
    "a bad name",
    () => new RuleList([rule("a b")], compile),
    "USAGE",
    'rule "a b": name: "a b" is no name: use letters, digits, _ . -',
  ],
  [
    "a snaplen too long",
    () => new RuleList([{ ...rule("a"), snaplen: 262145 }], compile),
    "USAGE",
    'rule "a": snaplen: 262145 is not from 0 (all) to 262144',
  ],
  [
    "a sample of none",
    () => new RuleList([{ ...rule("a"), sample: 0 }], compile),
    "USAGE",
    'rule "a": sample: 0 is not from 1 (all) to 2147483648',
  ],
  [
    "a durability",
    () => new RuleList([{ ...rule("a"), durability: "x" as never }], compile),
    "USAGE",
    'rule "a": durability: "x" is not strict or relaxed',
  ],
  [
    "too many",
    () =>
      new RuleList(
        Array.from({ length: 1025 }, () => rule("")),
        compile,
      ),
    "USAGE",
    "1025 rules: at most 1024 can be at work",
  ],
];
for (const [title, make, code, message] of wrong)
  test(`refused: ${title}`, (t) => {
    t.throws(make, { code, message });
  });

test("a rule becomes what the engine runs", (t) => {
  const given: RuleText = { ...rule("a", "tcp"), inPorts: ["vale0:*"], durability: "relaxed", sample: 2 };
  const { specs, text } = new RuleList([given, rule("b")], compile).compiled();
  t.deepEqual(specs[0], {
    name: "a",
    filter: "tcp",
    program: new Uint8Array(8),
    inPorts: ["vale0:*"],
    outPorts: [],
    snaplen: 0xffffffff,
    sample: 2,
    skip: false,
    durability: "relaxed",
  });
  t.false("durability" in specs[1]!);
  t.deepEqual(JSON.parse(text)[0], given);
});

const sizes: [text: string, bytes: number | undefined][] = [
  ["4096", 4096],
  ["64M", 64 * 2 ** 20],
  ["64 MiB", 64 * 2 ** 20],
  ["1.5g", 1.5 * 2 ** 30],
  ["2TB", 2 * 2 ** 40],
  ["0", undefined],
  ["-1", undefined],
  ["1.3", undefined],
  ["M", undefined],
  ["1P", undefined],
  ["99999999T", undefined],
];
for (const [text, bytes] of sizes)
  test(`size ${text}`, (t) => {
    if (bytes !== undefined) t.is(parseSize(text, "--size"), bytes);
    else t.throws(() => parseSize(text, "--size"), { code: "USAGE", message: /^--size: ".*" is no size/ });
  });

test("sequences as they are printed", (t) => {
  for (const [text, value] of [
    ["0", 0n],
    ["#1234", 1234n],
    ["17,003", 17003n],
    ["18446744073709551615", 2n ** 64n - 1n],
  ] as const)
    t.is(parseSequence(text, "--from"), value);
  for (const text of ["", "#", "1,23", "1,2345", ",123", "-1", "1.5", "0x10", "18446744073709551616"])
    t.throws(() => parseSequence(text, "--from"), { code: "USAGE", message: /^--from: ".*" is no sequence: / }, text);
});
