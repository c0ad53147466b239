import { type FileHandle, open } from "node:fs/promises";
import { PasteError } from "../errors.js";

/** Where a capture's bytes come from. `read` fills `target` from `offset` on as far as it can, and gives 0 at the end. */
export interface ByteSource {
  /** How the source is called in messages. */
  readonly name: string;
  read(target: Buffer, offset: number): Promise<number>;
  close(): Promise<void>;
}

/** Opens a file, or standard input for "-". Throws CAPTURE, PRIVILEGE or USAGE where it cannot be read. */
export async function openByteSource(path: string): Promise<ByteSource> {
  if (path === "-") {
    if (process.stdin.isTTY)
      throw new PasteError("USAGE", "standard input is a terminal: give a capture file, or pipe one in, as for `-`");
    return iterableSource(process.stdin as AsyncIterable<Uint8Array>, "standard input");
  }
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
