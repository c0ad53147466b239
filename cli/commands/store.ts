import type { StoreInfo } from "../../logger/reader.js";
import type { Command } from "../commander.js";
import { addInstanceOptions, type InstanceFlags } from "../connect.js";

export function define(command: Command): void {
  command
    .command("create")
    .description("Make a store and reserve its space.")
    .argument("<path>", "a file on DAX, tmpfs or a disk, or a device-DAX node")
    .requiredOption("--size <size>", "64M, 1G, ...; at least 16M")
    .option("--block <size>", "bytes in a block, 64K to 4M (default: by the store's size)")
    .option("--sparse", "do not reserve the space: on a full file system the store is then smaller than its size")
    .addHelpText("after", "\nExample:\n  paste-switch store create --size 1G /dev/shm/lab.store")
    .action(create);
  command
    .command("info")
    .description("Say what a store holds, and what it stands on. Reads only.")
    .argument("<path>", "a store, also one in use")
    .option("--json", "as JSON")
    .addHelpText("after", "\nExample:\n  paste-switch store info /dev/shm/lab.store")
    .action(info);
  command
    .command("verify")
    .description(
      "Check every record of a store and its index against their checksums, or an export against its manifest. Reads only.",
    )
    .argument("[path]", "a store, also one in use")
    .option(
      "--manifest <file>",
      "an export's FILE.manifest.json or FILE.manifest: prove that nothing was changed, dropped or added",
    )
    .option("--key <pem>", "with --manifest: the public key that must have signed it")
    .option("-r, --read <store...>", "with --manifest: what was exported, to compare its records, too")
    .addHelpText(
      "after",
      `
Exits 1 when something is damaged, or not as it was.

Examples:
  paste-switch store verify lab.store
  paste-switch store verify --manifest case-7.pcapng.manifest.json --key case.pub -r lab.store`,
    )
    .action(verify);
  command
    .command("recover")
    .description("Bring a store whose daemon died into order, as the next daemon would at its start.")
    .argument("<path>", "a store that no daemon has open")
    .option("--dry-run", "say what would be done, write nothing")
    .addHelpText("after", "\nExample:\n  paste-switch store recover --dry-run lab.store")
    .action(recover);
  addInstanceOptions(command.command("trim"))
    .description("Give up the oldest records, block by block; a daemon that has the store open is asked to.")
    .argument("<path>", "a store")
    .requiredOption("--before <sequence>", "whole blocks whose records all lie before it")
    .addHelpText("after", "\nExample:\n  paste-switch store trim --before 100000 lab.store")
    .action(trim);
}

async function create(path: string, flags: { size: string; block?: string; sparse?: boolean }): Promise<void> {
  const { createStore } = await import("../../logger/store.js");
  const { parseSize } = await import("../../switch/units.js");
  await createStore(path, {
    sizeBytes: parseSize(flags.size, "--size"),
    ...(flags.block === undefined ? {} : { blockBytes: parseSize(flags.block, "--block") }),
    ...(flags.sparse ? { sparse: true } : {}),
  });
  const { openStore } = await import("../../logger/reader.js");
  const made = await openStore(path).info();
  process.stderr.write(`${path}: on ${made.medium}: ${made.survives}\n`);
}

async function info(path: string, flags: { json?: boolean }): Promise<void> {
  const { openStore } = await import("../../logger/reader.js");
  const { formatJson } = await import("../format.js");
  const found = await openStore(path).info();
  process.stdout.write(flags.json ? `${formatJson(found)}\n` : await infoText(path, found));
}

async function infoText(path: string, store: StoreInfo): Promise<string> {
  const { formatBytes, formatCount, formatTime } = await import("../format.js");
  const state = store.writerAlive
    ? "open: a daemon or an import writes it"
    : store.clean
      ? "closed clean"
      : "its daemon died: the next one recovers it, or `paste-switch store recover`";
  const lines = [
    `store    ${path}, ${formatBytes(store.sizeBytes)}, version ${store.version}, ${store.uuid}`,
    `state    ${state}`,
    `medium   ${store.medium} on ${store.fileSystem}: ${store.survives}`,
    `created  ${formatTime(store.createdNs)}, epoch ${store.epoch}`,
    `blocks   ${formatCount(store.blockCount)} of ${formatBytes(store.blockBytes)}: ${formatCount(store.blocksFree)} free, ` +
      `${formatCount(store.blocksLog)} log, ${formatCount(store.blocksBuffers)} buffers, ${formatCount(store.blocksUnsealed)} unsealed`,
    store.blocksIndex === 0
      ? "index    none"
      : `index    ${formatCount(store.blocksIndex)} blocks, ${formatBytes(store.blocksIndex * store.blockBytes)}: ` +
        `${((100 * store.blocksIndex) / Math.max(store.blocksLog + store.blocksBuffers, 1)).toFixed(1)} % of log and buffers`,
  ];
  if (store.firstSequence === 0n) lines.push("records  none");
  else
    lines.push(
      `records  ${formatCount(store.firstSequence)} to ${formatCount(store.durableSequence)} ` +
        `(${formatCount(store.records)}, counting what each block repeats)` +
        (store.trimmedBefore > 0n ? `, trimmed before ${formatCount(store.trimmedBefore)}` : ""),
      `frames   ${formatCount(store.frames)}, ${formatBytes(store.frameBytes)}`,
      `times    ${formatTime(store.oldestTimeNs)} to ${formatTime(store.newestTimeNs)}`,
    );
  return `${lines.join("\n")}\n`;
}

