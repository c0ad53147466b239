import { execFileSync, spawn } from "node:child_process";
import { once } from "node:events";
import {
  chmodSync,
  closeSync,
  existsSync,
  mkdtempSync,
  openSync,
  readFileSync,
  rmSync,
  statfsSync,
  statSync,
  truncateSync,
  writeFileSync,
  writeSync,
} from "node:fs";
import { release, tmpdir } from "node:os";
import { join } from "node:path";
import test from "ava";
import { pmem } from "../support/native-pmem.js";
import { packageRoot, skip } from "../support/skip.js";

const MiB = 1 << 20;
const folders = ["/dev/shm", tmpdir()].filter((folder) => existsSync(folder));
const isTmpfs = (folder: string) => statfsSync(folder).type === 0x01021994;

function inFolder(folder: string, work: (path: string) => void): void {
  const own = mkdtempSync(join(folder, "paste-switch-region-"));
  try {
    work(join(own, "a.store"));
  } finally {
    rmSync(own, { recursive: true });
  }
}

for (const folder of folders) {
  test(`${folder}: a new region is zero, reserved, and says what it stands on`, (t) => {
    inFolder(folder, (path) => {
      pmem.createRegion(path, { sizeBytes: 2 * MiB });
      t.is(statSync(path).size, 2 * MiB);
      t.true(statSync(path).blocks * 512 >= 2 * MiB, "its space is reserved");
      t.is(statSync(path).mode & 0o777, 0o600);
      const region = pmem.openRegion(path, "write");
      t.is(region.sizeBytes, 2 * MiB);
      t.true(region.read(0, 2 * MiB).equals(Buffer.alloc(2 * MiB)));
      if (isTmpfs(folder)) {
        t.is(region.fileSystem, "tmpfs");
        t.is(region.medium, "memory");
        t.regex(region.survives, /lost with the system/);
      } else {
        t.not(region.medium, "memory");
        t.regex(region.survives, /loss of power/);
      }
      region.close();
    });
  });

  test(`${folder}: what was flushed and synced lies in the file, and a reader sees what was published`, (t) => {
    inFolder(folder, (path) => {
      pmem.createRegion(path, { sizeBytes: 2 * MiB });
      const region = pmem.openRegion(path, "write");
      const reader = pmem.openRegion(path, "read");
      region.head(20_000);
      region.populate(0, 2 * MiB);
      region.storeHead(100, Buffer.from("head"), true);
      region.storeHead(8192, Buffer.from("live"), false);
      region.publish(8192, 4);
      t.is(reader.read(8192, 4).toString(), "live");
      region.storeStaged(MiB, 64 << 10, 4090, Buffer.from("across a page"), true);
      region.storeStaged(MiB + (64 << 10), 64 << 10, 0, Buffer.from("next"), false);
      region.sync();
      const file = readFileSync(path);
      t.is(file.toString("latin1", 100, 104), "head");
      t.is(file.toString("latin1", MiB + 4090, MiB + 4103), "across a page");
      t.is(file.toString("latin1", MiB + (64 << 10), MiB + (64 << 10) + 4), "next");
      t.true(reader.read(0, 2 * MiB).equals(file));
      region.close();
      t.is(pmem.openRegion(path, "write").read(100, 4).toString(), "head");
    });
  });

  test(`${folder}: more than is free is refused with both figures, and leaves no file behind`, (t) => {
    inFolder(folder, (path) => {
      const error = t.throws(() => pmem.createRegion(path, { sizeBytes: 2 ** 50 }));
      t.regex(error?.message ?? "", /^RESOURCE: .*a\.store: 1125899906842624 bytes are needed and \d+ are free/);
      t.false(existsSync(path));
    });
  });

  test(`${folder}: a sparse region takes no space`, (t) => {
    inFolder(folder, (path) => {
      pmem.createRegion(path, { sizeBytes: 64 * MiB, sparse: true });
      t.is(statSync(path).blocks, 0);
      t.is(pmem.openRegion(path, "read").sizeBytes, 64 * MiB);
    });
  });

  test(`${folder}: a region that was cut shorter is noticed`, (t) => {
    inFolder(folder, (path) => {
      pmem.createRegion(path, { sizeBytes: 2 * MiB });
      const reader = pmem.openRegion(path, "read");
      t.true(reader.intact());
      truncateSync(path, MiB);
      t.false(reader.intact());
      // What is gone reads as zeros: a SIGBUS would end this process.
      t.deepEqual(reader.read(2 * MiB - 64, 64), Buffer.alloc(64));
      t.deepEqual(reader.read(MiB - 64, 128), Buffer.alloc(128));
      t.is(pmem.openRegion(path, "read").sizeBytes, MiB);
    });
  });

  test(`${folder}: one writer at a time, named by its pid; readers any number; a dead writer holds nothing`, async (t) => {
    const own = mkdtempSync(join(folder, "paste-switch-region-"));
    const path = join(own, "a.store");
    try {
      pmem.createRegion(path, { sizeBytes: MiB });
      const script = `const { pmem } = await import(${JSON.stringify(join(packageRoot, "dist/test/support/native-pmem.js"))});
        globalThis.region = pmem.openRegion(${JSON.stringify(path)}, "write"); console.log("open"); setInterval(() => {}, 1000);`;
      const holder = spawn(process.execPath, ["--input-type=module", "-e", script], {
        stdio: ["ignore", "pipe", "inherit"],
      });
      await once(holder.stdout, "data");
      const error = t.throws(() => pmem.openRegion(path, "write"));
      t.regex(error?.message ?? "", /^STORE: .* is in use.*a store has one writer/);
      t.true(error?.message.includes(`by process ${holder.pid}:`), error?.message);
      t.is(pmem.openRegion(path, "read").sizeBytes, MiB);
      holder.kill("SIGKILL");
      await once(holder, "exit");
      t.notThrows(() => pmem.openRegion(path, "write").close());
    } finally {
      rmSync(own, { recursive: true });
    }
  });
}

