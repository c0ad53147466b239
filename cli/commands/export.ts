import type { SplitOptions } from "../../logger/export/file-names.js";
import type { SanitizeOptions } from "../../logger/export/sanitize.js";
import type { ExportOptions } from "../../logger/export.js";
import { type Command, Option, repeated } from "../commander.js";
import { addInstanceOptions } from "../connect.js";
import { addCaptureOptions, addSourceOptions, type RangeFlags, rangeOptions } from "../sources.js";

interface ExportFlags extends RangeFlags {
  write: string;
  format: "pcapng" | "pcap" | "nsecpcap";
  count?: string;
  append?: boolean;
  fileSize?: string;
  fileCount?: string;
  rotate?: string;
  ringBuffer?: string[];
  compress?: string;
  utc?: boolean;
  sanitize?: string | true;
  key?: string;
  keepNames?: boolean;
  manifest?: boolean;
  sign?: string;
  comments: boolean;
}

export function define(command: Command): void {
  addSourceOptions(addInstanceOptions(command).requiredOption("-w, --write <file>", "where to; - is standard output"))
    .addOption(new Option("-F, --format <format>", "format").choices(["pcapng", "pcap", "nsecpcap"]).default("pcapng"))
    .option("-c, --count <n>", "so many frames at most")
    .option("-s, --snaplen <bytes>", "so many bytes of a frame at most; 0: all")
    .option("--from <sequence>", "of a store: from this sequence on")
    .option("--to <sequence>", "of a store: up to this sequence")
    .option("--append", "several sources one behind the other, instead of merged by time")
    .option("-C, --file-size <mb>", "go on in another file after so many million bytes (1M: MiB)")
    .option(
      "-G, --rotate <seconds>",
      "go on in another file so many seconds later, by the frames' times; FILE is a strftime format",
    )
    .option("-W, --file-count <n>", "with -C: a ring of so many files; with -G: so many files")
    .option(
      "-b, --ring-buffer <what>",
      "as dumpcap: filesize:KB, duration:S, packets:N, files:N; may be repeated",
      repeated,
    )
    .option("-z, --compress <how>", "gzip or zstd, with a level: gzip:9 (default: by FILE's ending, .gz or .zst)")
    .option("--sanitize [words]", "map addresses, cut payloads and what is not understood; keep-payload,keep-oui")
    .option("--key <file>", "with --sanitize: 32 bytes by which addresses are mapped (default: random)")
    .option("--keep-names", "with --sanitize: keep names of ports, rules and sources")
    .option(
      "--manifest",
      "write FILE.manifest.json and FILE.manifest: what `store verify --manifest` proves the export by",
    )
    .option("--sign <key>", "sign the manifest with this Ed25519 key (PEM)")
    .option("--no-comments", "pcapng without the comments that say rule, way and outcome")
    .option("--utc", "times in file names are UTC");
  addCaptureOptions(command)
    .addHelpText(
      "after",
      `
A store may be in use: it is only read, up to what is durable when the export begins. pcapng has nanoseconds, an
interface for each port, and of each frame the sequence as packet id, direction, hash, drop count, and a comment:
rule, where it went or why not. SIGINT ends the export; the file is complete up to there. Exits 1 where damaged
records were left out.

Several sources are merged by time, as mergecap does; each keeps its own order, also where its times run backwards.

Split files are called as tcpdump calls them: -C 1 -w x.pcap gives x.pcap, x.pcap1, x.pcap2; -W 10 x.pcap0 to x.pcap9,
over and over; or as dumpcap does, with -b. Sizes are those before compression, times those of the frames. Each file
is complete by itself. A ring gives up only what this export wrote; a name that somebody else's file has ends the
export.

Besides pcap-filter(7): after TIME, before TIME, between TIME and TIME, community-id ID, and of stores in-port NAME,
out-port NAME, rule NAME, forwarded, flooded, dropped, dropped REASON. Times: 14:00, yesterday 14:00:05, 15m ago,
2026-11-22T14:00:00Z, seconds since 1970. Names may be vale0:* (in quotes, because of the shell). Everywhere: flow
10.0.0.1:40000 10.0.0.2:443 tcp; any host, net, port or proto (in VLANs and tunnels, too); payload "text", payload
/regular expression/. logger/FILTER.md has them all.

Examples:
  paste-switch export -w all.pcapng
  paste-switch export -r lab.store -w dns.pcapng udp port 53
  paste-switch export -w lost.pcapng dropped and after 15m ago
  paste-switch export -w night.pcapng between yesterday 22:00 and 06:00 and in-port 'vale0:*'
  paste-switch export -r day1.store -r day2.store -w both.pcapng.gz
  paste-switch export --sanitize --key my.key -w to-share.pcapng after 1h ago
  paste-switch export -w case-7.pcapng --sign case.pem host 10.0.0.7
  paste-switch export -C 100 -W 10 -w ring.pcap -F pcap
  paste-switch export -G 3600 -w 'hour-%Y%m%d-%H.pcapng'
  paste-switch export -w - tcp port 80 and host 10.0.0.1 | tshark -r -`,
    )
    .action(exportCommand);
}

