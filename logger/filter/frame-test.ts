// Words that ask about a whole frame, beyond what BPF can reach: `any ...` about every layer, in tunnels too, and later fragments
// under their datagram's ports; `payload ...` about what follows the headers. The C++ side answers them (native/core/frame/frame_tests.h).
import type { Direction } from "./direction.js";
import type { CompiledRegex } from "./regex.js";

/** Most different ones in one filter; kFrameTestsMax. */
export const maxFrameTests = 256;

/** Addresses in `address` & `mask`, four bytes or sixteen both. */
interface HostTest {
  of: "host";
  address: Uint8Array;
  mask: Uint8Array;
}

/** Ports from `first` to `last`, of this transport only if one is given. */
interface PortTest {
  of: "port";
  first: number;
  last: number;
  protocol?: number;
}

/** `text` is how it would be written; equal texts are equal tests. */
export type FrameTest = { text: string; direction?: Direction } & (
  | HostTest
  | PortTest
  | { of: "protocol"; number: number }
  | { of: "bytes"; bytes: Uint8Array }
  | ({ of: "regex" } & CompiledRegex)
);
