// What every printer of packets takes: a frame and what is known of it besides its bytes.

export interface PrintablePacket {
  /** The frame from its destination address on; may be cut short (snaplen). */
  bytes: Uint8Array;
  /** Nanoseconds since 1970. */
  timeNs: bigint;
  /** Bytes on the wire. */
  wireLength: number;
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
