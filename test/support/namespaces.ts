// Network namespaces that a test makes for itself: its own names, removed when it ends. Traffic of tests stays between them.
import { type ChildProcess, execFile, execFileSync, spawn, spawnSync } from "node:child_process";
import { randomBytes } from "node:crypto";
import { existsSync } from "node:fs";
import type { ExecutionContext } from "ava";
import { skip } from "./skip.js";

export interface Namespace {
  /** Below /run/netns: what `netns=` of a port means. */
  name: string;
  /** Runs a program in it to its end; what it printed. Fails with its standard error. */
  run(command: string, ...args: string[]): Promise<string>;
  /** Starts a program in it; it is killed when the test ends. */
  start(command: string, ...args: string[]): ChildProcess;
  /** `ip -n NAME ...`, at once. */
  ip(...args: string[]): string;
}

export interface Namespaces {
  /** A fresh one with its loopback up; IPv6 is off, so that nobody speaks unasked. */
  make(tag: string): Namespace;
  /** A name for an interface, of at most 15 characters, that nobody else has. */
  interfaceName(tag: string): string;
}

/**
 * What this test needs, or undefined: then it was skipped, and returns. `needs` are programs beside `ip`, and "tun" for
 * /dev/net/tun.
 */
export function namespaces(t: ExecutionContext, ...needs: string[]): Namespaces | undefined {
  const missing = whyNot(needs);
  if (missing !== undefined) {
    skip(t, missing);
    return undefined;
  }
  const mark = randomBytes(3).toString("hex");
  const made: string[] = [];
  const children: ChildProcess[] = [];
  t.teardown(async () => {
    await Promise.all(children.map(ended));
    for (const name of made) spawnSync("ip", ["netns", "delete", name]);
  });
  return {
    interfaceName: (tag) => `${tag.slice(0, 8)}${mark}`,
    make(tag) {
      const name = `paste-${mark}-${tag}`;
      execFileSync("ip", ["netns", "add", name]);
      made.push(name);
      const inside = (command: string, args: string[]) => ["netns", "exec", name, command, ...args];
      execFileSync("ip", inside("sh", ["-c", quiet]));
      execFileSync("ip", ["-n", name, "link", "set", "lo", "up"]);
      return {
        name,
        ip: (...args) => execFileSync("ip", ["-n", name, ...args], { encoding: "utf8" }),
        run: (command, ...args) =>
          new Promise((resolve, reject) => {
            execFile("ip", inside(command, args), { maxBuffer: 64 << 20 }, (error, stdout, stderr) => {
              if (error) reject(new Error(`${command} ${args.join(" ")}: ${error.code}: ${stderr}${stdout}`));
              else resolve(stdout);
            });
          }),
        start(command, ...args) {
          const child = spawn("ip", inside(command, args), { stdio: ["ignore", "pipe", "pipe"] });
          children.push(child);
          return child;
        },
      };
    },
  };
}

// Interfaces that are made later take over what "default" says.
const quiet = "for f in /proc/sys/net/ipv6/conf/*/disable_ipv6; do echo 1 > $f; done";

function whyNot(needs: string[]): string | undefined {
  if (process.getuid?.() !== 0) return "network namespaces need root";
  if (needs.includes("tun") && !existsSync("/dev/net/tun")) return "there is no /dev/net/tun";
  for (const program of ["ip", ...needs.filter((need) => need !== "tun")])
    if (spawnSync("sh", ["-c", `command -v ${program}`]).status !== 0) return `${program} is not installed`;
  const probe = spawnSync("unshare", ["--net", "true"], { encoding: "utf8" });
  if (probe.status !== 0) return `no network namespace can be made (${probe.stderr?.trim() || "unshare failed"})`;
  return undefined;
}

async function ended(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return;
  const exit = new Promise((resolve) => child.once("exit", resolve));
  child.kill("SIGKILL");
  await exit;
}
