// The daemon's counters as text for people. Each of the three sums is written out, so that a reader can see that it holds.
import type { DaemonStats } from "../switch/control-protocol.js";
import type { RuleState } from "../switch/rules.js";
import {
  formatBytes,
  formatCount,
  formatDuration,
  formatOf,
  formatReasons,
  formatTable,
  formatTime,
} from "./format.js";
import { noPortsText } from "./ports-text.js";

const total = (reasons: Record<string, number>) => Object.values(reasons).reduce((sum, count) => sum + count, 0);

interface SumRow {
  name: string;
  whole: number;
  part: number;
  lost: Record<string, number>;
}

/** A port whose device is away. */
const isDown = ({ state }: { state: string }) => state === "down";
/** A source that ended with an error: kept in the list so that its reason can be seen. */
const isBroken = ({ state }: { state: string }) => state.startsWith("error");

export function statsText(stats: DaemonStats): string {
  const broken = stats.ports.filter(isBroken);
  const ports = stats.ports.filter((port) => !isBroken(port));
  const gone = { name: "(detached)", counters: stats.detached };
  const known = stats.detached.receivedFrames + stats.detached.intendedCopies > 0 ? [...ports, gone] : ports;
  const ingress = known.map(({ name, counters }) => ({
    name,
    whole: counters.receivedFrames,
    part: counters.forwardedFrames,
    lost: counters.dropped,
  }));
  const egress = known.map(({ name, counters }) => ({
    name,
    whole: counters.intendedCopies,
    part: counters.deliveredCopies,
    lost: counters.refused,
  }));
  return [
    headText(stats),
    ...(broken.length === 0 ? [] : [broken.map(({ name, state }) => `${name} is detached, ${state}\n`).join("")]),
    ...(ports.some(isDown)
      ? [
          ports
            .filter(isDown)
            .map(({ name, detail }) => `${name} is down: ${detail}\n`)
            .join(""),
        ]
      : []),
    known.length === 0
      ? noPortsText
      : `${sumTable(["ingress", "received", "forwarded", "dropped"], ingress)}\n${sumTable(
          ["egress", "intended", "delivered", "refused"],
          egress,
        )}`,
    ...(ports.some(({ device }) => total({ ...device }) > 0) ? [deviceText(ports)] : []),
    logText(stats),
  ].join("\n");
}

/** What the sums cannot know of. */
function deviceText(ports: DaemonStats["ports"]): string {
  return ports
    .filter(({ device }) => total({ ...device }) > 0)
    .map(({ name, device }) => `before ${name} could see them, its device dropped: ${formatReasons({ ...device })}\n`)
    .join("");
}

function headText(stats: DaemonStats): string {
  const lines = [
    `daemon   ${stats.name}, pid ${stats.pid}, ${stats.program}, up ${formatDuration(stats.uptimeMs)}`,
    `switch   ${formatOf(stats.ports.filter((port) => !isBroken(port)).length, "port")}, ${formatOf(stats.macEntries, "MAC")} known ` +
      `(${formatCount(stats.macLearned)} learned, ${formatCount(stats.macMoved)} moved, ${formatCount(stats.macAged)} aged, ` +
      `${formatCount(stats.macRefused)} refused)`,
    ...(stats.taps.length === 0 ? [] : [`taps     ${stats.taps.length} open, on ${stats.taps.join(", ")}`]),
  ];
  const { store, medium } = stats;
  if (!store) lines.push("store    none: nothing can be logged");
  else {
    const blocks = store.blocksFree + store.blocksLog + store.blocksBuffers + store.blocksIndex + store.blocksHollow;
    const used = blocks === 0 ? 0 : (stats.storeBytes * (blocks - store.blocksFree - store.blocksHollow)) / blocks;
    lines.push(
      `store    ${stats.storePath}, ${stats.durability}, when full: ${stats.full}`,
      `medium   ${medium?.name ?? "unknown"}: ${medium?.survives ?? "nothing is promised"}`,
      `space    ${formatBytes(used)} of ${formatBytes(stats.storeBytes)} in use, ${formatCount(store.blocksFree)} of ` +
        `${formatCount(blocks)} blocks free, ${formatOf(store.retiredFrames, "frame")} given up for room`,
      store.durableSequence >= store.firstSequence && store.firstSequence > 0n
        ? `records  ${formatCount(store.firstSequence)} to ${formatCount(store.durableSequence)} durable` +
            (store.oldestTimeNs > 0n ? `, the oldest of ${formatTime(store.oldestTimeNs)}` : "")
        : "records  none",
      indexText(store),
    );
    if (store.blocksHollow > 0)
      lines.push(
        `FULL     the file system has no space for ${formatCount(store.blocksHollow)} blocks of the sparse store: make room`,
      );
    if (store.syncFailed) lines.push(`FAILED   ${store.failure}`);
  }
  return `${lines.join("\n")}\n`;
}

