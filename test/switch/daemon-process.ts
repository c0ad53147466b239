import { type ChildProcess, spawn } from "node:child_process";
import { existsSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { openPort, type PortClient } from "../../native/port-client.js";
import { ControlClient } from "../../switch/control-client.js";
import { type CliResult, cliPath, runCli } from "../cli/run-cli.js";

interface Teardown {
  teardown(undo: () => void | Promise<void>): void;
}

export interface DaemonProcessOptions {
  name?: string;
  env?: Record<string, string>;
  /** The words that run it, instead of node alone. */
  before?: readonly string[];
}

/** A folder for one test's sockets and store: in memory where there is room for it, gone when the test ends. */
export function testFolder(t: Teardown): string {
  const path = mkdtempSync(join(existsSync("/dev/shm") ? "/dev/shm" : tmpdir(), "paste-test-"));
  t.teardown(() => rmSync(path, { recursive: true, force: true }));
  return path;
}

/** Arguments that make a store of 16 MiB in the daemon's folder. */
export const smallStore = ["--store", "s.store", "--size", "16M"] as const;

/** A daemon in a process of its own, as a user starts one. */
export class DaemonProcess {
  readonly folder: string;
  readonly control: string;
  readonly ports: string;
  stdout = "";
  stderr = "";
  readonly child: ChildProcess;
  /** Exit status, or the signal that ended it. */
  readonly ended: Promise<number | string>;

  /** `before`: the words that run it, instead of node alone. */
  private constructor(
    folder: string,
    args: string[],
    name: string,
    env: Record<string, string> = {},
    before: readonly string[] = [process.execPath],
  ) {
    this.folder = folder;
    this.control = join(folder, `${name}.sock`);
    this.ports = join(folder, `${name}.ports.sock`);
    this.child = spawn(before[0]!, [...before.slice(1), cliPath, "daemon", "--control", this.control, ...args], {
      env: { ...process.env, PASTE_SWITCH_CONTROL: "", PASTE_SWITCH_DEBUG: "", XDG_RUNTIME_DIR: folder, ...env },
      stdio: ["ignore", "pipe", "pipe"],
      cwd: folder,
    });
    this.child.stdout!.setEncoding("utf8").on("data", (text: string) => {
      this.stdout += text;
    });
    this.child.stderr!.setEncoding("utf8").on("data", (text: string) => {
      this.stderr += text;
    });
    this.ended = new Promise((resolve) => this.child.on("close", (status, signal) => resolve(status ?? signal ?? "")));
  }

  /** Starts one; it is not ready yet. */
  static begin(t: Teardown, folder: string, args: string[] = [], options: DaemonProcessOptions = {}): DaemonProcess {
    const daemon = new DaemonProcess(folder, args, options.name ?? "c", options.env, options.before);
    t.teardown(async () => {
      daemon.child.kill("SIGKILL");
      await daemon.ended;
    });
    return daemon;
  }

  /** Starts one and waits until it is ready; throws with what it said when it ends before. */
  static async start(
    t: Teardown,
    folder: string,
    args: string[] = [],
    options: DaemonProcessOptions = {},
  ): Promise<DaemonProcess> {
    const daemon = DaemonProcess.begin(t, folder, args, options);
    await daemon.said("stdout", /^ready$/m);
    return daemon;
  }

  /** Starts one that is expected to fail. */
  static async fails(
    folder: string,
    args: string[],
    name = "c",
    before?: readonly string[],
  ): Promise<{ status: number | string; stderr: string }> {
    const daemon = new DaemonProcess(folder, args, name, {}, before);
    const watch = setTimeout(() => daemon.child.kill("SIGKILL"), 30_000);
    const status = await daemon.ended;
    clearTimeout(watch);
    return { status, stderr: daemon.stderr };
  }

  /** Resolves when the daemon has said it; throws when it ends without. */
  async said(stream: "stdout" | "stderr", pattern: RegExp): Promise<void> {
    while (!pattern.test(this[stream])) {
      const more = new Promise<void>((resolve) => this.child[stream]!.once("data", () => resolve()));
      const status = await Promise.race([more, this.ended]);
      if (status !== undefined && !pattern.test(this[stream]))
        throw new Error(`the daemon ended (${status}) without saying ${pattern}: ${this.stdout}${this.stderr}`);
    }
  }

  async end(signal: NodeJS.Signals = "SIGTERM"): Promise<number | string> {
    this.child.kill(signal);
    return this.ended;
  }

  /** `paste-switch ARGS --control ...`, with our socket. */
  cli(...args: string[]): Promise<CliResult> {
    return runCli(args, { env: { PASTE_SWITCH_CONTROL: this.control } });
  }

  async ask<T>(question: (client: ControlClient) => Promise<T>): Promise<T> {
    const client = await ControlClient.connect(this.control);
    try {
      return await question(client);
    } finally {
      client.close();
    }
  }

  open(t: Teardown, name: string, options: { reconnectMs?: number; slots?: number } = {}): PortClient {
    const port = openPort({ socket: this.ports, name, reconnectMs: 0, ...options });
    t.teardown(() => port.close());
    return port;
  }
}

/** A frame from one of our hosts to another, with its number where a payload begins. Addresses 02:00:00:00:00:NN. */
export function numberedFrame(from: number, to: number, number: number, length = 64): Buffer {
  const frame = Buffer.alloc(length);
  frame.writeUIntBE(to === 0xff ? 0xffffffffffff : 0x020000000000 + to, 0, 6);
  frame.writeUIntBE(0x020000000000 + from, 6, 6);
  frame.writeUInt16BE(0x88b5, 12); // IEEE 802, local experiments
  frame.writeUInt32BE(number, 14);
  return frame;
}

/** Receives so many frames; fails when none comes for a minute. */
export async function receiveFrames(port: PortClient, count: number): Promise<Buffer[]> {
  const frames: Buffer[] = [];
  while (frames.length < count) {
    frames.push(...port.receive(count - frames.length));
    if (frames.length < count && (await port.wait({ timeoutMs: 60_000 })) !== "ready")
      throw new Error(`${frames.length} of ${count} frames came`);
  }
  return frames;
}
