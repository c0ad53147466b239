import { type ChildProcess, spawn } from "node:child_process";
import { join } from "node:path";
import { PasteError } from "../../logger/errors.js";
import { packageRoot } from "../../native/index.js";

const quoted = (word: string) => (/^[\w@%+=:,./-]+$/.test(word) ? word : `'${word.replaceAll("'", "'\\''")}'`);

/** The command as a user would type it. */
export function commandLine(args: readonly string[]): string {
  return ["paste-switch", ...args].map(quoted).join(" ");
}

function start(args: readonly string[], env: Record<string, string>): ChildProcess {
  return spawn(process.execPath, [join(packageRoot(), "dist", "cli", "main.js"), ...args], {
    env: { ...process.env, ...env },
    stdio: ["ignore", "pipe", "pipe"],
  });
}

function collect(child: ChildProcess): { stdout: () => string; stderr: () => string } {
  const stdout: Buffer[] = [];
  const stderr: Buffer[] = [];
  child.stdout!.on("data", (chunk: Buffer) => stdout.push(chunk));
  child.stderr!.on("data", (chunk: Buffer) => stderr.push(chunk));
  return { stdout: () => Buffer.concat(stdout).toString(), stderr: () => Buffer.concat(stderr).toString() };
}

const ended = (child: ChildProcess) =>
  new Promise<{ code: number | null; signal: NodeJS.Signals | null }>((resolve) =>
    child.on("close", (code, signal) => resolve({ code, signal })),
  );

/** Runs a command of this package to its end. Throws INTERNAL, with what it said, when it fails. */
export async function runCommand(
  args: readonly string[],
  env: Record<string, string>,
): Promise<{ stdout: string; stderr: string }> {
  const child = start(args, env);
  const output = collect(child);
  const { code, signal } = await ended(child);
  if (code !== 0)
    throw new PasteError("INTERNAL", `${commandLine(args)} ended with ${signal ?? code}: ${output.stderr().trim()}`);
  return { stdout: output.stdout(), stderr: output.stderr() };
}

/** A daemon as a child process: started and ready, to be killed or asked to end. */
export class DaemonProcess {
  readonly #child: ChildProcess;
  readonly #output: ReturnType<typeof collect>;
  readonly #ended: ReturnType<typeof ended>;
  /** From starting the process to "ready". */
  readonly readyMs: number;

  private constructor(
    child: ChildProcess,
    output: ReturnType<typeof collect>,
    end: ReturnType<typeof ended>,
    readyMs: number,
  ) {
    this.#child = child;
    this.#output = output;
    this.#ended = end;
    this.readyMs = readyMs;
  }

  static async start(args: readonly string[], env: Record<string, string>): Promise<DaemonProcess> {
    const startMs = performance.now();
    const child = start(args, env);
    const output = collect(child);
    const end = ended(child);
    await new Promise<void>((resolve, reject) => {
      const look = () => {
        if (/^ready/m.test(output.stdout() + output.stderr())) resolve();
      };
      child.stdout!.on("data", look);
      child.stderr!.on("data", look);
      end.then(({ code, signal }) =>
        reject(
          new PasteError("INTERNAL", `${commandLine(args)} ended with ${signal ?? code}: ${output.stderr().trim()}`),
        ),
      );
    });
    return new DaemonProcess(child, output, end, performance.now() - startMs);
  }

  /** What it has printed so far, both streams. */
  get said(): string {
    return output(this.#output);
  }

  get pid(): number {
    return this.#child.pid!;
  }

  /** SIGKILL: no farewell. */
  async kill(): Promise<void> {
    this.#child.kill("SIGKILL");
    await this.#ended;
  }

  /** SIGTERM: drains, closes the store; throws INTERNAL when it does not exit with 0. */
  async stop(): Promise<void> {
    this.#child.kill("SIGTERM");
    const { code, signal } = await this.#ended;
    if (code !== 0) throw new PasteError("INTERNAL", `the daemon ended with ${signal ?? code}: ${this.said.trim()}`);
  }
}

function output(from: ReturnType<typeof collect>): string {
  return from.stdout() + from.stderr();
}
