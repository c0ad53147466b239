// What each wrong command line says: one line on stderr, exit 2 for usage, 1 for a job that failed, nothing on stdout.
import { spawnSync } from "node:child_process";
import { closeSync, existsSync, mkdtempSync, openSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import test from "ava";
import { portKindsText } from "../../switch/port-spec.js";
import { skip } from "../support/skip.js";
import { cliPath, runCli } from "./run-cli.js";

const folder = mkdtempSync(join(tmpdir(), "paste-usage-"));
test.after.always(() => rmSync(folder, { recursive: true }));
const nowhere = join(folder, "control.sock");
writeFileSync(join(folder, "bad.toml"), '[store]\nsize = "1X"\n\n[[rule]]\nfilter = "tcp prot 80"\n');
writeFileSync(join(folder, "good.toml"), '[[rule]]\nfilter = "tcp port 80"\n');
const noDaemon = `no daemon answers at ${nowhere}: start one with \`paste-switch daemon\`, or name it with --control, or --name (of a rule: --instance)`;

const table: [args: string[], status: number, stderr: string][] = [
  [["nonsense"], 2, "unknown command 'nonsense': see `paste-switch --help`"],
  [["stat"], 2, "unknown command 'stat' (Did you mean stats?): see `paste-switch --help`"],
  [["--nonsense"], 2, "unknown option '--nonsense': see `paste-switch --help`"],
  [["stats", "--jsn"], 2, "unknown option '--jsn' (Did you mean --json?): see `paste-switch help stats`"],
  [["stats", "--watch", "0"], 2, '--watch: "0" is no whole number from 1 to 300'],
  [["port", "nonsense"], 2, "unknown command 'nonsense': see `paste-switch help port`"],
  [["port", "add"], 2, "missing required argument 'spec': see `paste-switch help port`"],
  [
    ["port", "add", "tap:t0,mode=native"],
    2,
    'port "tap:t0,mode=native": unknown option mode: a tap port takes queues, mtu, persist, owner, group, netns, mac, ' +
      "address, offload, access, trunk, native, mirror, mirror-direction",
  ],
  [["port", "add", "eth0"], 2, `port "eth0": no kind: use ${portKindsText}`],
  [["port", "add", "foo:x"], 2, `port "foo:x": "foo:" is no kind of port: use ${portKindsText}`],
  [
    ["port", "add", "vale0:a-b"],
    2,
    'port "vale0:a-b": a name is SWITCH:PORT such as vale0:a, of letters, digits and _, each part at most 15 long',
  ],
  [["port", "add", "pcap:"], 2, 'port "pcap:": no file is named: write pcap:FILE'],
  [
    ["port", "add", "pcap:x.pcap,speed=fast"],
    2,
    'port "pcap:x.pcap,speed=fast": speed=fast: write a factor such as 1 or 2.5, or max',
  ],
  [
    ["port", "add", "pcap:x.pcap,loop=-1"],
    2,
    'port "pcap:x.pcap,loop=-1": loop=-1: write how often to play the file, 0 for ever',
  ],
  [["rule", "add", "--strict", "--relaxed"], 2, "--strict and --relaxed exclude each other: leave one out"],
  [["query", "-r", "/dev/null", "-tttttt"], 2, "-t is given too often: there are -t, -tt, -ttt, -tttt and -ttttt"],
  ...["tail", "trace", "audit"].map((command): [string[], number, string] => [
    [command, "-r", "a", "-r", "b"],
    2,
    "-r a -r b: one store at a time here; query and export take several",
  ]),
  [["export"], 2, "required option '-w, --write <file>' not specified: see `paste-switch help export`"],
  [["rule", "add", "-s", "lots"], 2, '-s: "lots" is no whole number from 0 to 262144'],
  [["rule", "add", "--sample", "0"], 2, '--sample: "0" is no whole number from 1 to 2147483648'],
  [
    ["mac", "add", "02:00:00:00:00:01", "vale0:a", "--vlan", "4095"],
    2,
    '--vlan: "4095" is no whole number from 0 to 4094',
  ],
  [["stats", "--control", nowhere], 1, noDaemon],
  [["port", "list", "--control", nowhere], 1, noDaemon],
  [["rule", "add", "--control", nowhere, "tcp", "port", "80"], 1, noDaemon],
  [
    ["stats", "--control", `/${"x".repeat(110)}`],
    2,
    `/${"x".repeat(110)}: longer than the 107 bytes of a socket's path: use --control with a shorter one`,
  ],
  [["stats", "--name", "a/b"], 2, '--name "a/b": use letters, digits, _ . and -, at most 32'],
  [
    ["config", "check", join(folder, "none.toml")],
    2,
    `configuration ${join(folder, "none.toml")}: there is no such file`,
  ],
  [["config", "check", "/dev/null"], 2, "configuration /dev/null: it is no regular file: write it into one"],
  [["config", "check", folder], 2, `configuration ${folder}: it is a folder`],
];
for (const [args, status, message] of table)
  test(`paste-switch ${args.join(" ").replace(folder, "FOLDER").slice(0, 70)}`, async (t) => {
    t.deepEqual(await runCli(args), { status, stdout: "", stderr: `paste-switch: ${message}\n` });
  });

test("config check prints every problem, or OK", async (t) => {
  const bad = join(folder, "bad.toml");
  const { status, stdout, stderr } = await runCli(["config", "check", bad]);
  t.is(status, 1);
  t.is(stderr, "");
  const lines = stdout.split("\n");
  t.is(lines[0], `${bad}:2: store.size: size: "1X" is no size: write bytes, or a number with K, M, G or T such as 64M`);
  t.true(lines[1]!.startsWith(`${bad}:5: rule[1].filter: `), lines[1]);
  t.deepEqual(lines.slice(2), ["2 problems", ""]);
  t.deepEqual(await runCli(["config", "check", join(folder, "good.toml")]), { status: 0, stdout: "OK\n", stderr: "" });
});

test("stacks are for --debug only", async (t) => {
  for (const [args, env] of [
    [["--debug", "stats", "--control", nowhere], {}],
    [["stats", "--control", nowhere], { PASTE_SWITCH_DEBUG: "1" }],
  ] as const) {
    const { status, stderr } = await runCli([...args], { env });
    t.is(status, 1);
    t.regex(stderr, /^paste-switch: no daemon answers[^\n]*\nPasteError: [^\n]*\n {4}at /);
  }
});

test("a capture where a store is needed is called one", async (t) => {
  const capture = join(folder, "c.pcap");
  for (const [title, magic, bytes] of [
    ["pcap", "d4c3b2a1", 20 << 20],
    ["pcap, nanoseconds, big-endian", "a1b23c4d", 20],
    ["pcapng", "0a0d0d0a", 100_000],
  ] as const) {
    writeFileSync(capture, Buffer.concat([Buffer.from(magic, "hex"), Buffer.alloc(bytes)]));
    for (const args of [
      ["trace", "-r", capture, "1"],
      ["tail", "-r", capture],
      ["store", "info", capture],
    ])
      t.deepEqual(
        await runCli(args),
        {
          status: 1,
          stdout: "",
          stderr:
            `paste-switch: ${capture} is a capture, and this needs a store: make one of it with ` +
            "`paste-switch import`, or look into it with `paste-switch query -r`\n",
        },
        title,
      );
  }
});

test("a full output is said once, with what was written", async (t) => {
  if (!existsSync("/dev/full")) return skip(t, "no /dev/full");
  const capture = join(folder, "one.pcap");
  const header = Buffer.alloc(24);
  header.write("d4c3b2a102000400", "hex");
  header.writeUInt32LE(65535, 16);
  header.writeUInt32LE(1, 20);
  const frame = Buffer.alloc(16 + 60);
  frame.writeUInt32LE(60, 8);
  frame.writeUInt32LE(60, 12);
  writeFileSync(capture, Buffer.concat([header, frame]));
  const full = openSync("/dev/full", "w");
  t.teardown(() => closeSync(full));
  for (const [args, stopped] of [
    [["export", "-r", capture, "-w", "-"], "stopped after 0 frames: "],
    [["query", "-r", capture], "stopped after 0 frames: "],
    [["query", "--count", "-r", capture], ""],
    [["help"], ""],
  ] as const) {
    const { status, stderr } = spawnSync(process.execPath, [cliPath, ...args], {
      stdio: ["ignore", full, "pipe"],
      encoding: "utf8",
    });
    t.is(status, 1);
    t.deepEqual(
      stderr.split("\n").filter((line) => line.startsWith("paste-switch: ")),
      [`paste-switch: standard output: ${stopped}the disk is full: make room, or choose another place`],
      args.join(" "),
    );
  }
});
