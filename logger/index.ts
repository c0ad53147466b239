// What is kept and how it is read: the package's `paste-switch/logger`.
export * from "./errors.js";
export { type ExportOptions, type ExportReport, exportFrames } from "./export.js";
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
