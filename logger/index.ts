// What is kept and how it is read: the package's `paste-switch/logger`.
export * from "./errors.js";
export { type ExportOptions, type ExportReport, exportFrames } from "./export.js";
export { type CaptureReport, type ImportOptions, type ImportReport, importCaptures } from "./import.js";
export {
  FrameBatch,
  type FrameOptions,
  type FrameView,
  openStore,
  type PortDescription,
  type ReadCounters,
  type RuleDescription,
  type StoreInfo,
  type StoreNames,
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
