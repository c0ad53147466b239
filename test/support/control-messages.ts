// Messages of the control protocol, and what stands in them.

/** A framed message without its length. */
export const payload = (framed: Buffer) => framed.subarray(4);

/** A length as it stands in front of a message. */
export function u32(value: number): Buffer {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32LE(value);
  return bytes;
}

const counters = {
  receivedFrames: 3,
  receivedBytes: Number.MAX_SAFE_INTEGER,
  forwardedFrames: 2,
  dropped: { runt: 1, oversize: 0 },
  intendedCopies: 4,
  deliveredCopies: 4,
  deliveredBytes: 256,
  refused: {},
  copiedFrames: 3,
  zeroCopyFrames: 0,
  inPlaceCopies: 0,
  rejectedLearning: 0,
  kicksSent: 0,
  kicksReceived: 0,
  clientFaults: 0,
};
/** As `portList` gives it. */
export const controlPort = (name: string) => ({
  name,
  kind: "vale",
  state: "up",
  detail: "native, copy mode",
  interface: "blue/eth0",
  vlan: "trunk all, native 1",
  mirror: ["vale0:x", "vale0:y"],
  mirrorDirection: "in",
  device: { dropped: 1, ringFull: 2, noBuffer: 3, invalidDescriptors: 2 ** 53 - 1 },
  id: 1,
  thread: 0,
  slots: 1024,
  frameBytesMax: 9216,
  clientPid: -1,
  clientUid: -1,
  counters,
});
