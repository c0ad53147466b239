// `payload`: bytes and regular expressions behind the headers. JavaScript's own RegExp is the model of the expressions.
import test from "ava";
import fc from "fast-check";
import { FrameSelector } from "../../../logger/filter/bpf-program.js";
import { compileFilter } from "../../../logger/filter/compile.js";
import { batchOf, seed } from "./frames.js";

/** An Ethernet header of a type that nothing is known of: its payload is what follows. */
const plain = (payload: Buffer): Buffer => Buffer.concat([Buffer.alloc(12, 2), Buffer.from([0x88, 0xb5]), payload]);

/** Which payloads a filter selects. */
function selected(text: string, payloads: readonly Buffer[], wrap = plain): number[] {
  const frames = payloads.map((payload) => ({ data: wrap(payload), wireLength: 1514 }));
  return [...new FrameSelector(compileFilter(text, { record: "time" })).select(batchOf(frames))];
}

const latin = (text: string): Buffer => Buffer.from(text, "latin1");

// Letters, digits, line ends and bytes over 127 that are no letters of Latin-1 (JavaScript would know their other case).
const alphabet = "abcABC019_ -.\n\r\x00\x7f\x80\x9c\xd7\xf7";
const letter = fc.constantFrom(..."abcABC01_ -");
const escaped = fc.constantFrom(
  "\\d",
  "\\D",
  "\\w",
  "\\W",
  "\\S",
  "\\n",
  "\\r",
  "\\x80",
  "\\xf7",
  "\\.",
  "\\/",
  "\\x00",
);
const member = fc.oneof(
  letter.filter((text) => text !== "-"),
  escaped,
  fc.constantFrom("a-c", "A-C", "0-9", "\\x80-\\xf7"),
);
const bracket = fc
  .tuple(fc.constantFrom("", "^"), fc.array(member, { maxLength: 4 }))
  .map(([not, members]) => `[${not}${members.join("")}]`);
const quantifier = fc.constantFrom("", "", "", "*", "+", "?", "*?", "+?", "{2}", "{0,2}", "{1,}", "{0}");
const { pattern } = fc.letrec<{ pattern: string; row: string; atom: string }>((tie) => ({
  pattern: fc.oneof(
    { weight: 3, arbitrary: tie("row") },
    fc.array(tie("row"), { minLength: 2, maxLength: 3 }).map((rows) => rows.join("|")),
  ),
  row: fc
    .array(
      fc.oneof(
        { weight: 5, arbitrary: fc.tuple(tie("atom"), quantifier).map((all) => all.join("")) },
        fc.constantFrom("^", "$"),
      ),
      {
        maxLength: 4,
      },
    )
    .map((parts) => parts.join("")),
  atom: fc.oneof(
    { maxDepth: 3, depthIdentifier: "regex" },
    letter,
    escaped,
    bracket,
    fc.constant("."),
    fc.tuple(fc.constantFrom("(", "(?:"), tie("pattern")).map(([open, inside]) => `${open}${inside})`),
  ),
}));
const payload = fc.string({ unit: fc.constantFrom(...alphabet), maxLength: 12 }).map(latin);

test("regular expressions match what JavaScript's match, over random ones and random bytes", (t) => {
  t.log(`seed ${seed}`);
  let [matches, misses] = [0, 0];
  fc.assert(
    fc.property(
      pattern.filter((text) => text.length > 0),
      fc.constantFrom("", "i", "s", "is"),
      fc.array(payload, { minLength: 1, maxLength: 12 }),
      (text, flags, payloads) => {
        const model = new RegExp(text, flags);
        const expected = payloads.map((bytes) => Number(model.test(bytes.toString("latin1"))));
        t.deepEqual(selected(`payload /${text}/${flags}`, payloads), expected, `/${text}/${flags}`);
        for (const each of expected) each ? matches++ : misses++;
      },
    ),
    { numRuns: 1500, seed },
  );
  t.true(matches > 1000 && misses > 1000, `${matches} matches, ${misses} misses`);
});

test("bytes are found wherever they stand, and only whole", (t) => {
  t.log(`seed ${seed}`);
  const few = fc.constantFrom(0, 1, 0x5c, 0x22, 0xff);
  fc.assert(
    fc.property(
      fc.array(few, { minLength: 1, maxLength: 5 }),
      fc.array(fc.array(few, { maxLength: 150 }), { minLength: 1, maxLength: 8 }),
      (needle, haystacks) => {
        const text = needle.map((byte) => `\\x${byte.toString(16).padStart(2, "0")}`).join("");
        const expected = haystacks.map((bytes) => Number(Buffer.from(bytes).includes(Buffer.from(needle))));
        t.deepEqual(
          selected(
            `payload "${text}"`,
            haystacks.map((bytes) => Buffer.from(bytes)),
          ),
          expected,
        );
      },
    ),
    { numRuns: 1000, seed },
  );
  const long = Buffer.alloc(5000, "a");
  for (let at = 0; at + 4 <= 200; at++) {
    const hit = Buffer.from(long.subarray(0, 200));
    hit.write("need", at);
    t.deepEqual(selected('payload "need"', [hit, hit.subarray(0, at + 3)]), [1, 0], `at ${at}`);
  }
});

