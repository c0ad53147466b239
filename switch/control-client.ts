// A program's side of the control protocol: one connection, calls answered in order.
import { existsSync } from "node:fs";
import net from "node:net";
import { basename, dirname, join } from "node:path";
import { type ErrorCode, errorCodes, PasteError } from "../logger/errors.js";
import {
  type CallName,
  type ControlCalls,
  decodeResponse,
  encodeRequest,
  type Failure,
  MessageReader,
  protocolVersion,
  type Request,
  type Response,
  type ResultOf,
} from "./control-protocol.js";
import { programName } from "./version.js";

export interface ControlClientOptions {
  /** How long one call may take, in milliseconds. */
  timeoutMs?: number;
}

interface Waiting {
  id: number;
  parts: Record<string, unknown> | undefined;
  resolve: (value: unknown) => void;
  reject: (error: Error) => void;
  timer: NodeJS.Timeout;
}

export class ControlClient {
  readonly path: string;
  #socket: net.Socket;
  #reader = new MessageReader();
  #waiting: Waiting[] = [];
  #nextId = 1;
  #timeoutMs: number;
  #failure: PasteError | undefined;

  private constructor(path: string, socket: net.Socket, timeoutMs: number) {
    this.path = path;
    this.#socket = socket;
    this.#timeoutMs = timeoutMs;
    socket.on("data", (chunk) => this.#take(chunk));
    socket.on("error", (error) => this.#fail(connectError(path, error)));
    socket.on("close", () => this.#fail(new PasteError("CONTROL", `the daemon at ${path} closed the connection`)));
  }

  /** Connects and exchanges versions. */
  static async connect(path: string, options: ControlClientOptions = {}): Promise<ControlClient> {
    const socket = net.connect(path);
    await new Promise<void>((resolve, reject) => {
      socket.once("connect", resolve);
      socket.once("error", (error) => reject(connectError(path, error)));
    });
    socket.removeAllListeners("error");
    const client = new ControlClient(path, socket, options.timeoutMs ?? 10_000);
    try {
      const hello = await client.call("hello", { version: protocolVersion, program: programName() });
      if (hello.version !== protocolVersion)
        throw new PasteError(
          "CONTROL",
          `the daemon at ${path} is ${hello.program} and speaks control protocol ${hello.version}, this is ` +
            `${programName()} with ${protocolVersion}: use the program that the daemon was started with`,
        );
    } catch (error) {
      client.close();
      throw error;
    }
    return client;
  }

  /** One call and its whole answer. Rejects with the daemon's PasteError, or with code CONTROL when it is gone. */
  call<C extends CallName>(call: C, body: ControlCalls[C]["takes"]): Promise<ResultOf<C>> {
    if (this.#failure) return Promise.reject(this.#failure);
    const id = this.#nextId++;
    const bytes = encodeRequest({ id, call, body } as Request);
    return new Promise((resolve, reject) => {
      const late = new PasteError("CONTROL", `the daemon at ${this.path} did not answer in ${this.#timeoutMs} ms`);
      const timer = setTimeout(() => this.#fail(late), this.#timeoutMs);
      this.#waiting.push({ id, parts: undefined, resolve: resolve as (value: unknown) => void, reject, timer });
      this.#socket.write(bytes);
    });
  }

  close(): void {
    this.#fail(new PasteError("CONTROL", `the connection to ${this.path} was closed`));
  }

  #take(chunk: Buffer): void {
    this.#reader.push(chunk);
    try {
      for (let message = this.#reader.next(); message; message = this.#reader.next())
        this.#answer(decodeResponse(message));
    } catch (error) {
      this.#fail(error as PasteError);
    }
  }

  #answer(response: Response): void {
    const waiting = this.#waiting[0];
    const failure = response.result === "failure" ? asError(response.body as Failure) : undefined;
    // Id 0 is the server's word about the connection itself; it ends it.
    if (!waiting || response.id !== waiting.id)
      throw failure ?? new PasteError("CONTROL", `the daemon at ${this.path} answered a call that was not made`);
    if (!failure) {
      waiting.parts = joinParts(waiting.parts, response.body as Record<string, unknown>);
      if (response.more) return;
    }
    this.#waiting.shift();
    clearTimeout(waiting.timer);
    if (failure) waiting.reject(failure);
    else waiting.resolve(waiting.parts);
  }

  #fail(error: PasteError): void {
    this.#failure ??= error;
    for (const waiting of this.#waiting.splice(0)) {
      clearTimeout(waiting.timer);
      waiting.reject(this.#failure);
    }
    this.#socket.destroy();
  }
}

/** A list in several parts: the first part's single fields, everybody's repeated ones. */
function joinParts(first: Record<string, unknown> | undefined, next: Record<string, unknown>): Record<string, unknown> {
  if (!first) return next;
  for (const [name, value] of Object.entries(next)) if (Array.isArray(value)) (first[name] as unknown[]).push(...value);
  return first;
}

function asError(failure: Failure): PasteError {
  const known = (errorCodes as readonly string[]).includes(failure.code);
  return new PasteError(known ? (failure.code as ErrorCode) : "CONTROL", failure.message);
}

const nobody = ["ENOENT", "ECONNREFUSED"];

/** Whether connecting failed because no daemon runs there. */
export function isNoDaemon(error: unknown): boolean {
  const { cause } = error as Error;
  return (
    error instanceof PasteError &&
    error.code === "CONTROL" &&
    nobody.includes((cause as NodeJS.ErrnoException)?.code ?? "")
  );
}

function connectError(path: string, error: Error): PasteError {
  const code = (error as NodeJS.ErrnoException).code ?? "";
  if (nobody.includes(code)) {
    // Who is not root is looking in a folder of his own; the daemon is most likely root's.
    const ofRoot = join("/run/paste-switch", basename(dirname(path)), "control.sock");
    const hint =
      process.getuid!() !== 0 && existsSync(dirname(ofRoot)) ? `; root's is asked with --control ${ofRoot}` : "";
    return new PasteError(
      "CONTROL",
      `no daemon answers at ${path}: start one with \`paste-switch daemon\`, or name it with --control, or --name (of a rule: --instance)${hint}`,
      { cause: error },
    );
  }
  if (code === "EACCES" || code === "EPERM")
    return new PasteError(
      "PRIVILEGE",
      `not allowed to connect to ${path}: start that daemon with --group and a group of yours, or act as its user`,
      { cause: error },
    );
  return new PasteError("CONTROL", `the connection to the daemon at ${path} failed: ${error.message}`, {
    cause: error,
  });
}
