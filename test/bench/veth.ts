// A network namespace with a veth pair in it, "near" and "far", and nobody who speaks unasked.
import { execFile } from "node:child_process";
import { randomBytes } from "node:crypto";
import { promisify } from "node:util";
import { ip, quietNamespace } from "./wires.js";

const run = promisify(execFile);
const outputBytesMax = 2 ** 30;

export class Veth {
  readonly namespace: string;
  readonly close: () => void;

  /** Throws where there is no `ip`, or no right to make one. */
  constructor(tag: string) {
    this.namespace = `paste-${randomBytes(3).toString("hex")}-${tag}`;
    this.close = quietNamespace(this.namespace);
    try {
      ip("-n", this.namespace, "link", "add", "near", "type", "veth", "peer", "name", "far");
      for (const name of ["lo", "near", "far"]) ip("-n", this.namespace, "link", "set", name, "up");
    } catch (error) {
      this.close();
      throw error;
    }
  }

  /** What starts a program in it. */
  command(...command: string[]): string[] {
    return ["ip", "netns", "exec", this.namespace, ...command];
  }

  /** Runs a program in it to its end; what it wrote to standard output. Throws with what it wrote to standard error. */
  async run(command: readonly string[], env: Record<string, string> = {}): Promise<Buffer> {
    const options = { maxBuffer: outputBytesMax, encoding: "buffer", env: { ...process.env, ...env } } as const;
    const [program, ...args] = this.command(...command);
    return (await run(program!, args, options)).stdout;
  }
}
