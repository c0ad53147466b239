// How packages that are not ES modules by themselves are loaded. An `import` of CommonJS makes Node find its exports with a
// lexer in WebAssembly that has to be compiled first: 30 ms of CPU time on all threads from starting a daemon to "ready"
// (median of 20 starts, Node 20), where require() takes 4.
import { createRequire } from "node:module";
import type protobuf from "protobufjs";

/** require() as from a file of this package; the caller names the type: `typeof import("...")`. */
export const requirePackage: NodeJS.Require = createRequire(import.meta.url);

/**
 * One file instead of 44: 9 ms of CPU time instead of 28 in every command that asks a daemon. It does not find long by itself,
 * without which 64-bit integers would be cut.
 */
export function loadProtobuf(): typeof protobuf {
  const library = requirePackage("protobufjs/dist/protobuf.js") as typeof protobuf;
  library.util.Long = requirePackage("long") as typeof library.util.Long;
  library.configure();
  return library;
}
