// Manifests: what is proved by them, and one clear sentence for each way to tamper with an export.
import { createHash, generateKeyPairSync, type KeyObject } from "node:crypto";
import { readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { gunzipSync, gzipSync } from "node:zlib";
import test, { type ExecutionContext } from "ava";
import { PasteError } from "../../../logger/errors.js";
import { canonicalJson, type Manifest, parseManifest } from "../../../logger/export/manifest.js";
import { fingerprint, publicKeyHex, readPublicKey, readSigningKey } from "../../../logger/export/manifest-signature.js";
import { verifyManifest } from "../../../logger/export/verify-manifest.js";
import { type ExportOptions, exportFrames } from "../../../logger/export.js";
import { awkwardFrames } from "../../support/awkward-traffic.js";
import { appendTo, storeWith, testFolder } from "../store-tools.js";
import { exported, manifestIn } from "./exported.js";

/** Blocks of a pcapng: type and bytes. */
function blocksOf(file: Buffer): Buffer[] {
  const blocks: Buffer[] = [];
  for (let at = 0; at < file.length; at += file.readUInt32LE(at + 4))
    blocks.push(file.subarray(at, at + file.readUInt32LE(at + 4)));
  return blocks;
}
const isPacket = (block: Buffer) => block.readUInt32LE(0) === 6;
const placeOf = (blocks: Buffer[], record: number) =>
  blocks.findIndex((block, i) => isPacket(block) && blocks.slice(0, i).filter(isPacket).length === record - 1);

test("untouched: both manifests prove the file, and the store its records", async (t) => {
  const { store, json, binary } = await exported(t);
  for (const manifest of [json, binary]) {
    const report = await verifyManifest({ manifest, sources: [store] });
    t.deepEqual(report.problems, []);
    t.is(report.frames, 2600);
    t.regex(report.notes.join("; "), /not signed.*the manifest lists the records that the store has/);
  }
  t.deepEqual(parseManifest(json, readFileSync(json)).manifest, parseManifest(binary, readFileSync(binary)).manifest);
});

test("the chain and the hash are what MANIFEST.md says, computed here by its words", async (t) => {
  const { output, json } = await exported(t, {}, 300);
  const { files, interfaces } = manifestIn(json);
  const bytes = readFileSync(output);
  t.is(files[0]!.sha256, createHash("sha256").update(bytes).digest("hex"));
  let chain = Buffer.alloc(32);
  const names: string[] = [];
  for (const block of blocksOf(bytes)) {
    if (block.readUInt32LE(0) === 1) names.push(block.subarray(20, 20 + block.readUInt16LE(18)).toString());
    if (!isPacket(block)) continue;
    const captured = block.readUInt32LE(20);
    const head = Buffer.alloc(32);
    head.writeBigUInt64LE((BigInt(block.readUInt32LE(12)) << 32n) | BigInt(block.readUInt32LE(16)), 0);
    for (
      let at = 28 + ((captured + 3) & ~3);
      block.readUInt16LE(at) !== 0;
      at += 4 + ((block.readUInt16LE(at + 2) + 3) & ~3)
    )
      if (block.readUInt16LE(at) === 5) block.copy(head, 8, at + 4, at + 12);
    head.writeUInt32LE(block.readUInt32LE(24), 16);
    head.writeUInt32LE(captured, 20);
    head.writeUInt32LE(
      interfaces.findIndex(({ name }) => name === names[block.readUInt32LE(8)]),
      24,
    );
    chain = createHash("sha256")
      .update(chain)
      .update(head)
      .update(block.subarray(28, 28 + captured))
      .digest();
  }
  t.is(files[0]!.chainAfter, chain.toString("hex"));
});

const flip = (bytes: Buffer, at: number) => {
  const changed = Buffer.from(bytes);
  changed[at]! ^= 1;
  return changed;
};
const tampered: [string, (file: Buffer) => Buffer, RegExp][] = [
  [
    "a flipped byte of a frame",
    (file) => {
      const blocks = blocksOf(file);
      const at = placeOf(blocks, 1500);
      return flip(file, Buffer.concat(blocks.slice(0, at)).length + 30);
    },
    /bytes of it were changed; .*records were changed, or stand in another order, between record 1,025 and 2,048/,
  ],
  [
    "a flipped byte of a comment or statistic",
    (file) => flip(file, file.length - 12),
    /every record is as it was.*beside them|does not fit/,
  ],
  [
    "a record dropped",
    (file) => Buffer.concat(blocksOf(file).toSpliced(placeOf(blocksOf(file), 2100), 1)),
    /bytes shorter; .*1 of 2,600 records were dropped, between record 2,049 and 2,600/,
  ],
  [
    "a record added",
    (file) => {
      const blocks = blocksOf(file);
      const packet = Buffer.from(blocks[placeOf(blocks, 10)]!);
      const at = packet.indexOf(Buffer.from([5, 0, 8, 0]), 28);
      packet.writeBigUInt64LE(1n << 40n, at + 4);
      return Buffer.concat(blocks.toSpliced(placeOf(blocks, 2600) + 1, 0, packet));
    },
    /bytes longer; .*1 record added to 2,600, between record 2,049 and 2,601/,
  ],
  [
    "two records exchanged",
    (file) => {
      const blocks = blocksOf(file);
      const [a, b] = [placeOf(blocks, 700), placeOf(blocks, 701)];
      return Buffer.concat(blocks.with(a, blocks[b]!).with(b, blocks[a]!));
    },
    /bytes of it were changed; .*records stand in another order: record 701, packet id \d+, stands behind \d+/,
  ],
  ["the end cut off", (file) => file.subarray(0, file.length - 1000), /1,000 bytes shorter/],
  [
    "the end cut off within a block",
    (file) => file.subarray(0, file.length - 6),
    /6 bytes shorter; .*it ends within a record/,
  ],
  [
    "another file in its place",
    () => Buffer.from("nothing of the kind"),
    /is not the file.*no pcap or pcapng begins like this/,
  ],
];
for (const [what, tamper, message] of tampered)
  test(`tampering: ${what}`, async (t) => {
    const { output, json, binary } = await exported(t);
    writeFileSync(output, tamper(readFileSync(output)));
    for (const manifest of [json, binary]) t.regex((await verifyManifest({ manifest })).problems.join("; "), message);
  });

test("tampering: a missing file; one of several; a manifest that is made to fit", async (t) => {
  const { output, json } = await exported(t, { split: { frames: 1000 } });
  const manifest = manifestIn(json);
  t.is(manifest.files.length, 3);
  t.deepEqual((await verifyManifest({ manifest: json })).problems, []);
  const write = (changed: Manifest) => writeFileSync(json, JSON.stringify({ manifest: changed }));
  write({ ...manifest, files: manifest.files.toSpliced(1, 1) });
  t.regex(
    (await verifyManifest({ manifest: json })).problems.join("; "),
    /its files have 1,600 frames together, it says 2,600; .*a file is missing, or their order is another/,
  );
  write({ ...manifest, files: manifest.files.with(1, { ...manifest.files[1]!, chainAfter: "0".repeat(64) }) });
  t.regex(
    (await verifyManifest({ manifest: json })).problems.join("; "),
    /between .* a file is missing.*the manifest was changed: its chain is not that of the file/,
  );
  write(manifest);
  rmSync(`${output}1`);
  t.regex((await verifyManifest({ manifest: json })).problems.join("; "), /^\S*x\.pcapng1: is missing$/);
});

function keyFiles(t: ExecutionContext, name: string) {
  const folder = testFolder(t);
  const { privateKey, publicKey } = generateKeyPairSync("ed25519");
  const paths = [join(folder, `${name}.pem`), join(folder, `${name}.pub`)] as const;
  writeFileSync(paths[0], privateKey.export({ type: "pkcs8", format: "pem" }));
  writeFileSync(paths[1], publicKey.export({ type: "spki", format: "pem" }));
  return paths;
}

test("signatures: the right key, another key, a changed manifest, a signature taken away", async (t) => {
  const [mine, other] = [keyFiles(t, "mine"), keyFiles(t, "other")];
  const signWith = await readSigningKey(mine[0]);
  const { json, binary } = await exported(t, { manifest: { signWith } }, 50);
  const key = await readPublicKey(mine[1]);
  const problems = async (manifest: string, by: KeyObject | undefined = key) =>
    (await verifyManifest({ manifest, ...(by && { key: by }) })).problems.join("; ");
  for (const manifest of [json, binary]) {
    t.is(await problems(manifest), "");
    t.regex(
      await problems(manifest, await readPublicKey(other[1])),
      /is signed by another key: SHA256:\S+, not SHA256:/,
    );
    const report = await verifyManifest({ manifest });
    t.regex(
      report.notes.join("; "),
      new RegExp(`signed by ${fingerprint(publicKeyHex(signWith)).replace(/[+/]/g, ".")}`),
    );
  }
  const whole = JSON.parse(readFileSync(json, "utf8")) as { manifest: Manifest };
  writeFileSync(json, JSON.stringify({ ...whole, manifest: { ...whole.manifest, filter: "tcp" } }));
  t.regex(await problems(json), /the manifest was changed after it was signed/);
  writeFileSync(json, JSON.stringify({ manifest: whole.manifest }));
  t.regex(await problems(json), /is not signed: its signature was taken away/);
  const bytes = readFileSync(binary);
  writeFileSync(binary, flip(bytes, bytes.indexOf("pcapng") + 40));
  t.regex(
    await verifyManifest({ manifest: binary, key }).then(
      (report) => report.problems.join("; "),
      (error: Error) => error.message,
    ),
    /changed after it was signed|is no manifest/,
  );
});

test("a forged export with a manifest of its own: the store tells", async (t) => {
  const { store, output, json } = await exported(t, { filter: "ip or arp" });
  const frames = Number(manifestIn(json).frames);
  const forge = async (options: Partial<ExportOptions>, message: RegExp) => {
    const forged = await exportFrames({ sources: [store], output, manifest: {}, filter: "ip or arp", ...options });
    const manifest = manifestIn(forged.manifest!.json);
    manifest.limit = "0";
    writeFileSync(json, JSON.stringify({ manifest }));
    const report = await verifyManifest({ manifest: json, sources: [store] });
    t.regex(report.problems.join("; "), message);
  };
  await forge(
    { limit: frames - 3 },
    /the store has [\d,]+ records under this filter, the export [\d,]+: 3 were dropped/,
  );
  await forge({ snaplen: 20 }, /^$/); // that is said in the manifest
  await forge({ filter: "ip" }, /^$/);
});

test("records that came into the store later are none of the export; another store, a capture, one that was sanitized", async (t) => {
  const made = await exported(t, {}, 100);
  await appendTo(made.store, awkwardFrames(5, 50), ["later"]);
  t.deepEqual((await verifyManifest({ manifest: made.json, sources: [made.store] })).problems, []);
  const other = await storeWith(t, awkwardFrames(6, 10));
  await t.throwsAsync(verifyManifest({ manifest: made.json, sources: [other] }), {
    instanceOf: PasteError,
    message: /the export was made of store test\.store \(\S+\): name it with -r/,
  });
  await t.throwsAsync(verifyManifest({ manifest: made.json, sources: [other, made.store] }), {
    instanceOf: PasteError,
    message: `${other}: is none of what was exported: leave it away`,
  });
  const output = join(testFolder(t), "y.pcapng");
  await exportFrames({ sources: [made.store], output, sanitize: {}, manifest: {} });
  const manifest = `${output}.manifest`;
  t.deepEqual((await verifyManifest({ manifest })).problems, []);
  await t.throwsAsync(verifyManifest({ manifest, sources: [made.store] }), { message: /was sanitized/ });
});

for (const format of ["pcap", "nsecpcap"] as const)
  test(`${format}, gzip and a ring: proved, too`, async (t) => {
    const output = join(testFolder(t), "r.pcap.gz");
    const made = await exported(t, { output, format, split: { frames: 500, files: 3 } });
    const report = await verifyManifest({ manifest: made.json, sources: [made.store] });
    t.deepEqual(report.problems, []);
    t.regex(report.notes.join("; "), /1,500 frames given up by the ring/);
    const [first] = manifestIn(made.json).files;
    const path = join(output, "..", first!.name);
    const packed = readFileSync(path);
    writeFileSync(path, gzipSync(gunzipSync(packed), { level: 1 }));
    t.regex(
      (await verifyManifest({ manifest: made.json })).problems.join("; "),
      /is not the file that was exported.*every record is as it was/,
    );
    writeFileSync(path, packed.subarray(0, packed.length - 20));
    t.regex(
      (await verifyManifest({ manifest: made.json })).problems.join("; "),
      /20 bytes shorter; .*cannot be unpacked any more/,
    );
  });

test("what is no manifest, or no key; canonical JSON", async (t) => {
  const folder = testFolder(t);
  const path = join(folder, "m");
  for (const [content, message] of [
    ["{", /is no manifest of an export/],
    ['{"manifest": {"format": "paste-switch manifest", "version": 2}}', /is no manifest of an export: version/],
    ["\u0000\u0001", /is no manifest of an export/],
    ["{}", /is no manifest of an export: [^:]/],
  ] as const) {
    writeFileSync(path, content);
    await t.throwsAsync(verifyManifest({ manifest: path }), { instanceOf: PasteError, message });
  }
  await t.throwsAsync(verifyManifest({ manifest: join(folder, "none") }), { message: /cannot be read \(ENOENT\)/ });
  await t.throwsAsync(readSigningKey(path), { message: /no private key in PEM.*openssl genpkey/ });
  writeFileSync(path, generateKeyPairSync("x25519").privateKey.export({ type: "pkcs8", format: "pem" }));
  await t.throwsAsync(readSigningKey(path), { message: /is a key for x25519, manifests are signed with Ed25519/ });
  const cipher = { cipher: "aes-128-cbc", passphrase: "secret" };
  writeFileSync(path, generateKeyPairSync("ed25519").privateKey.export({ type: "pkcs8", format: "pem", ...cipher }));
  for (const read of [readSigningKey, readPublicKey])
    await t.throwsAsync(read(path), { message: /is under a passphrase.*: give a copy without \(openssl pkey -in/ });
  const store = await storeWith(t, []);
  for (const output of ["-", "/dev/null"])
    await t.throwsAsync(async () => exportFrames({ sources: [store], output, manifest: {} }), {
      message: /a manifest stands beside a file/,
    });
  t.is(canonicalJson({ b: [1, "ä\n"], a: { d: "", c: 0 } }), '{"a":{"c":0,"d":""},"b":[1,"ä\\n"]}');
});
