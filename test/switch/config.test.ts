import { readFileSync } from "node:fs";
import { join } from "node:path";
import test from "ava";
import { parse } from "smol-toml";
import { PasteError } from "../../logger/errors.js";
import { packageRoot } from "../../native/load.js";
import { defaultConfig, parseConfig, problemText } from "../../switch/config.js";
import { configKeys } from "../../switch/config-schema.js";
import { noPortOptions } from "../../switch/port-options.js";
import { portKindsText } from "../../switch/port-spec.js";
import { scanToml } from "../../switch/toml-lines.js";

/** Stands for the compiler: what it refuses is enough to see where its message ends up. */
function compile(filter: string): Uint8Array {
  if (filter.includes("nonsense")) throw new PasteError("FILTER", `filter "${filter}": nonsense`);
  return new Uint8Array(8);
}
const check = (text: string) => parseConfig(text, "/etc/ps", compile);

const example = readFileSync(join(packageRoot(), "examples", "paste-switch.toml"), "utf8");

test("the annotated example is valid and shows every key", (t) => {
  const { config, problems } = check(example);
  t.deepEqual(problems, []);
  t.truthy(config);
  const shown = parse(example) as Record<string, object | object[]>;
  for (const key of configKeys()) {
    const [table, name] = key.split(".") as [string, string];
    const tables = [shown[table] ?? []].flat();
    t.true(
      tables.some((item) => name in item),
      `${key} is not in examples/paste-switch.toml`,
    );
  }
  for (const key of configKeys())
    t.regex(example, new RegExp(`^${key.split(".")[1]} = .* # `, "m"), `no comment says what ${key} is for`);
});

test("an empty file gives the defaults", (t) => {
  t.deepEqual(check("").config, defaultConfig());
});

test("the example's values arrive, paths counted from its folder", (t) => {
  const { config } = check(example);
  t.is(config?.store.path, "/etc/ps/example.store");
  t.is(config?.store.sizeBytes, 64 * 2 ** 20);
  t.deepEqual(config?.ports, [
    { name: "vale0:a", spec: "", options: noPortOptions },
    { name: "vale0:replay", spec: "pcap:/etc/ps/lunch.pcap,speed=1,loop=0", options: noPortOptions },
    { name: "vale0:b", spec: "", options: { ...noPortOptions, access: 5 } },
    {
      name: "vale0:uplink",
      spec: "tap:lab0,mtu=9000",
      options: { ...noPortOptions, trunk: "10+20-30", native: 5 },
    },
    { name: "vale0:watch", spec: "", options: { ...noPortOptions, mirror: ["vale0:a", "vale0:b"] } },
  ]);
  t.is(config?.switch.frameMemoryBytes, 32 * 2 ** 20);
  t.deepEqual(
    config?.rules.map(({ name, skip, snaplen, inPorts }) => ({ name, skip, snaplen, inPorts })),
    [
      { name: "no-backup", skip: true, snaplen: 0, inPorts: [] },
      { name: "web", skip: false, snaplen: 256, inPorts: ["vale0:a", "vale0:b"] },
    ],
  );
});

