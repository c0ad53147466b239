// Programs of test/programs, compiled against our own net/netmap.h, run with the preload library as users run theirs.
import { type ChildProcess, spawn, spawnSync } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { preloadEnvironment, preloadLibrary } from "../../switch/preload.js";
import { packageRoot } from "./skip.js";

const compilers: Record<string, [string, string[]]> = {
  ".c": [process.env.CC ?? "cc", ["-std=gnu99"]],
  ".cc": [process.env.CXX ?? "g++", ["-std=c++11"]],
};

export class Programs {
  readonly folder = mkdtempSync(join(tmpdir(), "paste-programs-"));
  #made = new Map<string, string>();

  /** Compiles test/programs/SOURCE, once; the path of the program. Throws with the compiler's words. */
  compile(source: string): string {
    const before = this.#made.get(source);
    if (before) return before;
    const extension = source.slice(source.lastIndexOf("."));
    const [compiler, flags] = compilers[extension]!;
    const [command, ...more] = compiler.trim().split(/\s+/);
    const path = join(this.folder, source.replace(".", "-"));
    const { status, stderr } = spawnSync(
      command!,
      [
        ...more,
        ...flags,
        ...["-O1", "-Wall", "-Wextra", "-Werror", "-pthread", "-o", path],
        `-I${join(packageRoot, "native", "preload", "include")}`,
        join(packageRoot, "test", "programs", source),
      ],
      { encoding: "utf8" },
    );
    if (status !== 0) throw new Error(`${source} does not compile: ${stderr}`);
    this.#made.set(source, path);
    return path;
  }

  remove(): void {
    rmSync(this.folder, { recursive: true, force: true });
  }
}

export interface Ended {
  status: number | null;
  signal: NodeJS.Signals | null;
  stdout: string;
  stderr: string;
}

/** A program with ports of the daemon at `portsSocket`; killed after 60 s. */
export class PortProgram {
  readonly child: ChildProcess;
  readonly ended: Promise<Ended>;
  stdout = "";

  constructor(path: string, args: readonly string[], portsSocket: string, env: Record<string, string> = {}) {
    this.child = spawn(path, args, {
      env: { ...process.env, ...preloadEnvironment(preloadLibrary(), portsSocket), ...env },
      stdio: ["ignore", "pipe", "pipe"],
    });
    const watch = setTimeout(() => this.child.kill("SIGKILL"), 60_000);
    let stderr = "";
    this.child.stdout!.setEncoding("utf8").on("data", (text: string) => {
      this.stdout += text;
    });
    this.child.stderr!.setEncoding("utf8").on("data", (text: string) => {
      stderr += text;
    });
    this.ended = new Promise((resolve) =>
      this.child.on("close", (status, signal) => {
        clearTimeout(watch);
        resolve({ status, signal, stdout: this.stdout, stderr });
      }),
    );
  }

  /** Resolves when the program has printed it; throws when it ends without. */
  async said(pattern: RegExp): Promise<void> {
    while (!pattern.test(this.stdout)) {
      const more = new Promise<void>((resolve) => this.child.stdout!.once("data", () => resolve()));
      const end = await Promise.race([more, this.ended]);
      if (end && !pattern.test(this.stdout)) throw new Error(`ended without saying ${pattern}: ${JSON.stringify(end)}`);
    }
  }
}
