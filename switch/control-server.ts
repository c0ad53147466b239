// The daemon's side of the control protocol. Whoever may connect may still be hostile or broken: the number of connections,
// the length of a message, the time a message may take to arrive, and the answers that wait to be read are all bounded.
import { chmodSync, chownSync } from "node:fs";
import net from "node:net";
import { PasteError } from "../logger/errors.js";
import { peerUser } from "../native/host.js";
import {
  decodeRequest,
  encodeResponse,
  type Failure,
  type Hello,
  MessageReader,
  protocolVersion,
  type Request,
  type Response,
  type ResultName,
} from "./control-protocol.js";
import { programName } from "./version.js";

/** One part of an answer. A handler yields one or more; a repeated field may be spread over several. */
export interface Answer {
  result: ResultName;
  body: unknown;
}
export type ControlHandler = (request: Request) => AsyncIterable<Answer>;

export interface ControlServerOptions {
  path: string;
  /** Group that may connect; absent: the owner only. */
  gid?: number;
  handler: ControlHandler;
  connectionsMax?: number;
  /** For a message to arrive whole, for the first one to begin, and for an answer to be read. */
  messageTimeoutMs?: number;
  /** Between two requests. */
  idleTimeoutMs?: number;
}

export interface ControlServerCounters {
  accepted: number;
  /** Connections refused because too many were open, of all or of their user. */
  refused: number;
  /** Connections ended because of what they sent, or did not send or read in time. */
  failed: number;
}

export class ControlServer {
  readonly counters: ControlServerCounters = { accepted: 0, refused: 0, failed: 0 };
  #server: net.Server;
  /** With the user at the other end. */
  #sockets = new Map<net.Socket, number | undefined>();
  #refused = new Set<net.Socket>();
  #options: Required<Omit<ControlServerOptions, "gid">>;

  private constructor(options: ControlServerOptions) {
    this.#options = { connectionsMax: 64, messageTimeoutMs: 5_000, idleTimeoutMs: 600_000, ...options };
    this.#server = net.createServer((socket) => this.#accept(socket));
  }

