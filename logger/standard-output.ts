// Standard output where it is a file. Node's own stream for one takes a write that the system cut short (the disk became full, the file reached its
// limit) for a whole one: the rest would be missing, and nobody told.
import { fstatSync, writeSync } from "node:fs";

/** process.stdout, of which every write is whole or an error. */
export function standardOutput(): NodeJS.WriteStream {
  const stream = process.stdout;
  // A worker's is none that has a descriptor.
  if ((stream as { fd?: number }).fd === 1 && fstatSync(1).isFile()) stream._write = writeWhole;
  return stream;
}

function writeWhole(bytes: Uint8Array, _: BufferEncoding, done: (error?: Error) => void): void {
  try {
    for (let at = 0; at < bytes.length; ) at += writeSync(1, bytes, at);
  } catch (error) {
    done(error as Error);
    return;
  }
  done();
}
