// Ports of /dev/netmap: on a machine with the module they are its own, elsewhere a daemon of ours serves it to the switch under test
// through the preload library. Either way the switch sees netmap's ABI and nothing else. Two of its ports stand on one VALE switch
// of netmap's, so what goes into vale0 comes out of vale1.
import { existsSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import test, { type ExecutionContext } from "ava";
import type { EngineStats } from "../../native/engine.js";
import { openPort, type PortClient } from "../../native/port-client.js";
import { frame, liveSwitch, total, until } from "../support/live-switch.js";
import { PortProgram } from "../support/programs.js";
import { skip } from "../support/skip.js";

const script = fileURLToPath(new URL("../support/netmap-switch.js", import.meta.url));
const module = existsSync("/dev/netmap");
type Ports = EngineStats["ports"];
interface Attached {
  name: string;
  spec: string;
  code?: string;
  message?: string;
}

interface Under {
  said: Attached[];
  open(name: string): PortClient;
  /** Ends it; its ports as they were. */
  end(): Promise<Ports>;
}

/** A switch with these ports. `alone`: nobody serves /dev/netmap to it. */
async function switchUnder(t: ExecutionContext, ports: string[], alone = false): Promise<Under> {
  const folder = mkdtempSync(join(tmpdir(), "paste-netmap-"));
  t.teardown(() => rmSync(folder, { recursive: true, force: true }));
  const outer = await liveSwitch(t);
  const socket = join(folder, "ports.sock");
  const env: Record<string, string> = module || alone ? { LD_PRELOAD: "" } : {};
  const program = new PortProgram(process.execPath, [script, socket, ...ports], outer.socket, env);
  t.teardown(() => program.child.kill("SIGKILL"));
  await program.said(/^ready$/m);
  const lines = program.stdout.split("\n");
  const clients: PortClient[] = [];
  t.teardown(() => {
    for (const client of clients) client.close();
  });
  return {
    said: lines.slice(0, lines.indexOf("ready")).map((line) => JSON.parse(line) as Attached),
    open(name) {
      clients.push(openPort({ socket, name, reconnectMs: 0 }));
      return clients.at(-1)!;
    },
    async end() {
      program.child.kill("SIGTERM");
      const { status, stdout, stderr } = await program.ended;
      t.deepEqual({ status, stderr }, { status: 0, stderr: "" });
      return JSON.parse(stdout.trim().split("\n").at(-1)!) as Ports;
    },
  };
}

/** What was sent at one end comes out at the other, whole and in order. */
async function passes(t: ExecutionContext, from: PortClient, to: PortClient, frames: readonly Buffer[]): Promise<void> {
  const got: Buffer[] = [];
  for (let sent = 0; sent < frames.length; sent += 50) {
    await from.sendAll(frames.slice(sent, sent + 50));
    const due = Math.min(sent + 50, frames.length);
    await until(() => got.push(...to.receive()) >= due, `${due} frames, ${got.length} came`);
  }
  t.deepEqual(
    got.map((bytes) => bytes.toString("hex").slice(0, 80) + bytes.length),
    frames.map((bytes) => bytes.toString("hex").slice(0, 80) + bytes.length),
  );
  t.true(got.every((bytes, i) => bytes.equals(frames[i]!)));
}

function mixed(from: number, to: number, count: number, bytesMax: number): Buffer[] {
  return Array.from({ length: count }, (_, i) => {
    const bytes = frame(to, from, `frame ${i}`, 60 + ((i * 997) % (bytesMax - 60)));
    for (let at = 40; at < bytes.length; at++) bytes[at] = (i * 31 + at * 7) & 0xff;
    return bytes;
  });
}

test("frames of 60 to 9000 bytes, both ways through two ports of /dev/netmap", async (t) => {
  const s = await switchUnder(t, ["vale0:n=netmap:valeT1:x", "vale1:m=netmap:valeT1:y,slots=512"]);
  t.deepEqual(
    s.said.map(({ message }) => message),
    [undefined, undefined],
  );
  const [a, b] = [s.open("vale0:a"), s.open("vale1:b")];
  await passes(t, a, b, mixed(1, 2, 400, 9000));
  await passes(t, b, a, mixed(2, 1, 400, 9000));
  const ports = await s.end();
  for (const name of ["vale0:n", "vale1:m"]) {
    const port = ports.find((p) => p.name === name)!;
    t.is(port.kind, "netmap");
    t.regex(
      port.detail,
      /^netmap API 14.*, rings 1 rx 1 tx of (1024|512) slots, 2048 B buffers, memory \d+ of netmap's own: there is no store/,
    );
    t.is(port.counters.receivedFrames, 400);
    t.is(port.counters.deliveredCopies, 400);
    t.is(port.counters.clientFaults, 0);
  }
});

test("VLANs: tagged on the way into netmap, untagged on the way out", async (t) => {
  const s = await switchUnder(t, ["vale0:n=netmap:valeT2:x#t0", "vale0:a=#a7", "vale1:m=netmap:valeT2:y"]);
  const [a, b] = [s.open("vale0:a"), s.open("vale1:b")];
  await a.sendAll([frame(0, 1, "out")]);
  const out: Buffer[] = [];
  await until(() => out.push(...b.receive()) > 0, "the tagged frame");
  t.is(out[0]!.readUInt32BE(12), 0x81000007);
  t.is(out[0]!.length, 64);
  await b.sendAll([out[0]!.fill(2, 6, 12)]);
  const back: Buffer[] = [];
  await until(() => back.push(...a.receive()) > 0, "the frame without its tag");
  t.is(back[0]!.readUInt16BE(12), 0x88b5);
  t.is(back[0]!.length, 60);
  await s.end();
});

test("a pipe through /dev/netmap; when nobody reads, the rest is refused and the sums hold", async (t) => {
  const s = await switchUnder(t, [
    "vale0:m=netmap:valeT3:p{1",
    "vale1:s=netmap:valeT3:p}1",
    "vale2:lone=netmap:valeT3:q{1",
  ]);
  t.deepEqual(
    s.said.map(({ message }) => message),
    [undefined, undefined, undefined],
  );
  const [a, b, c] = [s.open("vale0:a"), s.open("vale1:b"), s.open("vale2:c")];
  await passes(t, a, b, mixed(1, 2, 120, 2000));
  await passes(t, b, a, mixed(2, 1, 120, 2000));
  await c.sendAll(mixed(3, 4, 3000, 200));
  await until(() => c.sentAll, "the switch took them all");
  const lone = (await s.end()).find((port) => port.name === "vale2:lone")!.counters;
  t.is(lone.intendedCopies, lone.deliveredCopies + total(lone.refused));
  t.true(lone.deliveredCopies > 0 && lone.deliveredCopies < 1024, `${lone.deliveredCopies} fit`);
  t.is(lone.refused.full, lone.intendedCopies - lone.deliveredCopies);
});

const wrong: Array<[port: string, code: string, message: RegExp]> = [
  ["netmap:valeT4:x^", "USAGE", /no host rings/],
  ["netmap:nosuch0", "PORT", /nosuch0/],
  ["netmap:valeT4:e,extmem=on", "RESOURCE", /there is no store/],
  ["netmap:valeT4:e@31000", "PORT", /memory id/],
  ["netmap:valeT4:e,share=netmap:nosuch0", "PORT", /share=nosuch0: netmap knows no such port/],
  ["netmap:valeT4:x-5", "PORT", /this mode, ring/],
];

test("what netmap refuses is said in words", async (t) => {
  const ports = wrong.map(([port], i) => `vale0:w${i}=${port}`);
  const s = await switchUnder(t, ["vale0:one=netmap:valeT4:ex/x", ...ports, "vale0:two=netmap:valeT4:ex"]);
  t.is(s.said[0]!.message, undefined);
  for (const [i, [port, code, message]] of wrong.entries()) {
    t.is(s.said[i + 1]!.code, code, `${port}: ${s.said[i + 1]!.message}`);
    t.regex(s.said[i + 1]!.message!, message);
  }
  t.is(s.said.at(-1)!.code, "PORT");
  t.regex(s.said.at(-1)!.message!, /in use/);
  await s.end();
});

test("without /dev/netmap the error says what to install", async (t) => {
  if (module) return skip(t, "this machine has /dev/netmap");
  const s = await switchUnder(t, ["vale0:n=netmap:valeT5:x"], true);
  t.is(s.said[0]!.code, "PORT");
  t.regex(s.said[0]!.message!, /no \/dev\/netmap: install netmap's kernel module/);
  await s.end();
});
