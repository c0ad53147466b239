// The filter compiler as rules use it; loaded when the first rule is looked at.
import type { CompileFilter } from "./rules.js";

export async function filterCompiler(): Promise<CompileFilter> {
  const { compileFilter } = await import("../logger/filter/compile.js");
  return (text) => compileFilter(text).bytes;
}