const bad: [title: string, text: string, ...problems: string[]][] = [
  ["syntax", "[store]\npath = \n", "c:2: "],
  [
    "an unknown table",
    "[stroe]\n",
    "c:1: stroe: unknown key: a configuration may have daemon, store, switch, port, rule",
  ],
  [
    "an unknown key",
    "[store]\n# x\nsizes = 1\n",
    "c:3: store.sizes: unknown key: [store] may have path, size, full, blockTimeoutMs, durability, persist, markBytesMin, index, indexTunnels",
  ],
  ["a wrong word", '[store]\nfull = "wrap"\n', 'c:2: store.full: "wrap" is not one of "overwrite", "stop", "block"'],
  ["a wrong type", "[store]\npath = 3\n", "c:2: store.path: 3 is not a text"],
  [
    "a size",
    '[store]\n\n\nsize = "much"\n',
    'c:4: store.size: size: "much" is no size: write bytes, or a number with K, M, G or T such as 64M',
  ],
  [
    "a size of a wrong type",
    "[store]\nsize = true\n",
    'c:2: store.size: true is no size: write bytes, or a text such as "64M"',
  ],
  ["a number out of range", "[daemon]\nthreads = 17\n", "c:2: daemon.threads: 17 is out of range: at most 16"],
  ["no whole number", "[daemon]\nthreads = 1.5\n", "c:2: daemon.threads: 1.5 is not a whole number"],
  [
    "a device of no kind",
    '[daemon]\ndevices = [\n  "tap:*",\n  "eth0",\n]\n',
    'c:2: daemon.devices[2]: "eth0": must be like "tap:*", "xdp:eth0", "netmap:*", "netns:blue" or "*"',
  ],
  ["no power of two", "[switch]\nmacEntries = 1000\n", "c:2: switch.macEntries: 1000: must be a power of two"],
  [
    "a share over the whole",
    "[switch]\nmacEntries = 64\n",
    "c:1: switch.macEntriesPerPort: 4096 is more than macEntries, 64",
  ],
  ["a port of nothing", "[[port]]\n", "c:1: port[1]: needs a name, a spec, or both"],
  [
    "a kind that is none",
    '[[port]]\nname = "vale0:a"\n[[port]]\nspec = "tun:t0"\n',
    `c:4: port[2].spec: port "tun:t0": "tun:" is no kind of port: use ${portKindsText}`,
  ],
  [
    "options of a port, each at its line",
    '[[port]]\nname = "vale0:a"\naccess = 4095\nmirror = ["b", "c d"]\n',
    "c:3: port[1].access: access=4095: write a VLAN id, 1 to 4094",
    "c:4: port[1].mirror: mirror=b+c d: write the ports to watch, such as vale0:a+vale0:b or vale0:*",
  ],
  [
    "options of a port that do not go together",
    '[[port]]\nname = "vale0:a"\naccess = 4\ntrunk = "all"\n',
    'c:2: port[1].name: port "vale0:a": access and trunk exclude each other: leave one out',
  ],
  [
    "an option in the specification and as a key",
    '[[port]]\nspec = "vale0:a,access=4"\naccess = 4\n',
    'c:2: port[1].spec: port "vale0:a": access is given twice',
  ],
  [
    "VLANs that are none",
    '[[port]]\nname = "vale0:a"\ntrunk = [1, "5-4"]\n',
    "c:3: port[1].trunk: trunk=1+5-4: write all, or VLAN ids and ranges from 1 to 4094 such as 10+20-30",
  ],
  [
    "VLANs of a wrong type",
    '[[port]]\nname = "vale0:a"\ntrunk = 10\n',
    'c:3: port[1].trunk: 10 is no list of VLANs: write "all", or ids and ranges such as [10, "20-30"]',
  ],
  [
    "frame memory",
    '[switch]\nframeMemory = "2G"\n',
    "c:2: switch.frameMemory: 2G is out of range: at most 1G for each forwarding thread",
  ],
  [
    "a port twice",
    '[[port]]\nname = "vale0:a"\n[[port]]\nspec = "vale0:a"\n',
    "c:3: port[2]: vale0:a is configured twice: names are unique",
  ],
  [
    "a rule twice",
    '[[rule]]\nname = "x"\n[[rule]]\nname = "x"\n',
    'c:4: rule[2].name: "x" is configured twice: names are unique',
  ],
  ["a bad filter", '[[rule]]\nname = "x"\nfilter = "nonsense"\n', 'c:3: rule[1].filter: filter "nonsense": nonsense'],
  [
    "a rule's own port",
    '[[rule]]\nin = ["a b"]\n',
    'c:2: rule[1].in: "a b" is no port: write a name such as vale0:a, or vale0:*',
  ],
  [
    "several at once, by line",
    '[daemon]\nwait = "long"\n[store]\nfull = "wrap"\n',
    'c:2: daemon.wait: "long" is not one of "adaptive", "block", "busy"',
    'c:4: store.full: "wrap" is not one of "overwrite", "stop", "block"',
  ],
  ["a table that is a list", "store = []\n", "c:1: store: this is not a table"],
];
for (const [title, text, ...expected] of bad)
  test(`problem: ${title}`, (t) => {
    const { config, problems } = check(text);
    t.is(config, undefined);
    const texts = problems.map((problem) => problemText("c", problem));
    t.is(texts.length, expected.length, texts.join("\n"));
    for (const [index, words] of expected.entries())
      if (words.endsWith(": ")) t.true(texts[index]!.startsWith(words), texts[index]);
      else t.is(texts[index], words);
  });

test("keys are found behind multi-line strings, lists and quoted names", (t) => {
  const text = [
    'a = """', // 1
    "[no.table]", // 2
    'b = 1 \\""" still', // 3
    '"""', // 4
    "list = [ # ]", // 5
    '  "]",', // 6
    "]", // 7
    '"quoted.key" = 1', // 8
    "[[t]]", // 9
    "x.y = { z = 1 }", // 10
    "# comment", // 11
    "[[t]] # again", // 12
    "x = '''one'''", // 13
    "y = 2", // 14
    "[a.b]", // 15
  ].join("\n");
  t.notThrows(() => parse(text.replace("[a.b]", "[c.b]")));
  const { lineOf, tables } = scanToml(text);
  const places: [(string | number)[], number][] = [
    [["a"], 1],
    [["list"], 5],
    [["quoted.key"], 8],
    [["t", 0], 9],
    [["t", 0, "x", "y"], 10],
    [["t", 0, "x", "y", "z"], 10],
    [["t", 1], 12],
    [["t", 1, "y"], 14],
    [["t", 1, "unknown"], 12],
    [["a", "b"], 15],
    [["nowhere"], 1],
  ];
  for (const [path, line] of places) t.is(lineOf(path), line, path.join("."));
  t.deepEqual(
    tables.map(({ path, line, end }) => [path.join("."), line, end]),
    [
      ["t.0", 9, 11],
      ["t.1", 12, 15],
      ["a.b", 15, 16],
    ],
  );
});