interface VerifyFlags {
  manifest?: string;
  key?: string;
  read?: string[];
}

async function verify(path: string | undefined, flags: VerifyFlags): Promise<void> {
  const { PasteError } = await import("../../logger/errors.js");
  if (flags.manifest !== undefined && path === undefined) return verifyExport({ ...flags, manifest: flags.manifest });
  if (path === undefined || flags.manifest !== undefined)
    throw new PasteError("USAGE", "give either a store's path or --manifest FILE (the store behind it with -r)");
  if (flags.key !== undefined || flags.read !== undefined)
    throw new PasteError("USAGE", "--key and -r belong to --manifest: give that, too");
  const { openStore } = await import("../../logger/reader.js");
  const { formatOf } = await import("../format.js");
  const { problems, counters } = await openStore(path).verify();
  for (const { block, offset, what } of problems) process.stdout.write(`block ${block}, byte ${offset}: ${what}\n`);
  const checked = `${formatOf(counters.records, "record")}, ${formatOf(counters.frames, "frame")} checked`;
  if (counters.corrupt === 0 && problems.length === 0) {
    process.stdout.write("OK\n");
    process.stderr.write(`${checked}\n`);
    return;
  }
  process.stdout.write(`${formatOf(Math.max(counters.corrupt, problems.length), "problem")}\n`);
  process.stderr.write(`${checked}\n`);
  process.exitCode = 1;
}

async function verifyExport({ manifest, key, read }: VerifyFlags & { manifest: string }): Promise<void> {
  const { readPublicKey } = await import("../../logger/export/manifest-signature.js");
  const { verifyManifest } = await import("../../logger/export/verify-manifest.js");
  const { formatOf } = await import("../format.js");
  const { problems, notes, frames, files } = await verifyManifest({
    manifest,
    ...(key === undefined ? {} : { key: await readPublicKey(key) }),
    ...(read === undefined ? {} : { sources: read }),
  });
  for (const problem of problems) process.stdout.write(`${problem}\n`);
  if (problems.length === 0) process.stdout.write("OK\n");
  for (const note of notes) process.stderr.write(`${note}\n`);
  if (problems.length === 0) {
    process.stderr.write(`${formatOf(frames, "frame")} in ${formatOf(files, "file")} checked\n`);
    return;
  }
  process.stdout.write(`${formatOf(problems.length, "problem")}\n`);
  process.exitCode = 1;
}

async function recover(path: string, flags: { dryRun?: boolean }): Promise<void> {
  const { openStore } = await import("../../logger/reader.js");
  const { recoverStore } = await import("../../logger/store.js");
  const { recoveryText } = await import("../../switch/recovery-text.js");
  const inUse = flags.dryRun === true && (await openStore(path).info()).writerAlive;
  const report = await recoverStore(path, { dryRun: flags.dryRun ?? false });
  const lines = recoveryText(report);
  if (lines.length === 0) lines.push("recovery: the store was closed clean, nothing is to be done");
  if (inUse) lines.unshift("recovery: a daemon has the store open; this is what would be done if it died now");
  if (flags.dryRun) lines.push("recovery: dry run, nothing was written");
  process.stdout.write(`${lines.join("\n")}\n`);
}

async function trim(path: string, flags: InstanceFlags & { before: string }): Promise<void> {
  const { trimAnywhere } = await import("../../switch/trim.js");
  const { parseSequence } = await import("../../switch/units.js");
  const { formatOf } = await import("../format.js");
  const blocks = await trimAnywhere(path, parseSequence(flags.before, "--before"), flags);
  process.stderr.write(`${formatOf(blocks, "block")} given up\n`);
}