const forms: readonly (readonly [text: string, payload: string, selects: 0 | 1])[] = [
  ["payload GET", "GET / HTTP/1.1", 1],
  ["payload 'GET /'", "GET / HTTP/1.1", 1],
  ['payload "GET /"', "GET/", 0],
  ['payload "a\\"b\\\\c"', 'a"b\\c', 1],
  ['payload "\\r\\n\\t\\0\\x7f"', "\r\n\t\0\x7f", 1],
  ['payload "é"', "\xc3\xa9", 1],
  ["payload /é?x/", "x", 1],
  ["payload /^\\xc3\\xa9é$/", "\xc3\xa9\xc3\xa9", 1],
  ["payload /a/ and not payload /b/", "a", 1],
  ["payload /a/ and not payload /b/", "ab", 0],
  ["(payload a)", "a", 1],
  ["payload /[/\\]]+x/", "/]x", 1],
  ["payload /user=\\w+/i", "USER=me", 1],
  ["payload /a.b/", "a\nb", 0],
  ["payload /a.b/s", "a\nb", 1],
  ["payload /a{/", "a{", 1],
  ["payload /^$/", "", 1],
  ["payload /$^/", "a", 0],
];
for (const [text, bytes, selects] of forms)
  test(`${text} ${selects ? "selects" : "leaves"} ${JSON.stringify(bytes)}`, (t) => {
    t.deepEqual(selected(text, [latin(bytes)]), [selects]);
  });

test("the payload begins behind the innermost header that is known", (t) => {
  const udp = (inside: Buffer) => Buffer.concat([Buffer.from("0035003500200000", "hex"), inside]);
  const ipv4 = (protocol: number, inside: Buffer) =>
    Buffer.concat([
      Buffer.from(`4500001000004000ff${protocol.toString(16).padStart(2, "0")}0000`, "hex"),
      Buffer.from("0a0000010a000002", "hex"),
      inside,
    ]);
  const ethernet = (type: string, inside: Buffer) =>
    Buffer.concat([Buffer.alloc(12, 2), Buffer.from(type, "hex"), inside]);
  const x = latin("x");
  const frames: [what: string, frame: Buffer][] = [
    ["UDP", ethernet("0800", ipv4(17, udp(x)))],
    ["an unknown transport", ethernet("0800", ipv4(99, x))],
    ["a tag and UDP", ethernet("810000050800", ipv4(17, udp(x)))],
    ["a tag and an unknown type", ethernet("8100000588b5", x)],
    ["IP in IP", ethernet("0800", ipv4(4, ipv4(17, udp(x))))],
    [
      "VXLAN and an unknown type",
      ethernet("0800", ipv4(17, Buffer.concat([Buffer.from("003512b5002000000800000000000100", "hex"), plain(x)]))),
    ],
  ];
  for (const [what, frame] of frames) {
    t.deepEqual(
      selected("payload /^x$/", [frame], (bytes) => bytes),
      [1],
      what,
    );
    t.deepEqual(
      selected("payload /^x$/", [frame.subarray(0, -1)], (bytes) => bytes),
      [0],
      `${what}, cut off`,
    );
  }
});

const wrong: readonly (readonly [text: string, message: string])[] = [
  [
    "payload",
    'filter: the filter ends too early at column 8: expected bytes such as "GET /" or an expression such as /user=\\w+/i',
  ],
  [
    "payload hello inner", // what a shell makes of payload "hello inner"
    'filter: unknown word "inner" at column 15: expected "and", "or" or the end: bytes with blanks need quotes that the shell leaves',
  ],
  ['payload ""', "filter: nothing to search for at column 9: every frame has it"],
  ["payload //", "filter: nothing to search for at column 9: every frame has it"],
  ['payload "a', 'filter: " is never closed at column 9'],
  ["payload /a", "filter: / is never closed at column 9"],
  [
    "payload /a/g",
    'filter: unknown flag "g" at column 12: i ignores the case of letters, s lets the dot match line ends',
  ],
  [
    'payload "a\\q"',
    'filter: unknown escape "\\q" at column 11: there are \\xNN, \\r, \\n, \\t, \\0, \\\\, \\" and \\\'',
  ],
  [
    "tcp and payload /a(b/",
    'filter: regular expression: "(" is never closed at column 19: write "\\(" for the character',
  ],
  ["payload /a)/", 'filter: regular expression: ")" closes nothing at column 11: write "\\)" for the character'],
  ["payload /*a/", 'filter: regular expression: nothing to repeat at column 10: write "\\*" for the character'],
  ["payload /a**/", "filter: regular expression: nothing to repeat at column 12"],
  ["payload /a{3,2}/", "filter: regular expression: {3,2} is the wrong way round at column 11"],
  ["payload /a{1001}/", "filter: regular expression: more than 1000 repetitions at column 11"],
  [
    "payload /(a{1000}){1000}/",
    "filter: regular expression: it is too large at column 10: its repetitions written out, at most 2048 steps",
  ],
  [
    "payload /(((){1000}){1000}){1000}/",
    "filter: regular expression: it is too large at column 10: its repetitions written out, at most 2048 steps",
  ],
  [
    "payload /(a)\\1/",
    'filter: regular expression: "\\1" asks for what a group matched at column 13: that cannot be searched in one pass',
  ],
  [
    "payload /(?=a)/",
    'filter: regular expression: a group that looks around or has a name at column 10: only "(...)" and "(?:...)" are known, which do the same here',
  ],
  [
    "payload /\\ba/",
    'filter: regular expression: "\\b" is not known at column 10: write \\W or the bytes that may stand beside a word',
  ],
  ["payload /\\q/", 'filter: regular expression: unknown "\\q" at column 10: bytes are written \\xNN, \\n, \\r, \\t'],
  ["payload /[b-a]/", "filter: regular expression: a range that is the wrong way round at column 11"],
  [
    "payload /[é]/",
    'filter: regular expression: "é" is more than one byte at column 11: write bytes as \\xNN between brackets',
  ],
];
for (const [text, message] of wrong)
  test(`what cannot be searched is said, with its column: ${text}`, (t) => {
    t.throws(() => compileFilter(text, { record: "time" }), { code: "FILTER", message });
  });