async function exportCommand(words: string[], flags: ExportFlags): Promise<void> {
  const { PasteError } = await import("../../logger/errors.js");
  const { exportFrames } = await import("../../logger/export.js");
  const { parseCompression } = await import("../../logger/export/compress.js");
  const { parseWhole } = await import("../../switch/units.js");
  const { damageText, formatBytes, formatOf, overtakenText } = await import("../format.js");
  const { interruption, Progress } = await import("../progress.js");
  if (flags.write === "-" && process.stdout.isTTY)
    throw new PasteError("USAGE", "standard output is a terminal: captures are binary, use -w FILE or a pipe");
  const split = await splitOf(flags);
  const sanitize = await sanitizeOf(flags);
  const progress = new Progress("exported");
  const report = await exportFrames({
    ...(await rangeOptions(words, flags)),
    output: flags.write,
    format: flags.format,
    plain: !flags.comments,
    ...(flags.append ? { order: "append" as const } : {}),
    ...(split ? { split } : {}),
    ...(sanitize ? { sanitize } : {}),
    ...(await manifestOf(flags)),
    ...(flags.compress === undefined ? {} : { compression: parseCompression(flags.compress) }),
    signal: interruption(),
    onProgress: ({ frames, bytes }) => progress.show(frames, bytes),
    ...(flags.count === undefined ? {} : { limit: parseWhole(flags.count, "-c", 1, Number.MAX_SAFE_INTEGER) }),
  }).finally(() => progress.end());
  const say = (text: string) => process.stderr.write(`${text}\n`);
  for (const line of [...report.notes, ...report.warnings]) say(line);
  if (report.lost > 0) say(`${formatOf(report.lost, "frame")} that a rule selected could not be logged`);
  if (report.overtaken > 0) say(overtakenText(report.overtaken, "export"));
  if (report.manifest) {
    const { json, binary, fingerprint } = report.manifest;
    say(`manifest in ${json} and ${binary}${fingerprint ? `, signed by ${fingerprint}` : ""}`);
  }
  if (sanitize && !sanitize.key)
    say("sanitized under a random key that is forgotten now: another export maps the same addresses to others (--key)");
  const { files, frames: removed } = report.removed;
  if (files > 0) say(`${formatOf(removed, "frame")} in ${formatOf(files, "file")} gave way to newer ones in the ring`);
  const ending = { aborted: ", interrupted", files: ", and no more files are wanted", done: "", closed: "" };
  const size = `${formatBytes(report.bytes)}${report.files.length > 1 ? ` in ${formatOf(report.files.length, "file")}` : ""}`;
  say(`${formatOf(report.frames, "frame")}, ${size}${ending[report.ended]}`);
  if (report.corrupt > 0) throw new PasteError("STORE", damageText(report.corrupt));
}

async function manifestOf({ manifest, sign }: ExportFlags): Promise<Pick<ExportOptions, "manifest">> {
  if (sign === undefined) return manifest ? { manifest: {} } : {};
  const { readSigningKey } = await import("../../logger/export/manifest-signature.js");
  return { manifest: { signWith: await readSigningKey(sign) } };
}

async function splitOf(flags: ExportFlags): Promise<SplitOptions | undefined> {
  const { parseRing, parseSplit } = await import("../../logger/export/split-words.js");
  const { fileSize, fileCount, rotate, ringBuffer, utc = false } = flags;
  const { PasteError } = await import("../../logger/errors.js");
  if (ringBuffer === undefined) return parseSplit({ fileSize, fileCount, rotate, utc });
  if (fileSize !== undefined || fileCount !== undefined || rotate !== undefined)
    throw new PasteError("USAGE", "-b is dumpcap's way to split, -C, -G and -W are tcpdump's: use one of them");
  return parseRing(ringBuffer, utc);
}

async function sanitizeOf({ sanitize, key, keepNames }: ExportFlags): Promise<SanitizeOptions | undefined> {
  const { parseSanitize, readSanitizeKey } = await import("../../logger/export/sanitize.js");
  const { PasteError } = await import("../../logger/errors.js");
  if (sanitize === undefined) {
    if (key === undefined && !keepNames) return undefined;
    throw new PasteError(
      "USAGE",
      `${key === undefined ? "--keep-names" : "--key"} belongs to --sanitize: give that, too`,
    );
  }
  return {
    ...parseSanitize(sanitize === true ? "" : sanitize),
    ...(keepNames ? { keepNames } : {}),
    ...(key === undefined ? {} : { key: await readSanitizeKey(key) }),
  };
}