/** Why no huge page can be expected below a tmpfs here; undefined: there should be some. */
function hugePagesRefused(): string | undefined {
  const [major = 0, minor = 0] = release().split(".").map(Number);
  if (major < 6 || (major === 6 && minor < 1)) return `Linux ${release()} gathers no pages of a tmpfs (6.1 does)`;
  if (!isTmpfs("/dev/shm")) return "/dev/shm is no tmpfs";
  const huge = "/sys/kernel/mm/transparent_hugepage";
  if (!existsSync(huge)) return "this kernel has no transparent huge pages";
  const bytes = Number(readFileSync(`${huge}/hpage_pmd_size`, "utf8"));
  if (bytes !== 2 * MiB) return `huge pages have ${bytes} bytes here`; // where small ones have 16 or 64 KiB
  if (/\[deny\]/.test(readFileSync(`${huge}/shmem_enabled`, "utf8"))) return "shmem_enabled denies huge pages";
  // Free pieces of 2 MiB (order 9 and up), all zones together.
  const free = readFileSync("/proc/buddyinfo", "utf8")
    .trim()
    .split("\n")
    .reduce(
      (sum, zone) =>
        sum +
        zone
          .trim()
          .split(/\s+/)
          .slice(4)
          .slice(9)
          .map(Number)
          .reduce((a, b) => a + b, 0),
      0,
    );
  return free < 16 ? `memory has ${free} free pieces of 2 MiB` : undefined;
}

/** What this process has mapped of `path` in huge pages, in bytes. */
function mappedHuge(path: string): number {
  let inside = false;
  let kib = 0;
  for (const line of readFileSync("/proc/self/smaps", "utf8").split("\n")) {
    if (/^[0-9a-f]+-[0-9a-f]+ /.test(line)) inside = line.endsWith(path);
    else if (inside && line.startsWith("ShmemPmdMapped:")) kib += Number(line.split(/\s+/)[1]);
  }
  return kib * 1024;
}

test("on a tmpfs that was mounted for small pages, a region lies in huge ones; its end stays small", (t) => {
  const reason = hugePagesRefused();
  if (reason) return skip(t, reason);
  inFolder("/dev/shm", (path) => {
    pmem.createRegion(path, { sizeBytes: 5 * MiB });
    const reader = pmem.openRegion(path, "read");
    t.true(reader.read(0, 5 * MiB).equals(Buffer.alloc(5 * MiB)));
    t.is(mappedHuge(path), 4 * MiB);
    reader.close();
  });
});

