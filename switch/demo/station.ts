import { type ChildProcess, fork } from "node:child_process";
import { fileURLToPath } from "node:url";
import { PasteError } from "../../logger/errors.js";
import type { FrameColumns } from "../../native/index.js";
import type { StationAnswer, StationCommand } from "./station-process.js";

export type StationReport = Extract<StationAnswer, { kind: "report" }>;

/** The parent's handle on a station: a program on one port, in a process of its own. */
export class Station {
  readonly port: string;
  readonly #child: ChildProcess;
  #answered: ((answer: StationAnswer) => void) | undefined;

  private constructor(port: string) {
    this.port = port;
    this.#child = fork(fileURLToPath(new URL("station-process.js", import.meta.url)), { serialization: "advanced" });
    this.#child.on("message", (answer: StationAnswer) => this.#settle(answer));
    this.#child.on("exit", (code, signal) =>
      this.#settle({ kind: "failed", message: `the program on port ${port} ended (${signal ?? code})` }),
    );
  }

  /** Starts the program and attaches it; `filter` is the rule, so that it can tell the frames that had to be durable. */
  static async open(socket: string, port: string, filter: string): Promise<Station> {
    const station = new Station(port);
    await station.#ask({ kind: "open", socket, name: port, filter });
    return station;
  }

  /** Plays frames from now on, at this rate as far as the switch takes them; `loop`: again and again. */
  play(frames: FrameColumns, framesPerSecond: number, loop = true): void {
    this.#child.send({ kind: "frames", frames, framesPerSecond, loop } satisfies StationCommand);
  }

  async pause(): Promise<void> {
    await this.#ask({ kind: "pause" });
  }

  async report(clear = false): Promise<StationReport> {
    return (await this.#ask({ kind: "report", clear })) as StationReport;
  }

  close(): void {
    this.#answered = undefined;
    this.#child.removeAllListeners("exit");
    if (this.#child.connected) this.#child.send({ kind: "close" } satisfies StationCommand, () => {});
  }

  #ask(command: StationCommand): Promise<StationAnswer> {
    return new Promise((resolve, reject) => {
      this.#answered = (answer) => {
        if (answer.kind === "failed") reject(new PasteError("PORT", answer.message));
        else resolve(answer);
      };
      this.#child.send(command, (error) => {
        if (error) this.#settle({ kind: "failed", message: error.message });
      });
    });
  }

  #settle(answer: StationAnswer): void {
    const answered = this.#answered;
    this.#answered = undefined;
    answered?.(answer);
  }
}
