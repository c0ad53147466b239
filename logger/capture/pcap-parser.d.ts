/** The parts of pcap-parser 0.2.1 that pcap-records.ts uses. */
declare module "pcap-parser" {
  import type { EventEmitter } from "node:events";

  interface Packet {
    readonly header: {
      readonly timestampSeconds: number;
      readonly timestampMicroseconds: number;
      readonly capturedLength: number;
      readonly originalLength: number;
    };
    readonly data: Buffer;
  }

  interface Parser {
    /** Bytes that wait for more; null before the first chunk. */
    buffer: Buffer | null;
    on(event: "packet", listener: (packet: Packet) => void): this;
    on(event: "error", listener: (error: Error) => void): this;
  }

  const pcapParser: { parse(input: EventEmitter): Parser };
  export default pcapParser;
}
