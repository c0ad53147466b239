import { constants, openSync, readSync } from "node:fs";
import { type FileHandle, open, realpath, stat } from "node:fs/promises";
import { addAbortSignal, type Readable } from "node:stream";
import { setTimeout } from "node:timers/promises";
import { PasteError } from "../errors.js";

/** Where a capture's bytes come from. `read` fills `target` from `offset` on as far as it can, and gives 0 at the end. */
export interface ByteSource {
  /** How the source is called in messages. */
  readonly name: string;
  read(target: Buffer, offset: number): Promise<number>;
  close(): Promise<void>;
}

/** Between two looks whether a named pipe has a writer. */
const writerLookMs = 20;

/**
 * Opens a file, a pipe, or standard input for "-". Throws CAPTURE, PRIVILEGE or USAGE where it cannot be read. `signal`: a pipe that has nothing to
 * give is not waited for any more, and reading it fails.
 */
export async function openByteSource(path: string, signal?: AbortSignal): Promise<ByteSource> {
  if (path === "-") {
    if (process.stdin.isTTY)
      throw new PasteError("USAGE", "standard input is a terminal: give a capture file, or pipe one in, as for `-`");
    return streamSource(process.stdin, "standard input", signal);
  }
  if ((await stat(path).catch(() => undefined))?.isFIFO()) return openPipe(path, signal);
  let handle: FileHandle;
  try {
    handle = await open(path, "r");
  } catch (cause) {
    throw readError(path, cause);
  }
  if ((await handle.stat()).isDirectory()) {
    await handle.close();
    throw new PasteError("CAPTURE", `${path}: is a folder: give a capture file`);
  }
  return {
    name: path,
    async read(target, offset) {
      try {
        return (await handle.read(target, offset, target.length - offset, null)).bytesRead;
      } catch (cause) {
        throw readError(path, cause);
      }
    },
    close: () => handle.close(),
  };
}

/**
 * A named pipe, when somebody writes it; the shell's <(...) has no name, and a writer, or had one. No thread waits in the system for that, nor for what
 * comes: the program could not be ended.
 */
async function openPipe(path: string, signal: AbortSignal | undefined): Promise<ByteSource> {
  let fd: number;
  try {
    fd = openSync(path, constants.O_RDONLY | constants.O_NONBLOCK);
  } catch (cause) {
    throw readError(path, cause);
  }
  const named = await realpath(path).then(
    () => true,
    () => false,
  );
  const head = Buffer.alloc(1 << 16);
  let length = 0;
  for (let waits = named; waits && !signal?.aborted; ) {
    try {
      length = readSync(fd, head);
      waits = length === 0; // nobody has it open, or has written and gone
    } catch (cause) {
      if ((cause as NodeJS.ErrnoException).code !== "EAGAIN") throw readError(path, cause);
      break;
    }
    if (waits) await setTimeout(writerLookMs, undefined, signal ? { signal } : {}).catch(() => {});
  }
  const net = process.getBuiltinModule("node:net"); // loaded where there is a pipe
  const socket = new net.Socket({ fd, readable: true, writable: false });
  if (length > 0) socket.unshift(head.subarray(0, length));
  return streamSource(socket, path, signal);
}

function streamSource(stream: Readable, name: string, signal: AbortSignal | undefined): ByteSource {
  if (signal) addAbortSignal(signal, stream);
  return iterableSource(stream as AsyncIterable<Uint8Array>, name);
}

/** A source over chunks of bytes in memory, from a pipe or a socket. */
export function iterableSource(chunks: AsyncIterable<Uint8Array> | Iterable<Uint8Array>, name: string): ByteSource {
  const iterator = Symbol.asyncIterator in chunks ? chunks[Symbol.asyncIterator]() : chunks[Symbol.iterator]();
  let rest: Uint8Array = new Uint8Array(0);
  return {
    name,
    async read(target, offset) {
      while (rest.length === 0) {
        const next = await nextChunk(iterator, name);
        if (next === null) return 0;
        rest = next;
      }
      const length = Math.min(rest.length, target.length - offset);
      target.set(rest.subarray(0, length), offset);
      rest = rest.subarray(length);
      return length;
    },
    async close() {
      await iterator.return?.();
    },
  };
}

async function nextChunk(iterator: AsyncIterator<Uint8Array> | Iterator<Uint8Array>, name: string) {
  try {
    const next = await iterator.next();
    return next.done ? null : next.value;
  } catch (cause) {
    throw readError(name, cause);
  }
}

function readError(name: string, cause: unknown): PasteError {
  const code = (cause as NodeJS.ErrnoException).code;
  if (code === "ENOENT") return new PasteError("CAPTURE", `${name}: no such file: check the path`, { cause });
  if (code === "EACCES" || code === "EPERM")
    return new PasteError("PRIVILEGE", `${name}: may not be read: check its permissions`, { cause });
  return new PasteError("CAPTURE", `${name}: reading failed: ${(cause as Error).message}`, { cause });
}
