// The on-media layout as TypeScript knows it, and the check that the addon was compiled with the same. native/core/store/layout.h is
// the definition; logger/FORMAT.md explains it.
import { PasteError } from "./errors.js";

/** Offsets of every field in bytes, sizes of every structure. Names are those of layout.h. */
export const structs = {
  Superblock: {
    size: 4096,
    fields: {
      magic: 0,
      version: 8,
      checksum_id: 12,
      uuid: 16,
      turn: 32,
      region_bytes: 40,
      blocks_offset: 48,
      block_bytes: 56,
      block_count: 60,
      lane_count: 64,
      segment_blocks: 68,
      created_ns: 72,
      epoch: 80,
      clean: 84,
      next_sequence: 88,
      next_serial: 96,
      next_id: 104,
      trimmed_before: 112,
      reserved: 120,
      crc: 4092,
    },
  },
  LiveLane: {
    size: 64,
    fields: { tail: 0, serial: 8, watermark: 16, durable_sequence: 24, reserved: 32 },
  },
  LivePage: {
    size: 1088,
    fields: {
      next_sequence: 0,
      writer_epoch: 8,
      oldest_sequence: 16,
      heartbeat_ns: 24,
      writer_pid: 32,
      reserved: 40,
      lanes: 64,
    },
  },
  DirectoryEntry: {
    size: 128,
    fields: {
      word: 0,
      held_until: 8,
      epoch: 16,
      lane: 20,
      reserved0: 22,
      opened_ns: 24,
      reserved1: 32,
      first_sequence: 64,
      last_sequence: 72,
      time_min_ns: 80,
      time_max_ns: 88,
      frame_bytes: 96,
      end_bytes: 104,
      record_count: 108,
      frame_count: 112,
      seal_flags: 116,
      reserved2: 120,
      seal_crc: 124,
    },
  },
  BlockHeader: {
    size: 64,
    fields: { magic: 0, version: 4, lane: 6, serial: 8, epoch: 16, block_index: 20, uuid: 24, reserved: 40, crc: 60 },
  },
  RecordHeader: {
    size: 64,
    fields: {
      lines: 0,
      type: 2,
      flags: 3,
      payload_crc: 4,
      sequence: 8,
      time_ns: 16,
      header_crc: 24,
      ingress: 28,
      egress: 32,
      rule: 36,
      wire_length: 40,
      payload_length: 44,
      flow_hash: 48,
      vlan_tci: 52,
      copies_reserved: 54,
      copies_refused: 56,
      outcome: 58,
      reserved: 59,
      part: 60,
      parts: 62,
    },
  },
  PlacePayload: {
    size: 64,
    fields: { offset: 0, block_word: 8, length: 16, place_crc: 20, reserved: 24 },
  },
  PortPayload: {
    size: 12,
    fields: { id: 0, epoch: 4, kind: 8, event: 9, present: 10 },
  },
  RulePayload: {
    size: 12,
    fields: { id: 0, rule_set: 4, name_length: 8, filter_length: 10 },
  },
  RuleSetPayload: {
    size: 8,
    fields: { version: 0, rule_count: 4 },
  },
  MacPayload: {
    size: 16,
    fields: { mac: 0, fid: 6, port: 8, event: 12, reserved: 13 },
  },
  ClockStepPayload: {
    size: 16,
    fields: { from_ns: 0, to_ns: 8 },
  },
  LostPayload: {
    size: 24,
    fields: { count: 0, until_sequence: 8, reason: 16, reserved: 17 },
  },
  BootPayload: {
    size: 16,
    fields: { epoch: 0, medium: 4, previous_last_sequence: 8 },
  },
} as const;

export const constants = {
  kMagic: 0x3157534554534150n,
  kVersion: 1n,
  kLine: 64n,
  kSuperblockBytes: 4096n,
  kLiveOffset: 8192n,
  kLiveBytes: 8192n,
  kDirectoryOffset: 16384n,
  kLanesMax: 16n,
  kBlockBytesMin: 65536n,
  kBlockBytesMax: 4194304n,
  kBlocksMin: 8n,
  kStoreBytesMin: 16777216n,
  kBufferBytes: 2048n,
  kFrameBytesMax: 262144n,
  kPartBytes: 16384n,
  kBlockMagic: 0x4b4c4250n,
} as const;

/** Kinds of blocks, in a directory word's lowest two bits. */
export const blockKinds = { kFree: 0, kLog: 1, kBuffers: 2, kIndex: 3 } as const;

export const recordTypes = {
  kFrame: 1,
  kContinuation: 2,
  kPort: 3,
  kRule: 4,
  kRuleSet: 5,
  kMac: 6,
  kClockStep: 7,
  kLost: 8,
  kBoot: 9,
} as const;

export const recordFlags = { kPlaced: 1, kStrict: 2, kFlooded: 4, kVlanTagged: 8, kRepeated: 16 } as const;

export const portKinds = {
  kValePort: 1,
  kPcapPort: 2,
  kNetmapPort: 3,
  kXdpPort: 4,
  kTapPort: 5,
  kImportPort: 6,
} as const;

/** What the addon says its layout is. */
export interface NativeLayout {
  constants: Record<string, bigint>;
  structs: Record<string, { size: number; fields: Record<string, [offset: number, size: number]> }>;
}

/** Every difference between this file and the addon's layout, in words; empty when they agree. */
export function layoutDifferences(native: NativeLayout): string[] {
  const differences: string[] = [];
  const compare = (what: string, here: bigint | number, there: bigint | number | undefined) => {
    if (there === undefined || BigInt(here) !== BigInt(there))
      differences.push(`${what} is ${here} here and ${there} in the addon`);
  };
  for (const group of [constants, blockKinds, recordTypes, recordFlags, portKinds])
    for (const [name, value] of Object.entries(group)) compare(name, value, native.constants[name]);
  for (const [name, struct] of Object.entries(structs)) {
    const there = native.structs[name];
    compare(`the size of ${name}`, struct.size, there?.size);
    for (const [field, offset] of Object.entries(struct.fields))
      compare(`${name}.${field}`, offset, there?.fields[field]?.[0]);
    for (const field of Object.keys(there?.fields ?? {}))
      if (!(field in struct.fields)) differences.push(`${name}.${field} is unknown here`);
  }
  return differences;
}

/** Throws INTERNAL when the addon was compiled with another layout than this file describes. */
export function checkLayout(native: NativeLayout): void {
  const differences = layoutDifferences(native);
  if (differences.length > 0)
    throw new PasteError(
      "INTERNAL",
      `the addon and this package disagree about the store's layout (${differences[0]}): run \`npm run build\``,
    );
}