test("rules refuse it, and say what to write", (t) => {
  t.throws(() => compileFilter("tcp and payload x"), {
    code: "FILTER",
    message:
      'filter: "payload" is not for rules at column 9: it searches whole frames: test bytes at their place, such as tcp[20:4] = 0x47455420',
  });
});

// A backtracking matcher would take ages for these, a cache without bounds memory: that they end is the test.
const hostile: Record<string, [pattern: string, payload: Buffer]> = {
  "nested repetitions": ["(a*)*(a*)*b", Buffer.alloc(60_000, "a")],
  "alternatives that overlap": ["(a|aa|aaa)+$b", Buffer.alloc(60_000, "a")],
  "optional parts": [`${"a?".repeat(300)}${"a".repeat(300)}b`, Buffer.alloc(20_000, "a")],
  "more states than the cache holds": [
    "[ab]*a[ab]{400}c",
    Buffer.from(Array.from({ length: 20_000 }, (_, i) => 97 + (((i * i) >> 3) % 2))),
  ],
};
for (const [what, [text, bytes]] of Object.entries(hostile))
  test(`a hostile expression ends: ${what}`, (t) => {
    t.timeout(60_000);
    t.deepEqual(selected(`payload /${text}/`, [bytes]), [0]);
  });

test("whatever is quicker is asked first, wherever it stands", (t) => {
  const loads = (text: string) => compileFilter(text, { record: "time" }).program.map(({ code }) => code === 0xc0);
  const program = loads("payload x and any host 10.0.0.1 and tcp dst port 80");
  t.is(
    program.indexOf(true),
    program.length - 6,
    "two loads of record words with their tests, and the returns, come last",
  );
  t.true(loads("payload x or tcp")[0], "not in a row of or");
});

test("what every match must hold is looked for first, and only that", (t) => {
  const literal = (pattern: string, flags = "") => {
    const [test] = compileFilter(`payload /${pattern}/${flags}`, { record: "time" }).tests;
    return test?.of === "regex" ? Buffer.from(test.literal).toString("latin1") : undefined;
  };
  const rows: [pattern: string, literal: string][] = [
    ["needle", "needle"],
    ["ne+dle", "dle"],
    ["user=\\w+;", "user="],
    ["(GET|POST) \\/admin", " /admin"],
    ["a|b", ""],
    ["x(?:abc)y", "xabcy"],
    ["x(abc)?y", "x"],
    ["(abc){2}", "abc"],
    ["\\x00\\xff", "\0\xff"],
    ["^ab$", "ab"],
  ];
  for (const [pattern, expected] of rows) t.is(literal(pattern), expected, pattern);
  t.is(literal("abc1", "i"), "1");
});

test("a regular expression's program that is damaged is refused, or runs within its bounds", (t) => {
  t.log(`seed ${seed}`);
  const filter = compileFilter("payload /(ab|[c-e]+)*x{2,3}$/", { record: "time" });
  const [good] = filter.tests;
  if (good?.of !== "regex") return t.fail();
  const batch = batchOf([{ data: plain(latin("abcabcxx")), wireLength: 1514 }]);
  const select = (program: Uint8Array) =>
    new FrameSelector({ bytes: filter.bytes, tests: [{ ...good, program, literal: new Uint8Array() }] }).select(batch);
  t.deepEqual([...select(good.program)], [1]);
  let refused = 0;
  fc.assert(
    fc.property(fc.nat(good.program.length - 1), fc.nat(255), fc.boolean(), (at, value, cut) => {
      const program = cut ? good.program.slice(0, at) : good.program.slice();
      if (!cut) program[at] = value;
      try {
        t.is(select(program).length, 1);
      } catch (error) {
        refused++;
        t.true(error instanceof TypeError && /^regular expression's program: /.test(error.message), String(error));
      }
    }),
    { numRuns: 2000, seed },
  );
  t.true(refused > 500 && refused < 1900, `${refused} refused`);
});
