import {
  chmodSync,
  chownSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import net from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import test from "ava";
import { claimInstance, type Instance, locateInstance } from "../../switch/instance.js";

const home = { HOME: "/home/u" };
const places: [title: string, options: object, env: object, uid: number, expected: Partial<Instance>][] = [
  [
    "root",
    {},
    home,
    0,
    {
      control: "/run/paste-switch/default/control.sock",
      ports: "/run/paste-switch/default/ports.sock",
      config: "/etc/paste-switch/default.toml",
      store: "/var/lib/paste-switch/default.store",
    },
  ],
  [
    "a user with XDG_RUNTIME_DIR",
    { name: "lab" },
    { ...home, XDG_RUNTIME_DIR: "/run/user/7" },
    7,
    {
      control: "/run/user/7/paste-switch/lab/control.sock",
      config: "/home/u/.config/paste-switch/lab.toml",
      store: "/home/u/.local/share/paste-switch/lab.store",
    },
  ],
  ["a user without", {}, home, 7, { folder: "/tmp/paste-switch-7/default" }],
  [
    "the XDG folders",
    {},
    { ...home, XDG_CONFIG_HOME: "/c", XDG_DATA_HOME: "/d" },
    7,
    { config: "/c/paste-switch/default.toml", store: "/d/paste-switch/default.store" },
  ],
  [
    "--control",
    { control: "/x/lab.sock" },
    home,
    7,
    { control: "/x/lab.sock", ports: "/x/lab.ports.sock", lock: "/x/lab.sock.lock" },
  ],
  [
    "the environment",
    {},
    { ...home, PASTE_SWITCH_CONTROL: "/x/control.sock" },
    7,
    { control: "/x/control.sock", ports: "/x/ports.sock" },
  ],
  [
    "--control before the environment",
    { control: "/y/c.sock" },
    { PASTE_SWITCH_CONTROL: "/x/c.sock" },
    7,
    { control: "/y/c.sock" },
  ],
  [
    "--name before the environment",
    { name: "lab" },
    { PASTE_SWITCH_CONTROL: "/x/c.sock" },
    0,
    { control: "/run/paste-switch/lab/control.sock" },
  ],
];
for (const [title, options, env, uid, expected] of places)
  test(`where things are: ${title}`, (t) => {
    t.like(locateInstance(options, env as Record<string, string>, uid), expected);
  });

const refused: [title: string, options: object, message: RegExp][] = [
  ["a name with a slash", { name: "../x" }, /^--name "\.\.\/x": use letters/],
  ["no name", { name: "" }, /^--name ""/],
  ["a path too long for a socket", { control: `/${"x".repeat(107)}` }, /longer than the 107 bytes of a socket's path/],
];
for (const [title, options, message] of refused)
  test(`refused: ${title}`, (t) => {
    t.throws(() => locateInstance(options, home, 7), { message, code: "USAGE" });
  });

function folder(t: { teardown(undo: () => void): void }): string {
  const path = mkdtempSync(join(tmpdir(), "paste-instance-"));
  t.teardown(() => rmSync(path, { recursive: true, force: true }));
  return path;
}
const at = (path: string) => locateInstance({ control: join(path, "i", "control.sock") }, home);

test("a claimed instance is refused to others until it is released", (t) => {
  const instance = at(folder(t));
  const lock = claimInstance(instance);
  t.is(statSync(instance.folder).mode & 0o777, 0o700);
  t.is(readFileSync(instance.lock, "utf8"), `${process.pid}\n`);
  t.throws(() => claimInstance(instance), {
    code: "CONTROL",
    message: `a daemon is running at ${instance.control} (pid ${process.pid}): stop it, or choose another --name or --control`,
  });
  lock.release();
  claimInstance(instance).release();
});

test("a socket that a dead daemon left is removed, under the lock only", async (t) => {
  const instance = at(folder(t));
  mkdirSync(instance.folder, { mode: 0o700 });
  const server = net.createServer();
  await new Promise<void>((resolve) => server.listen(instance.control, resolve));
  const lock = claimInstance(instance);
  t.false(existsSync(instance.control));
  writeFileSync(instance.control, "");
  t.throws(() => claimInstance(instance), { message: /a daemon is running/ });
  t.true(existsSync(instance.control));
  lock.release();
  server.close();
});

test("what is no socket is never removed", (t) => {
  const instance = at(folder(t));
  mkdirSync(instance.folder, { mode: 0o700 });
  writeFileSync(instance.control, "mine");
  t.throws(() => claimInstance(instance), {
    message: `${instance.control} exists and is no socket: remove it, or choose another --control`,
  });
  t.is(readFileSync(instance.control, "utf8"), "mine");
});

test("a folder that somebody else may have put there is refused", (t) => {
  const open = folder(t);
  chmodSync(open, 0o1777);
  const elsewhere = folder(t);
  const instance = at(open);
  symlinkSync(elsewhere, instance.folder);
  t.throws(() => claimInstance(instance), {
    code: "PRIVILEGE",
    message: `${instance.folder} is no folder: remove it, or use --control`,
  });
  rmSync(instance.folder);
  mkdirSync(instance.folder);
  chmodSync(instance.folder, 0o777);
  t.throws(() => claimInstance(instance), {
    code: "PRIVILEGE",
    message: `${instance.folder} can be written by others: chmod 700 it, or use --control`,
  });
  chmodSync(instance.folder, 0o700);
  if (process.getuid!() === 0) {
    chownSync(instance.folder, 12345, 0);
    t.throws(() => claimInstance(instance), {
      code: "PRIVILEGE",
      message: `${instance.folder} belongs to user 12345, not to you: remove it, or use --control`,
    });
    chownSync(instance.folder, 0, 0);
  }
  claimInstance(instance).release();
});
