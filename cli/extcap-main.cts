// What Wireshark starts (by the wrapper of `paste-switch extcap --install`): it asks often and waits for each answer, so its questions are
// answered with Node's core alone. Only --capture, and a capture filter to be checked, load more. CommonJS, as cli/main.cts.
import fs = require("node:fs");
import path = require("node:path");

/** A question or an order: option by name, "" where one has no value. */
export type ExtcapArguments = ReadonlyMap<string, string>;

const help = "https://www.wireshark.org/docs/man-pages/extcap.html";
const interfaces = new Map([
  ["paste-switch-tail", "paste-switch: frames as they come"],
  ["paste-switch-query", "paste-switch: frames that were kept"],
]);

function argumentsOf(argv: readonly string[]): ExtcapArguments {
  const found = new Map<string, string>();
  for (let i = 0; i < argv.length; i++) {
    const [name = "", ...rest] = argv[i]!.split("=");
    if (rest.length > 0) found.set(name, rest.join("="));
    else if (argv[i + 1] !== undefined && !argv[i + 1]!.startsWith("--")) found.set(name, argv[++i]!);
    else found.set(name, "");
  }
  return found;
}

function version(): string {
  const packageFile = path.join(__dirname, "..", "..", "package.json");
  return (JSON.parse(fs.readFileSync(packageFile, "utf8")) as { version: string }).version;
}

/** {name=value}{...}: braces in a value would end it. */
const words = (fields: Record<string, string | number>) =>
  Object.entries(fields)
    .map(([name, value]) => `{${name}=${String(value).replace(/[{}]/g, "")}}`)
    .join("");

function interfaceLines(): string[] {
  const lines = [`extcap ${words({ version: version(), help, display: "paste-switch" })}`];
  for (const [value, display] of interfaces) lines.push(`interface ${words({ value, display })}`);
  return lines;
}

/** Sockets of daemons that may run: their instances' names, or paths where a name would not lead there (switch/instance.ts). */
function instances(): Map<string, string> {
  const found = new Map([["default", "default"]]);
  const root = "/run/paste-switch";
  const uid = process.getuid!();
  const runtime = process.env.XDG_RUNTIME_DIR;
  const own = uid === 0 ? root : runtime ? path.join(runtime, "paste-switch") : `/tmp/paste-switch-${uid}`;
  for (const folder of new Set([own, root])) {
    let names: string[] = [];
    try {
      names = fs.readdirSync(folder).sort();
    } catch {
      continue; // no daemon has been there, or it is not ours to look into
    }
    for (const name of names) {
      const control = path.join(folder, name, "control.sock");
      if (!fs.existsSync(control)) continue;
      if (folder === own) found.set(name, name);
      else found.set(control, `${name} (${folder})`);
    }
  }
  return found;
}

interface Field {
  call: string;
  display: string;
  tooltip: string;
  type: string;
  default?: string | number;
  range?: string;
  mustexist?: string;
  /** Of a selector; the first is the default. */
  values?: Iterable<readonly [string, string]>;
}

const instanceField = (): Field => ({
  call: "--instance",
  display: "Switch",
  tooltip: "Which running daemon",
  type: "selector",
  values: instances(),
});
const filterField: Field = {
  call: "--filter",
  display: "Filter",
  tooltip: "pcap-filter(7) and the words of paste-switch, such as: tcp port 443 and dropped",
  type: "string",
};
const snaplenField: Field = {
  call: "--snaplen",
  display: "Bytes of a frame at most",
  tooltip: "The rest is cut off",
  type: "unsigned",
  range: "1,262144",
  default: 262144,
};

function fieldsOf(name: string): Field[] {
  if (name === "paste-switch-tail")
    return [
      instanceField(),
      {
        call: "--source",
        display: "Frames",
        tooltip: "What rules select and the store keeps, or what passes the ports",
        type: "selector",
        values: [
          ["log", "as they are logged"],
          ["ports", "as they pass the ports"],
        ],
      },
      {
        call: "--last",
        display: "Newest logged frames first",
        tooltip: "So many frames that were logged before",
        type: "unsigned",
        range: "0,1000000",
        default: 0,
      },
      {
        call: "--port",
        display: "Port",
        tooltip: "Of frames as they pass: a port such as vale0:a, or any",
        type: "string",
        default: "any",
      },
      {
        call: "--direction",
        display: "Direction",
        tooltip: "Of frames as they pass",
        type: "selector",
        values: [
          ["auto", "of a port both; of any: what comes in"],
          ["in", "what comes in"],
          ["out", "what leaves"],
          ["inout", "both"],
        ],
      },
      {
        call: "--dropped",
        display: "Frames that went nowhere, too",
        tooltip: "Of frames as they pass",
        type: "boolflag",
        default: "false",
      },
      filterField,
      snaplenField,
    ];
  return [
    instanceField(),
    {
      call: "--store",
      display: "Store",
      tooltip: "A store to read instead of the switch's own",
      type: "fileselect",
      mustexist: "true",
    },
    filterField,
    {
      call: "--from",
      display: "From",
      tooltip: "A time, such as 14:00, yesterday 14:00:05, 15m ago, 2026-11-22T14:00:00Z",
      type: "string",
    },
    { call: "--to", display: "To", tooltip: "A time, such as 14:05; frames before it", type: "string" },
    { call: "--in-port", display: "In by port", tooltip: "A port's name; * and ? stand for others", type: "string" },
    { call: "--rule", display: "Kept by rule", tooltip: "A rule's name; * and ? stand for others", type: "string" },
    {
      call: "--count",
      display: "Frames at most",
      tooltip: "0: all of them",
      type: "unsigned",
      range: "0,4294967295",
      default: 0,
    },
    snaplenField,
  ];
}

function configLines(name: string): string[] {
  return fieldsOf(name).flatMap(({ values, ...field }, number) => [
    `arg ${words({ number, ...field })}`,
    ...[...(values ?? [])].map(
      ([value, display], at) => `value ${words({ arg: number, value, display, default: at === 0 ? "true" : "false" })}`,
    ),
  ]);
}

async function answer(asked: ExtcapArguments): Promise<string[]> {
  if (asked.has("--extcap-interfaces") || (asked.has("--extcap-version") && asked.size === 1)) return interfaceLines();
  const name = asked.get("--extcap-interface") ?? "";
  if (!interfaces.has(name))
    throw new Error(`no interface "${name}": there are ${[...interfaces.keys()].join(" and ")}`);
  if (asked.has("--extcap-dlts")) return [`dlt ${words({ number: 1, name: "EN10MB", display: "Ethernet" })}`];
  if (asked.has("--extcap-config")) return configLines(name);
  if (asked.has("--capture")) {
    await (await import("./extcap-capture.js")).capture(name, asked);
    return [];
  }
  const filter = asked.get("--extcap-capture-filter");
  if (filter !== undefined) return (await import("./extcap-capture.js")).checkFilter(filter);
  throw new Error("nothing to do: this program is started by Wireshark; `paste-switch extcap --help` tells more");
}

const fail = (text: string) => {
  process.stderr.write(`paste-switch: ${text.replace(/\s*\n\s*/g, " ")}\n`);
  process.exitCode = 1;
};

// Who asked may be gone before it is answered.
for (const stream of [process.stdout, process.stderr])
  stream.on("error", (error: NodeJS.ErrnoException) => {
    if (error.code === "EPIPE") process.exit(0);
    fail(error.message);
  });

answer(argumentsOf(process.argv.slice(2))).then(
  (lines) => process.stdout.write(lines.map((line) => `${line}\n`).join("")),
  (error: Error) => fail(error.message),
);