test("a sparse region on tmpfs gets a huge page where it has none yet; what is there stays", (t) => {
  const reason = hugePagesRefused();
  if (reason) return skip(t, reason);
  inFolder("/dev/shm", (path) => {
    pmem.createRegion(path, { sizeBytes: 8 * MiB, sparse: true });
    const used = openSync(path, "r+");
    writeSync(used, "mine", 3 * MiB);
    closeSync(used);
    const region = pmem.openRegion(path, "write");
    t.true(region.populate(3 * MiB, 64 << 10));
    t.is(mappedHuge(path), 0, "pages in use are not moved");
    t.true(region.populate(5 * MiB, 64 << 10));
    t.is(mappedHuge(path), 2 * MiB);
    t.is(statSync(path).blocks * 512, 2 * MiB + (64 << 10));
    t.is(region.read(3 * MiB, 4).toString(), "mine");
    region.close();
  });
});

// Each names what is wrong, and where.
const refused: [string, (path: string) => void, "create" | "read" | "write", RegExp][] = [
  [
    "a file that exists",
    (path) => writeFileSync(path, "mine"),
    "create",
    /^STORE: .*a\.store exists: a store never overwrites/,
  ],
  ["a folder in its place", (path) => execFileSync("mkdir", [path]), "create", /^STORE: .* is a folder/],
  ["opening a folder to write", (path) => execFileSync("mkdir", [path]), "write", /^STORE: .* is a folder/],
  ["opening a folder to read", (path) => execFileSync("mkdir", [path]), "read", /^STORE: .* is a folder/],
  ["opening a FIFO", (path) => execFileSync("mkfifo", [path]), "read", /^STORE: .* is no regular file/],
  ["opening nothing", () => {}, "read", /^STORE: .*cannot open the store: No such file/],
  ["an empty file", (path) => writeFileSync(path, ""), "read", /^STORE: .* is empty/],
];

for (const [title, prepare, what, message] of refused)
  test(`refused: ${title}`, (t) => {
    inFolder(tmpdir(), (path) => {
      prepare(path);
      const attempt = () =>
        what === "create" ? pmem.createRegion(path, { sizeBytes: MiB }) : pmem.openRegion(path, what);
      t.regex(t.throws(attempt)?.message ?? "", message);
    });
  });

test("refused: a device that is no device-DAX, a folder that is missing, a size of zero", (t) => {
  t.regex(
    t.throws(() => pmem.openRegion("/dev/null", "read"))?.message ?? "",
    /^STORE: .*character device but not device-DAX/,
  );
  const missing = t.throws(() => pmem.createRegion("/nowhere/at/all.store", { sizeBytes: MiB }));
  t.regex(missing?.message ?? "", /^STORE: \/nowhere\/at\/all\.store: cannot create the file: No such file/);
  inFolder(tmpdir(), (path) => {
    t.regex(t.throws(() => pmem.createRegion(path, { sizeBytes: 0 }))?.message ?? "", /^USAGE: .*a size of 0 bytes/);
    t.false(existsSync(path));
  });
});

test("refused: a file or folder without permission to write", (t) => {
  if (process.getuid?.() === 0) return skip(t, "root may write everywhere");
  inFolder(tmpdir(), (path) => {
    pmem.createRegion(path, { sizeBytes: MiB });
    chmodSync(path, 0o400);
    t.regex(t.throws(() => pmem.openRegion(path, "write"))?.message ?? "", /^PRIVILEGE: .*Permission denied/);
    t.is(pmem.openRegion(path, "read").sizeBytes, MiB);
  });
});

test("a tmpfs of its own that is too small is refused before it can fault", (t) => {
  const own = mkdtempSync(join(tmpdir(), "paste-switch-tmpfs-"));
  try {
    try {
      execFileSync("mount", ["-t", "tmpfs", "-o", "size=4m", "tmpfs", own], { stdio: "ignore" });
    } catch {
      return skip(t, "no right to mount a tmpfs");
    }
    try {
      const path = join(own, "a.store");
      const error = t.throws(() => pmem.createRegion(path, { sizeBytes: 16 * MiB }));
      t.regex(error?.message ?? "", /^RESOURCE: .*16777216 bytes are needed and 4194304 are free on this tmpfs/);
      t.notThrows(() => pmem.createRegion(path, { sizeBytes: 2 * MiB }));
    } finally {
      execFileSync("umount", [own]);
    }
  } finally {
    rmSync(own, { recursive: true });
  }
});
