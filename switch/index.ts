// The package's face to a user's own program: a switch in this process, and the client of one that runs elsewhere.
export { type ErrorCode, errorCodes, PasteError } from "../logger/errors.js";
export type { EngineStats, MacInfo, PortCounters, PortInfo } from "../native/engine.js";
export type { RecoveryReport, StoreCounters } from "../native/store.js";
export { type DaemonConfig, loadConfig, parseConfig } from "./config.js";
export { ControlClient } from "./control-client.js";
export type { DaemonStats, MediumInfo } from "./control-protocol.js";
export { type Instance, locateInstance } from "./instance.js";
export { type PortSpec, parsePortSpec } from "./port-spec.js";
export type { RuleState, RuleText } from "./rules.js";
export { createSwitch, Switch, type SwitchOptions } from "./switch.js";
export { type TapOptions, type TapReport, tailPort } from "./tap.js";
