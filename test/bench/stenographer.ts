// Google's Stenographer on an interface of a network namespace: stenotype captures there, stenographer serves what it holds, both with
// folders and certificates of our own, so that a Stenographer of this machine is neither used nor touched.
import { type ChildProcess, execFileSync, spawn } from "node:child_process";
import { existsSync, mkdirSync, openSync, readdirSync, readFileSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { storeFolder } from "./place.js";
import { type Found, installed, packetsIn, timedCapture, until } from "./programs.js";
import { undoAtEnd } from "./undo.js";
import type { Veth } from "./veth.js";

const programs = ["stenographer", "stenotype", "stenoread", "stenocurl", "openssl", "setpriv"];
/** The one that the Debian package makes. */
const user = "stenographer";
const port = 1234;
/** Files are closed after five seconds, their index is written then, and stenographer looks for such four times a minute. */
const flags = ["--blocks=256", "--preallocate_file_mb=64", "--fileage_sec=5", "--blockage_sec=1", "--no_watchdogs"];
const visibleMs = 60_000;

export class Stenographer {
  readonly #veth: Veth;
  readonly #folder: ReturnType<typeof storeFolder>;
  readonly #env: { STENOGRAPHER_CONFIG: string; TMPDIR: string };
  #child: ChildProcess | undefined;

  /** Why there is none here; undefined when there is. */
  static missing(): string | undefined {
    const lacking = programs.filter((program) => !installed(program));
    if (lacking.length === 0) return undefined;
    return `${lacking.join(", ")} not installed (Debian packages stenographer, stenographer-client)`;
  }

  /** Captures at the veth's far end. `bytes`: what it will hold. */
  constructor(veth: Veth, bytes: number) {
    this.#veth = veth;
    this.#folder = storeFolder(bytes);
    this.#env = { STENOGRAPHER_CONFIG: join(this.#folder.path, "config"), TMPDIR: this.#folder.path };
  }

  /** Throws, with what it said last, when it does not come up. */
  async start(): Promise<void> {
    const { path } = this.#folder;
    for (const name of ["certs", "packets", "index"]) mkdirSync(join(path, name));
    makeCertificates(join(path, "certs"));
    const [PacketsDirectory, IndexDirectory] = [join(path, "packets"), join(path, "index")];
    const config = {
      Threads: [{ PacketsDirectory, IndexDirectory, MaxDirectoryFiles: 1000, DiskFreePercentage: 1 }],
      StenotypePath: execFileSync("sh", ["-c", "PATH=$PATH:/usr/sbin command -v stenotype"], {
        encoding: "utf8",
      }).trim(),
      Interface: "far",
      Port: port,
      Host: "127.0.0.1",
      Flags: flags,
      CertPath: join(path, "certs"),
    };
    writeFileSync(this.#env.STENOGRAPHER_CONFIG, JSON.stringify(config));
    execFileSync("chown", ["-R", `${user}:${user}`, path]);
    const log = openSync(join(path, "log"), "w");
    const drop = ["setpriv", `--reuid=${user}`, `--regid=${user}`, "--init-groups"];
    const serve = ["stenographer", `-config=${this.#env.STENOGRAPHER_CONFIG}`, "-syslog=false"];
    const [program, ...args] = this.#veth.command(...drop, ...serve);
    const child = spawn(program!, args, { env: { ...process.env, ...this.#env }, stdio: ["ignore", log, log] });
    this.#child = child;
    await until(() => child.exitCode !== null || this.#up()).catch(() => {});
    if (!this.#up()) throw new Error(this.#lastWords());
  }

  /** Waits until so many packets answer a query, or for a minute. Captures nothing any more from then on. */
  async settle(query: string, packets: number): Promise<void> {
    const end = Date.now() + visibleMs;
    while ((await this.answer(query)).packets < packets && Date.now() < end)
      await new Promise((resolve) => setTimeout(resolve, 1000));
    // Its empty files every five seconds would have to be searched, too.
    for (const pid of this.#captures()) process.kill(pid, "SIGSTOP");
  }

  /** The server's answer to a request with a client's certificate: from the request to the last byte, connected before that. */
  async answer(query: string): Promise<Found> {
    const file = join(this.#folder.path, "answer.pcap");
    const times = "%{http_code} %{time_pretransfer} %{time_total}";
    const command = ["stenocurl", "/query", "-d", query, "--silent", "--show-error", "--output", file, "-w", times];
    const said = (await this.#veth.run(command, this.#env)).toString();
    const [status, begun, done] = said.split(" ").map(Number);
    if (status !== 200) throw new Error(`stenographer answered "${query}" with ${said}: ${this.#lastWords()}`);
    return { ms: (done! - begun!) * 1000, packets: packetsIn(readFileSync(file)) };
  }

  /** What its user waits for. */
  read(query: string): Promise<Found> {
    return timedCapture(this.#veth.command("stenoread", query, "-w", "-"), this.#env);
  }

  readonly close = undoAtEnd(() => {
    const captures = this.#captures();
    this.#child?.kill("SIGKILL");
    for (const pid of captures) process.kill(pid, "SIGKILL");
    this.#folder.remove();
  });

  /** It listens, and captures. */
  #up(): boolean {
    const at = `/proc/${this.#child!.pid}/net`;
    if (this.#child!.exitCode !== null) return false;
    const listening = new RegExp(`:${port.toString(16).toUpperCase().padStart(4, "0")} 0+:0+ 0A`);
    const sockets = readFileSync(`${at}/packet`, "utf8").trim().split("\n").length - 1;
    return sockets > 0 && [`${at}/tcp`, `${at}/tcp6`].some((file) => listening.test(readFileSync(file, "utf8")));
  }

  /** The processes of stenotype. */
  #captures(): number[] {
    const tasks = `/proc/${this.#child?.pid}/task`;
    if (!existsSync(tasks)) return [];
    return readdirSync(tasks).flatMap((task) =>
      readFileSync(join(tasks, task, "children"), "utf8")
        .split(" ")
        .filter(Boolean)
        .map(Number),
    );
  }

  #lastWords(): string {
    return readFileSync(join(this.#folder.path, "log"), "utf8").trim().split("\n").at(-1) ?? "";
  }
}

/** One certificate, of itself: the server's, the client's, and what both are checked against. */
function makeCertificates(folder: string): void {
  const [key, certificate] = [join(folder, "key.pem"), join(folder, "ca_cert.pem")];
  const curve = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"];
  const name = ["-days", "2", "-subj", "/CN=127.0.0.1", "-addext", "subjectAltName=IP:127.0.0.1"];
  execFileSync("openssl", ["req", "-x509", ...curve, ...name, "-keyout", key, "-out", certificate], { stdio: "pipe" });
  for (const side of ["server", "client"]) {
    symlinkSync("ca_cert.pem", join(folder, `${side}_cert.pem`));
    symlinkSync("key.pem", join(folder, `${side}_key.pem`));
  }
}
