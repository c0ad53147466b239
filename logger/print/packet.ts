// What every printer of packets takes: a frame and what is known of it besides its bytes.
import type { FrameBatch } from "../frame-batch.js";

export interface PrintablePacket {
  /** The frame from its destination address on; may be cut short (snaplen). */
  bytes: Uint8Array;
  /** Nanoseconds since 1970. */
  timeNs: bigint;
  /** Bytes on the wire. */
  wireLength: number;
  /** Which of several sources it is from. */
  source?: string;
  /** The store's number of it. */
  sequence?: bigint;
  inPort?: string;
  /** Name of the one port it went to, "*" = flooded, "" = none. */
  outPort?: string;
  /** The rule that kept it. */
  rule?: string;
  /** "forwarded", or the reason for which it was dropped. */
  outcome?: string;
}

/** A store's frames with what their records say. Names are those known now. */
export function* packetsOf(batch: FrameBatch, source = ""): Generator<PrintablePacket, void, void> {
  for (let i = 0; i < batch.count; i++) yield source === "" ? packetOf(batch, i) : { ...packetOf(batch, i), source };
}

export function packetOf(batch: FrameBatch, i: number): PrintablePacket {
  return {
    bytes: batch.bytes(i),
    timeNs: batch.timeNs(i),
    wireLength: batch.wireLength(i),
    sequence: batch.sequence(i),
    inPort: batch.ingress(i),
    outPort: batch.egress(i),
    rule: batch.rule(i),
    outcome: batch.outcome(i),
  };
}
