import type { LineFormat, QueryReport } from "../../logger/query.js";
import type { TallyOptions } from "../../logger/query-tally.js";
import { type Command, Option } from "../commander.js";
import { addInstanceOptions } from "../connect.js";
import { addTextOptions, type TextFlags } from "../print-options.js";
import { addCaptureOptions, addSourceOptions, type RangeFlags, rangeOptions } from "../sources.js";

interface QueryFlags extends RangeFlags, TextFlags {
  limit?: string;
  reverse?: boolean;
  index: boolean;
  count?: boolean;
  flows?: boolean;
  top?: string;
  sort?: string;
  rows?: string;
  json?: boolean;
  jsonl?: boolean;
  explain?: boolean;
  nano?: boolean;
  number?: boolean;
}

export function define(command: Command): void {
  addSourceOptions(addInstanceOptions(command))
    .option("-c, --limit <n>", "so many packets at most; of --flows and --top: rows (default: all)")
    .option("--reverse", "newest first; of captures, and of `any port`: with -c")
    .option("-s, --snaplen <bytes>", "so many bytes of a packet at most; 0: all")
    .option("--from <sequence>", "of a store: from this sequence on")
    .option("--to <sequence>", "of a store: up to this sequence");
  addTextOptions(command)
    .option("-n", "numbers instead of names: always so")
    .option("-#, --number", "the store's sequence of each packet in front; of several sources also which one")
    .option("--nano", "nine digits of a second")
    .option("--json", "a JSON array, with the names of EVE (Suricata)")
    .option("--jsonl", "the same, an object a line")
    .option("--count", "how many packets and bytes")
    .option("--flows", "a row for each conversation")
    .option(
      "--top <field>",
      "who has most: src, dst, host, src-port, dst-port, port, proto, vlan, ethertype, src-mac, dst-mac, mac, in-port, out-port, rule, outcome, icmp-type",
    )
    .addOption(
      new Option("--sort <order>", "of --flows (default: first) and --top (default: packets)").choices([
        "first",
        "last",
        "packets",
        "bytes",
      ]),
    )
    .option(
      "--rows <n>",
      "rows that --flows and --top may keep in memory, those met first; -c shows the first of the order (default: 1048576)",
    )
    .option("--no-index", "scan, even where the index could answer")
    .option("--explain", "say what was looked at");
  addCaptureOptions(command)
    .addHelpText(
      "after",
      `
Lines are those of tcpdump -n; what applications say is left to tshark (export -w - ... | tshark -r -). Packets of a
store come in sequence order, several sources are merged by time. The filter's words are those of \`paste-switch
export --help\`. Exits 1 where damaged records were left out; logger/QUERY.md explains the fields.

Examples:
  paste-switch query host 10.0.0.7 and tcp port 443
  paste-switch query -c 20 --reverse -e dropped and after 15m ago
  paste-switch query -r lab.store -tttt -X udp port 53
  paste-switch query -r day1.store -r day2.store -# host 10.0.0.7
  paste-switch query --flows --sort bytes -c 10 in-port 'vale0:*'
  paste-switch query --top src between 14:00 and 14:05
  paste-switch query --jsonl icmp | jq .src_ip`,
    )
    .action(query);
}

async function query(words: string[], flags: QueryFlags): Promise<void> {
  const { PasteError } = await import("../../logger/errors.js");
  const { interruption } = await import("../progress.js");
  const { damageText } = await import("../format.js");
  const { reportLines } = await import("../query-remarks.js");
  checkFlags(flags, PasteError);
  const options = { ...(await selection(words, flags)), signal: interruption() };
  const report = flags.count || flags.flows || flags.top ? await tally(options, flags) : await lines(options, flags);
  for (const line of reportLines(report, flags.explain)) process.stderr.write(`${line}\n`);
  if (report.counters.corrupt > 0) throw new PasteError("STORE", damageText(report.counters.corrupt));
}

function checkFlags(flags: QueryFlags, PasteError: typeof import("../../logger/errors.js").PasteError): void {
  const exclude = (...names: (keyof QueryFlags)[]) => {
    const given = names.filter((name) => flags[name]);
    if (given.length > 1) throw new PasteError("USAGE", `--${given.join(" and --")} exclude each other: choose one`);
  };
  exclude("count", "flows", "top");
  exclude("json", "jsonl");
  exclude("count", "reverse");
  exclude("flows", "reverse");
  exclude("top", "reverse");
  exclude("count", "limit");
  if (flags.sort && !flags.flows && !flags.top)
    throw new PasteError("USAGE", "--sort is for --flows and --top: packets come in the store's order, or --reverse");
}

async function selection(words: string[], flags: QueryFlags): Promise<Omit<TallyOptions, "rowsMax">> {
  return { ...(await rangeOptions(words, flags)), index: flags.index };
}

async function limitOf({ limit }: QueryFlags): Promise<number | undefined> {
  const { parseWhole } = await import("../../switch/units.js");
  return limit === undefined ? undefined : parseWhole(limit, "-c", 1, Number.MAX_SAFE_INTEGER);
}

async function lines(options: Omit<TallyOptions, "rowsMax">, flags: QueryFlags): Promise<QueryReport> {
  const { queryLines } = await import("../../logger/query.js");
  const limit = await limitOf(flags);
  return queryLines({
    ...options,
    output: "-",
    format: await lineFormat(flags),
    ...(limit === undefined ? {} : { limit }),
    ...(flags.reverse ? { reverse: true } : {}),
  });
}

async function lineFormat(flags: QueryFlags): Promise<LineFormat> {
  const { textOptions } = await import("../print-options.js");
  const text = await textOptions(flags);
  if (flags.json || flags.jsonl) return { as: flags.json ? "json" : "jsonl", utc: flags.utc ?? false };
  return { as: "text", text: { ...text, nanoseconds: flags.nano ?? false, sequence: flags.number ?? false } };
}

async function tally(options: Omit<TallyOptions, "rowsMax">, flags: QueryFlags): Promise<QueryReport> {
  const { writeTally } = await import("../query-text.js");
  const { parseWhole } = await import("../../switch/units.js");
  const limit = await limitOf(flags);
  return writeTally(
    { ...options, ...(flags.rows === undefined ? {} : { rowsMax: parseWhole(flags.rows, "--rows", 1, 1 << 26) }) },
    {
      what: flags.count ? "count" : flags.flows ? "flows" : "top",
      as: flags.json ? "json" : flags.jsonl ? "jsonl" : "text",
      utc: flags.utc ?? false,
      ...(flags.top === undefined ? {} : { field: flags.top }),
      ...(flags.sort === undefined ? {} : { order: flags.sort as "first" | "last" | "packets" | "bytes" }),
      ...(limit === undefined ? {} : { limit }),
    },
  );
}