  /** Listens on a path that is free (see claimInstance): 0600, or 0660 for a group. */
  static async listen(options: ControlServerOptions): Promise<ControlServer> {
    const server = new ControlServer(options);
    // Nobody else can connect between bind and chmod: the socket is made without rights for others.
    const mask = process.umask(0o177);
    try {
      await new Promise<void>((resolve, reject) => {
        server.#server.once("error", (error) =>
          reject(new PasteError("CONTROL", `cannot listen on ${options.path}: ${error.message}`, { cause: error })),
        );
        server.#server.listen(options.path, resolve);
      });
    } finally {
      process.umask(mask);
    }
    if (options.gid !== undefined) {
      chownSync(options.path, -1, options.gid);
      chmodSync(options.path, 0o660);
    }
    return server;
  }

  /** Connections that are open now. */
  get connections(): number {
    return this.#sockets.size;
  }

  /** Stops listening (which removes the socket) and ends every connection. */
  async close(): Promise<void> {
    const closed = new Promise<void>((resolve) => this.#server.close(() => resolve()));
    for (const socket of [...this.#sockets.keys(), ...this.#refused]) socket.destroy();
    await closed;
  }

  #accept(socket: net.Socket): void {
    socket.on("error", () => socket.destroy());
    const user = peerUser(socket);
    const refusal = this.#refusal(user);
    if (refusal) {
      this.#refuse(socket, new PasteError("CONTROL", refusal));
      return;
    }
    this.counters.accepted++;
    this.#sockets.set(socket, user);
    socket.on("close", () => this.#sockets.delete(socket));
    void this.#serve(socket);
  }

  /** Closed at once, a client that is saying hello would find its write failed, and never read why. Some may stay until they have. */
  #refuse(socket: net.Socket, why: PasteError): void {
    this.counters.refused++;
    socket.write(failureOf(0, why));
    if (this.#refused.size >= this.#options.connectionsMax) {
      socket.destroySoon();
      return;
    }
    this.#refused.add(socket);
    const timer = setTimeout(() => socket.destroy(), this.#options.messageTimeoutMs);
    socket.on("close", () => {
      clearTimeout(timer);
      this.#refused.delete(socket);
    });
    socket.resume().end();
  }

  /** No user but root and the daemon's own takes more than half of the connections, as on ports.sock (user_share()). */
  #refusal(user: number | undefined): string | undefined {
    const max = this.#options.connectionsMax;
    if (this.#sockets.size >= max) return `${max} control connections are open already: try again`;
    if (user === 0 || user === process.geteuid!()) return undefined;
    const theirs = [...this.#sockets.values()].filter((each) => each === user).length;
    const share = max >> 1;
    return theirs < share
      ? undefined
      : `user ${user} has its share of control connections, ${share} of ${max}: close some`;
  }

  /** Reads and answers one request after the other; a fault in the stream is said and ends the connection. */
  async #serve(socket: net.Socket): Promise<void> {
    const { messageTimeoutMs, idleTimeoutMs } = this.#options;
    const reader = new MessageReader();
    let timer: NodeJS.Timeout | undefined;
    const within = (ms: number) => {
      clearTimeout(timer);
      timer = setTimeout(() => this.#giveUp(socket), ms);
    };
    let greeted = false;
    within(messageTimeoutMs);
    try {
      for await (const chunk of socket.iterator({ destroyOnReturn: false }) as AsyncIterable<Buffer>) {
        // The time starts with a message's first byte: a trickle of further ones does not extend it.
        if (reader.pendingBytes === 0) within(messageTimeoutMs);
        reader.push(chunk);
        for (let message = reader.next(); message; message = reader.next()) {
          clearTimeout(timer);
          const request = decodeRequest(message);
          if (greeted) await this.#answer(socket, request);
          else await this.#greet(socket, request);
          greeted = true;
          within(reader.pendingBytes > 0 ? messageTimeoutMs : idleTimeoutMs);
        }
      }
    } catch (error) {
      if (!socket.destroyed) {
        this.counters.failed++;
        socket.write(failureOf(0, error));
        socket.destroySoon();
      }
    } finally {
      clearTimeout(timer);
    }
  }

  async #greet(socket: net.Socket, request: Request): Promise<void> {
    if (request.call !== "hello")
      throw new PasteError("CONTROL", `the first message must be hello, this was ${request.call}`);
    const hello: Hello = { version: protocolVersion, program: programName() };
    await this.#send(socket, { id: request.id, more: false, result: "hello", body: hello });
    const { version, program } = request.body;
    if (version !== protocolVersion)
      throw new PasteError(
        "CONTROL",
        `this daemon speaks control protocol ${protocolVersion}, ${program || "the client"} speaks ${version}`,
      );
  }

  async #answer(socket: net.Socket, request: Request): Promise<void> {
    try {
      // One part is held back, because the last one says that it is the last.
      let held: Answer | undefined;
      for await (const part of this.#options.handler(request)) {
        if (held) await this.#send(socket, { id: request.id, more: true, ...held });
        held = part;
      }
      if (!held) throw new PasteError("INTERNAL", `${request.call} has no answer`);
      await this.#send(socket, { id: request.id, more: false, ...held });
    } catch (error) {
      if (!socket.destroyed) socket.write(failureOf(request.id, error));
    }
  }

  /** Sends, and waits for the reader when it falls behind. */
  async #send(socket: net.Socket, response: Response): Promise<void> {
    if (socket.write(encodeResponse(response)) || socket.destroyed) return;
    const timer = setTimeout(() => this.#giveUp(socket), this.#options.messageTimeoutMs);
    await new Promise<void>((resolve) => {
      const done = () => {
        socket.off("drain", done).off("close", done);
        resolve();
      };
      socket.on("drain", done).on("close", done);
    });
    clearTimeout(timer);
  }

  #giveUp(socket: net.Socket): void {
    this.counters.failed++;
    socket.destroy();
  }
}

function failureOf(id: number, error: unknown): Buffer {
  const failure: Failure =
    error instanceof PasteError
      ? { code: error.code, message: error.message }
      : { code: "INTERNAL", message: error instanceof Error ? error.message : String(error) };
  return encodeResponse({ id, more: false, result: "failure", body: failure });
}
