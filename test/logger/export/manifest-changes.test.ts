// Manifests that were changed, are of two minds, point elsewhere, or would tell too much.
import { copyFileSync, mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import test from "ava";
import { formatCount } from "../../../logger/counts.js";
import { PasteError } from "../../../logger/errors.js";
import { type Manifest, parseManifest } from "../../../logger/export/manifest.js";
import { verifyManifest } from "../../../logger/export/verify-manifest.js";
import { exportFrames } from "../../../logger/export.js";
import { awkwardFrames } from "../../support/awkward-traffic.js";
import { storeWith, testFolder } from "../store-tools.js";
import { exported, manifestIn } from "./exported.js";

type Change = (manifest: Manifest) => void;
const file =
  (change: (of: Manifest["files"][number]) => void): Change =>
  (manifest) =>
    change(manifest.files[0]!);
const changes: [string, Change, RegExp][] = [
  ["bytes", file((of) => (of.bytes = "1")), /is not the file that was exported/],
  ["frames", (all) => (all.frames = all.files[0]!.frames = "1"), /numbers, times or marks in it/],
  ["first sequence", file((of) => (of.firstSequence = "1000")), /numbers, times or marks in it/],
  ["last sequence", file((of) => (of.lastSequence = "1")), /numbers, times or marks in it/],
  ["first time", file((of) => (of.firstNs = "1")), /numbers, times or marks in it/],
  ["last time", file((of) => (of.lastNs = "1")), /numbers, times or marks in it/],
  ["stride", file((of) => (of.stride = "0")), /numbers, times or marks in it/],
  ["marks", file((of) => of.marks.reverse()), /numbers, times or marks in it/],
  ["chain before", file((of) => (of.chainBefore = "1".repeat(64))), /in front of \S+ a file is missing/],
  [
    "files",
    (all) => {
      all.files = [];
      all.frames = "0";
    },
    /it names no file/,
  ],
  ["interfaces", (all) => all.interfaces.reverse(), /its chain is not that of the file/],
];
test("tampering: each number of a manifest that its file can tell", async (t) => {
  const { json, binary } = await exported(t);
  const whole = readFileSync(json);
  rmSync(binary);
  for (const [what, change, message] of changes) {
    const manifest = structuredClone(JSON.parse(whole.toString()).manifest) as Manifest;
    change(manifest);
    writeFileSync(json, JSON.stringify({ manifest }));
    t.regex((await verifyManifest({ manifest: json })).problems.join("; "), message, what);
  }
});

test("a manifest has nothing read from elsewhere, nor anything that is no file", async (t) => {
  const { output, json, binary } = await exported(t, {}, 10);
  const manifest = manifestIn(json);
  rmSync(binary);
  for (const name of ["../x.pcapng", "/dev/zero", "..", ".", "", "a/../x.pcapng"]) {
    writeFileSync(json, JSON.stringify({ manifest: { ...manifest, files: [{ ...manifest.files[0]!, name }] } }));
    await t.throwsAsync(
      verifyManifest({ manifest: json }),
      { instanceOf: PasteError, message: /without folders/ },
      name,
    );
  }
  writeFileSync(json, JSON.stringify({ manifest }));
  rmSync(output);
  mkdirSync(output);
  t.regex((await verifyManifest({ manifest: json })).problems.join("; "), /is no file, but a folder/);
});

test("what two readers would read differently is no manifest, or a problem", async (t) => {
  const { json, binary } = await exported(t, { filter: "ip" }, 50);
  const text = readFileSync(json, "utf8");
  writeFileSync(json, text.replace('"filter": "ip"', '"filter": "tcp", "filter": "ip"'));
  await t.throwsAsync(verifyManifest({ manifest: json }), { message: /has a field twice/ });
  writeFileSync(json, text.replace("{", '{"note": 1,'));
  await t.throwsAsync(verifyManifest({ manifest: json }), { message: /"note" is no part of it/ });
  writeFileSync(json, text.replace('"limit": "0"', '"limit": "18446744073709551616"'));
  await t.throwsAsync(verifyManifest({ manifest: json }), { message: /manifest\.limit|limit: .*64 bits/ });
  writeFileSync(json, text.replace('"filter": "ip"', '"filter": "\\":tcp"'));
  for (const [manifest, other] of [
    [json, binary],
    [binary, json],
  ] as const)
    t.is(
      (await verifyManifest({ manifest })).problems[0],
      `${other}: does not say what ${manifest} says: one of them was changed, or is of another export`,
    );
});

test("bytes behind the end of a packed file, however they lie, are seen", async (t) => {
  const output = join(testFolder(t), "x.pcapng.gz");
  const { json } = await exported(t, { output }, 100);
  const packed = readFileSync(output);
  for (const tail of [Buffer.from("appended"), Buffer.alloc(3 << 20), Buffer.alloc(3 << 20, 0x41)]) {
    writeFileSync(output, Buffer.concat([packed, tail]));
    t.regex(
      (await verifyManifest({ manifest: json })).problems.join("; "),
      new RegExp(`${formatCount(tail.length)} bytes longer`),
    );
  }
  writeFileSync(output, packed);
  t.deepEqual((await verifyManifest({ manifest: json })).problems, []);
});

test("a sanitized export's manifest has neither its filter nor names; keep-names keeps them", async (t) => {
  const plain = await exported(t, { filter: "host 10.1.2.3 or ip or arp", sanitize: {} }, 50);
  for (const path of [plain.json, plain.binary]) {
    const { manifest } = parseManifest(path, readFileSync(path));
    t.is(manifest.filter, "");
    t.like(manifest.sources[0], { name: "source 1", uuid: "" });
    t.false(readFileSync(path).includes("10.1.2.3"));
  }
  const named = await exported(t, { filter: "ip or arp", sanitize: { keepNames: true } }, 50);
  t.like(manifestIn(named.json), { filter: "ip or arp", sources: [{ name: "test.store" }] });
});

test("a manifest is written over no store", async (t) => {
  const store = await storeWith(t, awkwardFrames(3, 10));
  const output = join(testFolder(t), "x.pcapng");
  copyFileSync(store, `${output}.manifest`);
  const before = readFileSync(store);
  await t.throwsAsync(exportFrames({ sources: [store], output, manifest: {} }), {
    instanceOf: PasteError,
    message: /is complete, but its manifest could not be written: .*is a store/,
  });
  t.true(before.equals(readFileSync(`${output}.manifest`)));
});

test("what was left out of an export for damage of its store is said when it is verified", async (t) => {
  const frames = awkwardFrames(4, 100);
  const store = await storeWith(t, frames);
  const bytes = readFileSync(store);
  const { data } = frames.find(({ data }) => data.length > 100)!;
  bytes[bytes.indexOf(data) + 50]! ^= 1;
  writeFileSync(store, bytes);
  const output = join(testFolder(t), "x.pcapng");
  const { corrupt, manifest } = await exportFrames({ sources: [store], output, manifest: {} });
  t.is(corrupt, 1);
  const { notes, problems } = await verifyManifest({ manifest: manifest!.json, sources: [store] });
  t.deepEqual(problems, []);
  t.true(notes.includes("1 damaged place of the store left out when it was exported"), notes.join("; "));
});
