import { type ChildProcess, spawn } from "node:child_process";
import { join } from "node:path";
import { PasteError } from "../../logger/errors.js";
import { packageRoot } from "../../native/index.js";

const quoted = (word: string) => (/^[\w@%+=:,./-]+$/.test(word) ? word : `'${word.replaceAll("'", "'\\''")}'`);

/** How a user who started this process starts the next command: npm's scripts and npx see to PATH for their children only. */
const program = process.env.npm_command ? "npx paste-switch" : "paste-switch";

/** The command as a user would type it. */
export function commandLine(args: readonly string[]): string {
  return [program, ...args.map(quoted)].join(" ");
}

const running = new Set<ChildProcess>();

/** Ends, at once, what runs of the commands and daemons started here. */
export function killCommands(): void {
  for (const child of running) child.kill("SIGKILL");
}

function start(args: readonly string[], env: Record<string, string>): ChildProcess {
  const child = spawn(process.execPath, [join(packageRoot(), "dist", "cli", "main.cjs"), ...args], {
    env: { ...process.env, ...env },
    stdio: ["ignore", "pipe", "pipe"],
  });
  running.add(child);
  child.on("exit", () => running.delete(child));
  return child;
}

function collect(child: ChildProcess): { stdout: () => string; stderr: () => string } {
  const stdout: Buffer[] = [];
  const stderr: Buffer[] = [];
  child.stdout!.on("data", (chunk: Buffer) => stdout.push(chunk));
  child.stderr!.on("data", (chunk: Buffer) => stderr.push(chunk));
  return { stdout: () => Buffer.concat(stdout).toString(), stderr: () => Buffer.concat(stderr).toString() };
}

type End = { code: number | null; signal: NodeJS.Signals | null };

const ended = (child: ChildProcess) =>
  new Promise<End>((resolve) => child.on("close", (code, signal) => resolve({ code, signal })));

/** A command that gave its reason passes it on, for the user to mend; one that ended otherwise is a fault. */
function failure(args: readonly string[], { code, signal }: End, stderr: string): PasteError {
  const reason = /^paste-switch: (.*)$/m.exec(stderr)?.[1];
  if (reason && !signal) return new PasteError("RESOURCE", `${commandLine(args)}: ${reason}`);
  return new PasteError("INTERNAL", `${commandLine(args)} ended with ${signal ?? code}: ${stderr.trim()}`);
}

/** Runs a command of this package to its end. Throws RESOURCE or INTERNAL, with what it said, when it fails. */
export async function runCommand(
  args: readonly string[],
  env: Record<string, string>,
): Promise<{ stdout: string; stderr: string }> {
  const child = start(args, env);
  const output = collect(child);
  const end = await ended(child);
  if (end.code !== 0) throw failure(args, end, output.stderr());
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
      end.then((how) => reject(failure(args, how, output.stderr())));
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
