// What is kept and how it is read: the package's `paste-switch/logger`.
export * from "./errors.js";
export { type EventOptions, type StoreEvent, storeEvents } from "./events.js";
export { type VerifyOptions, type VerifyReport, verifyManifest } from "./export/verify-manifest.js";
export { type ExportOptions, type ExportReport, exportFrames } from "./export.js";
export { FrameBatch, type FrameView, type StoreNames } from "./frame-batch.js";
export { type CaptureReport, type ImportOptions, type ImportReport, importCaptures } from "./import.js";
export { type MacEntryThen, type MacTableThen, macTablesAt } from "./mac-history.js";
export type { PrintablePacket } from "./print/packet.js";
export { type PacketJson, packetJson } from "./print/packet-json.js";
export { PacketText, type PacketTextOptions } from "./print/packet-text.js";
export { type LineFormat, type QueryOptions, type QueryReport, queryLines } from "./query.js";
export {
  countFlows,
  countFrames,
  countTop,
  type Flow,
  type TallyOptions,
  type TallyReport,
  type TopEntry,
} from "./query-tally.js";
export {
  type FrameOptions,
  openStore,
  type PortDescription,
  type ReadCounters,
  type RuleDescription,
  type StoreInfo,
  type StoreProblem,
  StoreReader,
} from "./reader.js";
export { type ReplayOptions, type ReplayReport, replayFrames } from "./replay.js";
export {
  type AppendCounters,
  type CreateStoreOptions,
  createStore,
  type RecoveryReport,
  recoverStore,
  StoreAppender,
  type StoreCounters,
  trimStore,
} from "./store.js";
export { type TailOptions, type TailReport, tailStore } from "./tail.js";
export { type FrameStory, traceFrame } from "./trace.js";