function indexText(store: NonNullable<DaemonStats["store"]>): string {
  const lag = store.indexLagBlocks === 0 ? "" : `, ${formatOf(store.indexLagBlocks, "block")} behind`;
  const since = store.indexLagNs === 0 ? "" : ` for ${formatDuration(store.indexLagNs / 1e6)}`;
  const skipped =
    store.indexSkippedBlocks === 0 ? "" : `, ${formatOf(store.indexSkippedBlocks, "block")} overwritten unindexed`;
  const damaged =
    store.indexDamaged === 0 ? "" : `, ${formatOf(store.indexDamaged, "damaged block")} given up and made anew`;
  return (
    `index    ${formatOf(store.indexRuns, "run")}, ${formatBytes(store.indexBytes)} in ${formatOf(store.blocksIndex, "block")}; ` +
    `${formatOf(store.indexedFrames, "frame")} indexed${lag}${since}${skipped}${damaged}`
  );
}

/** Rows "whole = part + lost", a total below them; what is under way between the two appears as "waiting". */
function sumTable([title, whole, part, lost]: [string, string, string, string], rows: SumRow[]): string {
  const all: SumRow = { name: "total", whole: 0, part: 0, lost: {} };
  for (const row of rows) {
    all.whole += row.whole;
    all.part += row.part;
    for (const [reason, count] of Object.entries(row.lost)) all.lost[reason] = (all.lost[reason] ?? 0) + count;
  }
  const header = [title, whole, "", part, "", lost, "reasons"];
  const cells = [...rows, all].map((row) => {
    const waiting = row.whole - row.part - total(row.lost);
    const reasons = [formatReasons(row.lost), waiting === 0 ? "" : `waiting ${formatCount(waiting)}`];
    return [
      row.name,
      formatCount(row.whole),
      "=",
      formatCount(row.part),
      "+",
      formatCount(total(row.lost) + waiting),
      reasons.filter(Boolean).join(", "),
    ];
  });
  return formatTable(header, cells, [whole, part, lost]);
}

function logText(stats: DaemonStats): string {
  if (stats.rules.length === 0) return "no rules: nothing is logged; add one with `paste-switch rule add FILTER`\n";
  const lost = total(stats.notLogged);
  const waiting = stats.selected - stats.logged - lost;
  const reasons = [formatReasons(stats.notLogged), waiting === 0 ? "" : `waiting ${formatCount(waiting)}`].filter(
    Boolean,
  );
  const sum =
    `log      selected ${formatCount(stats.selected)} = logged ${formatCount(stats.logged)} + not logged ` +
    `${formatCount(lost + waiting)}${reasons.length > 0 ? ` (${reasons.join(", ")})` : ""}\n`;
  return `${rulesText(stats.rules)}\n${sum}`;
}

export function rulesText(rules: readonly RuleState[]): string {
  const header = ["rule", "hits", "logged", "bytes", "what", "filter"];
  const rows = rules.map((rule) => [
    rule.name,
    formatCount(rule.hits),
    formatCount(rule.logged),
    formatBytes(rule.bytes),
    ruleOptions(rule),
    rule.filter || "(every frame)",
  ]);
  return formatTable(header, rows, ["hits", "logged", "bytes"]);
}

function ruleOptions(rule: RuleState): string {
  return [
    rule.skip ? "skip" : "log",
    rule.durability,
    rule.inPorts.length > 0 ? `in ${rule.inPorts.join(",")}` : "",
    rule.outPorts.length > 0 ? `out ${rule.outPorts.join(",")}` : "",
    rule.snaplen > 0 ? `${rule.snaplen} B` : "",
    rule.sample > 1 ? `1 in ${rule.sample}` : "",
  ]
    .filter(Boolean)
    .join(" ");
}
