// Words beside pcap-filter(7) that ask about a record, not about the frame's bytes: when, where from and to, by which rule, with
// which outcome. They become loads of words that the reader lays beside each frame (native/core/bpf/bpf.h, BpfRecordWord).

/** What there is beside a frame's bytes: nothing (a rule sees frames only), its time (captures; with it a Community ID is computed), or a store's whole record. */
export type RecordAccess = "none" | "time" | "store";

/** Numbers of the words; those from `names` on are one for each name test, then one for each test of whole frames. */
export const recordWord = {
  timeHigh: 0,
  timeLow: 1,
  hasCommunity: 2,
  community: 3,
  outcome: 8,
  flags: 9,
  names: 10,
} as const;
export const flagFlooded = 4;

/** Most different names of ports and rules in one filter. */
export const maxNames = 256;

/** One more than the last nanosecond that a record can have. */
export const timeEnd = 1n << 64n;

export const timeWords: readonly string[] = ["after", "before", "between"];
export const nameWords: readonly string[] = ["in-port", "out-port", "rule"];
export const communityWord = "community-id";
export const payloadWord = "payload";
export const anyWord = "any";
export const outcomeWords: readonly string[] = ["dropped", "forwarded", "flooded"];

/** `in-port vale0:*`: that the record's port or rule has a name that fits; `*` and `?` are wildcards. */
export interface NameTest {
  of: "in-port" | "out-port" | "rule";
  pattern: string;
  /** Where it stands first in the text. */
  at: number;
}
