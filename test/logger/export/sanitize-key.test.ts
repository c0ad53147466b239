// What a user says of sanitizing: the key's file, and the words.
import { randomBytes } from "node:crypto";
import { chmodSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import test from "ava";
import { PasteError } from "../../../logger/errors.js";
import { parseSanitize, readSanitizeKey } from "../../../logger/export/sanitize.js";
import { exportFrames } from "../../../logger/export.js";
import { storeWith, testFolder } from "../store-tools.js";

test("keys: 32 bytes or hexadecimal digits, nobody else's to read; words", async (t) => {
  const folder = testFolder(t);
  const key = randomBytes(32);
  const file = (name: string, content: string | Buffer, mode = 0o600) => {
    const path = join(folder, name);
    writeFileSync(path, content);
    chmodSync(path, mode);
    return path;
  };
  t.true(key.equals(await readSanitizeKey(file("raw", key))));
  t.true(key.equals(await readSanitizeKey(file("hex", `${key.toString("hex")}\n`))));
  for (const [path, message] of [
    [file("open", key, 0o640), /others may read this key/],
    [file("short", "abc"), /is no key: 32 bytes or 64 hexadecimal digits are, this has 3 bytes/],
    [join(folder, "none"), /no key can be read.*urandom/],
  ] as const)
    await t.throwsAsync(readSanitizeKey(path), { instanceOf: PasteError, message });
  t.deepEqual(parseSanitize("keep-oui,keep-payload"), { keepOui: true, keepPayload: true });
  t.throws(() => parseSanitize("tcp"), { message: /"tcp" is none of keep-payload, keep-oui/ });
  const store = await storeWith(t, []);
  await t.throwsAsync(
    async () => exportFrames({ sources: [store], output: "/dev/null", sanitize: { key: Buffer.alloc(5) } }),
    {
      message: /must have 32 bytes, it has 5/,
    },
  );
});
