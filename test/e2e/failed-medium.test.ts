// A medium that refuses a write while frames flow: the kernel itself refuses it here, by a limit on the size of files that lies
// inside the store. What must be durable first does not leave, the rest does, and what had left is recovered.
import { spawn } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import test from "ava";
import { compileFilter } from "../../logger/filter/compile.js";
import { openStore } from "../../logger/reader.js";
import { openPort } from "../../native/index.js";
import { ControlClient } from "../../switch/control-client.js";
import { runCommand } from "../../switch/demo/command.js";
import { cliPath } from "../cli/run-cli.js";
import { openTap, readTap } from "../support/live-taps.js";
import { skip } from "../support/skip.js";

const frames = 20_000;
const frameBytes = 600;
/** Of 512 bytes: the writer gets 8 MiB into its store of 16 MiB. */
const limitBlocks = 16_384;
/** Small buffers: a port's memory is a file for the kernel, too, and has to stay below that limit. */
const bufferBytes = 256;

function numberedFrame(number: number): Buffer {
  const frame = Buffer.alloc(frameBytes, number & 0xff);
  Buffer.from("0200000000020200000000010800", "hex").copy(frame);
  frame.writeUInt32BE(number, 14);
  return frame;
}

async function numbersIn(store: string): Promise<Set<number>> {
  const reader = openStore(store);
  const numbers = new Set<number>();
  for await (const batch of reader.frames())
    for (let i = 0; i < batch.count; i++) numbers.add(Buffer.from(batch.bytes(i)).readUInt32BE(14));
  reader.close();
  return numbers;
}

test("a write that fails is final: no strict frame leaves after it, all that left are recovered, the sums hold", async (t) => {
  const folder = mkdtempSync(join(tmpdir(), "paste-switch-medium-"));
  t.teardown(() => rmSync(folder, { recursive: true, force: true }));
  const store = join(folder, "s.store");
  const env = { PASTE_SWITCH_CONTROL: join(folder, "control.sock") };
  await runCommand(["store", "create", "--size", "16M", store], env);
  if ((await openStore(store).info()).medium !== "disk")
    return skip(t, "the temporary folder is not on a disk: its writes cannot be refused");

  const command = `ulimit -f ${limitBlocks}; exec "$0" "$@"`;
  const daemon = spawn(
    "sh",
    [
      "-c",
      command,
      process.execPath,
      cliPath,
      "daemon",
      "--store",
      store,
      "--log",
      "",
      "--port",
      "vale0:m,mirror=vale0:a",
    ],
    {
      env: { ...process.env, ...env },
      stdio: ["ignore", "pipe", "pipe"],
    },
  );
  t.teardown(() => daemon.kill("SIGKILL"));
  const ended = new Promise((resolve) => daemon.on("close", resolve));
  let said = "";
  const ready = new Promise<void>((resolve, reject) => {
    for (const stream of [daemon.stdout, daemon.stderr])
      stream.on("data", (chunk: Buffer) => {
        said += chunk.toString();
        if (/^ready$/m.test(said)) resolve();
      });
    ended.then(() => reject(new Error(said)));
  });
  await ready;

  const socket = join(folder, "ports.sock");
  const sender = openPort({ socket, name: "vale0:a", bufferBytes });
  const receiver = openPort({ socket, name: "vale0:b", bufferBytes });
  const mirror = openPort({ socket, name: "vale0:m", bufferBytes });
  const control = await ControlClient.connect(env.PASTE_SWITCH_CONTROL);
  const tap = openTap(t, socket, { snaplen: 64 });
  const asking = openTap(t, socket, { snaplen: 64, filter: compileFilter("ether[14] < 128").bytes });
  const seen: number[] = [];
  const mirrored: number[] = [];
  const look = () => {
    for (const frame of receiver.receive(4096)) seen.push(frame.readUInt32BE(14));
    for (const frame of mirror.receive(4096)) mirrored.push(frame.readUInt32BE(14));
  };
  for (let next = 0; next < frames; ) {
    const batch = Array.from({ length: Math.min(64, frames - next) }, (_, i) => numberedFrame(next + i));
    next += sender.send(batch);
    await sender.wait({ forRoom: true, timeoutMs: 1 });
    await receiver.wait({ timeoutMs: 5 });
    look();
  }
  // What is counted is compared with what was seen: the last frame was taken before the counters were asked for.
  let stats = await control.call("stats", {});
  const taken = () => stats.ports.find(({ name }) => name === "vale0:a")!.counters.receivedFrames === frames;
  while (!stats.store?.syncFailed || stats.ticketsWaiting > 0 || !taken()) {
    await new Promise((resolve) => setTimeout(resolve, 20));
    stats = await control.call("stats", {});
  }
  look();

  const tapped = readTap(tap);
  const numberOf = ({ bytes }: { bytes: Buffer }) => bytes.readUInt32BE(14);

  const notDurableAt = (port: string) => stats.ports.find(({ name }) => name === port)!.counters.refused.not_durable!;
  const notDurable = notDurableAt("vale0:b");
  t.true(notDurable > 0, "frames were held back for ever");
  const unshown = tapped.filter(({ outcome }) => outcome === "not_durable");
  t.true(unshown.length > 0, "a tap tells of them");
  t.true(
    unshown.every(({ length, wireLength }) => length === 0 && wireLength === frameBytes),
    "and shows nothing of them",
  );
  const answered = readTap(asking);
  t.true(answered.length > 0, "a filter takes what may be seen");
  t.true(
    answered.every(({ outcome }) => outcome !== "not_durable"),
    "and tells nothing of the bytes of the others",
  );
  t.is(tap.state().missed, 0);
  t.true(notDurableAt("vale0:m") > 0, "and their mirrored copies with them");
  for (const { counters } of stats.ports) {
    const sum = (reasons: Record<string, number>) => Object.values(reasons).reduce((total, count) => total + count, 0);
    t.is(counters.receivedFrames, counters.forwardedFrames + sum(counters.dropped));
    t.is(counters.intendedCopies, counters.deliveredCopies + sum(counters.refused));
  }
  const notLogged = Object.values(stats.notLogged).reduce((total, count) => total + count, 0);
  t.is(stats.selected, stats.logged + notLogged);
  t.true(stats.notLogged.sync_failed! > 0);
  t.regex(
    stats.store!.failure,
    /s\.store: writing \d+ bytes at \d+: File too large; nothing is acknowledged any more: make room/,
  );
  sender.close();
  receiver.close();
  mirror.close();
  control.close();
  daemon.kill("SIGKILL");
  await ended;

  await runCommand(["store", "recover", store], env);
  const recovered = await numbersIn(store);
  t.true(seen.length > 0, "frames had left before");
  // What left with a record is there; what left after the failure left unlogged, was counted so, and came later.
  const unlogged = (numbers: number[]) => numbers.filter((number) => !recovered.has(number));
  t.true(unlogged(seen).length <= stats.notLogged.sync_failed! - notDurable);
  const lastRecovered = Math.max(...recovered);
  t.deepEqual(
    unlogged([...seen, ...mirrored, ...tapped.filter(({ length }) => length > 0).map(numberOf)]).filter(
      (number) => number <= lastRecovered,
    ),
    [],
    "a mirror port and a tap show nothing earlier than it leaves",
  );
});
