// The one door from TypeScript to the addon.
export * from "./bench.js";
export * from "./engine.js";
export * from "./export.js";
export * from "./load.js";
export * from "./port-client.js";
export * from "./reader.js";
export * from "./replay.js";
export * from "./store.js";
export * from "./tree.js";
