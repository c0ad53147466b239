// What engines are made of unless a bench or a test asks for something else.
import { compileFilter } from "../../logger/filter/compile.js";
import type { EngineOptions, RuleSpec } from "../../native/engine.js";

export const engineDefaults: EngineOptions = {
  threads: 1,
  wait: "adaptive",
  durability: "strict",
  persist: "auto",
  markBytesMin: 0,
  macEntries: 1024,
  macEntriesPerPort: 1024,
  macAgeMs: 300_000,
  portsSocket: "",
  socketMode: 0o600,
  socketGid: -1,
};

/** A rule as the engine takes it, called like its filter; `filter` in the language of pcap-filter(7). */
export function rule(filter: string, more: Partial<RuleSpec> = {}): RuleSpec {
  const program = compileFilter(filter).bytes;
  return {
    name: filter,
    filter,
    program,
    inPorts: [],
    outPorts: [],
    snaplen: 262_144,
    sample: 1,
    skip: false,
    ...more,
  };
}
