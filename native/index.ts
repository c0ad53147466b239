// The one door from TypeScript to the addon.
export * from "./engine.js";
export * from "./load.js";
export * from "./port-client.js";
export * from "./reader.js";
export * from "./store.js";
