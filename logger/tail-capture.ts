// The beginning of a capture that is read along while it is written.
import { native } from "../native/engine.js";
import type { CaptureEncoder } from "../native/export.js";

const ethernet = 1;

/**
 * pcapng's section and the interfaces of these names, before the first frame: who waits at a pipe's other end (Wireshark) knows then what it
 * is, and can stop. Before the encoder has sources.
 */
export function captureHead(encoder: CaptureEncoder, interfaces: readonly string[], snaplen: number): Uint8Array {
  const none = new Uint32Array(0);
  const empty = { data: Buffer.alloc(0), count: 0, offsets: none, capturedLengths: none, wireLengths: none };
  const batch = { ...empty, timesNs: new BigInt64Array(0), interfaces: new Uint16Array(0) };
  return native(() => {
    for (const name of interfaces) encoder.describe(name, ethernet, snaplen);
    return encoder.append(batch, none, null, 0).bytes;
  });
}
