// Options that every kind of port has: its VLANs, and whose traffic it gets a copy of. Typed behind a specification
// ("vale0:a,trunk=10+20-30,native=5") or configured as keys of [[port]]; both become pairs, and are checked in one place.
import { PasteError } from "../logger/errors.js";

export type MirrorDirection = "in" | "out" | "both";

export interface PortOptions {
  /** The one VLAN of an access port; 0: it is none. */
  access: number;
  /** "all", or VLANs such as "10+20-30"; empty: no trunk. */
  trunk: string;
  /** VLAN of a trunk's untagged frames; 0: they are refused. */
  native: number;
  /** Ports whose frames this one gets copies of, with their switch; empty: it is no mirror. */
  mirror: string[];
  /** in: what these ports send into the switch; out: what they get from it. */
  mirrorDirection: MirrorDirection;
}

export const noPortOptions: Readonly<PortOptions> = {
  access: 0,
  trunk: "",
  native: 0,
  mirror: [],
  mirrorDirection: "both",
};

/** An option as it was written: its name and its value. */
export type OptionPair = readonly [name: string, value: string];

export const commonOptions = ["access", "trunk", "native", "mirror", "mirror-direction"] as const;
export type CommonOption = (typeof commonOptions)[number];

/** VLAN ids that can be configured: 0 means "none", 4095 is reserved (IEEE 802.1Q, table 9-2). */
export const vlanIdMax = 4094;
/** A port, or a glob as a rule's. */
const portPattern = /^(vale[0-9A-Za-z_]{0,11}:)?[0-9A-Za-z_*?]{1,15}$/;
const directions: readonly string[] = ["in", "out", "both"];

export function isCommonOption(name: string): name is CommonOption {
  return (commonOptions as readonly string[]).includes(name);
}

/** What is wrong with one option by itself, or undefined. */
export function optionProblem([name, value]: OptionPair): string | undefined {
  switch (name) {
    case "access":
    case "native":
      return isVlanId(value) ? undefined : `${name}=${value}: write a VLAN id, 1 to ${vlanIdMax}`;
    case "trunk":
      return value === "all" || value.split("+").every(isVlanRange)
        ? undefined
        : `trunk=${value}: write all, or VLAN ids and ranges from 1 to ${vlanIdMax} such as 10+20-30`;
    case "mirror":
      return value.split("+").every((port) => portPattern.test(port))
        ? undefined
        : `mirror=${value}: write the ports to watch, such as vale0:a+vale0:b or vale0:*`;
    case "mirror-direction":
      return directions.includes(value) ? undefined : `mirror-direction=${value}: write in, out or both`;
    default:
      return `${name}: unknown option`;
  }
}

/** Options that were checked one by one, together. `port`: the name of the port they are for. Throws USAGE. */
export function buildPortOptions(port: string, pairs: readonly OptionPair[]): PortOptions {
  const refuse = (problem: string) => new PasteError("USAGE", `port "${port}": ${problem}`);
  const given = new Map<string, string>();
  for (const pair of pairs) {
    const problem = given.has(pair[0]) ? `${pair[0]} is given twice` : optionProblem(pair);
    if (problem) throw refuse(problem);
    given.set(...pair);
  }
  const trunk = given.get("trunk") ?? "";
  if (given.has("access") && trunk !== "") throw refuse("access and trunk exclude each other: leave one out");
  if (given.has("native") && trunk === "") throw refuse("native belongs to a trunk: add trunk=all, or use access");
  if (given.has("mirror-direction") && !given.has("mirror"))
    throw refuse("mirror-direction says what to copy: add mirror=PORT");
  const mirror = mirrorPorts(port, given.get("mirror") ?? "", refuse);
  if (mirror.length > 0 && (given.has("access") || trunk !== ""))
    throw refuse("a mirror has no VLANs, it gets frames as they came: leave access and trunk out");
  return {
    access: Number(given.get("access") ?? 0),
    trunk,
    native: Number(given.get("native") ?? 0),
    mirror,
    mirrorDirection: (given.get("mirror-direction") ?? "both") as MirrorDirection,
  };
}

/** The options as they are typed, each with a comma in front; nothing for what is as always. */
export function portOptionsText(options: PortOptions): string {
  const { access, trunk, native, mirror, mirrorDirection } = options;
  return [
    access === 0 ? "" : `,access=${access}`,
    trunk === "" ? "" : `,trunk=${trunk}`,
    native === 0 ? "" : `,native=${native}`,
    mirror.length === 0 ? "" : `,mirror=${mirror.join("+")}`,
    mirrorDirection === "both" ? "" : `,mirror-direction=${mirrorDirection}`,
  ].join("");
}

/** The VLANs of a checked `trunk`, ascending and each once; undefined for "all". */
export function vlanIds(trunk: string): number[] | undefined {
  if (trunk === "all") return undefined;
  const ids = new Set<number>();
  for (const range of trunk.split("+").filter(Boolean)) {
    const [first, last] = range.split("-").map(Number) as [number, number?];
    for (let id = first; id <= (last ?? first); id++) ids.add(id);
  }
  return [...ids].sort((a, b) => a - b);
}

/** A port without a switch stands in that of the mirror; one of another switch cannot be watched. */
function mirrorPorts(port: string, value: string, refuse: (problem: string) => PasteError): string[] {
  const home = port.slice(0, port.indexOf(":") + 1);
  const names = value.split("+").filter(Boolean);
  const ports = names.map((name) => (name.includes(":") ? name : home + name));
  for (const name of ports) {
    if (name === port) throw refuse("mirror: a port cannot watch itself");
    if (!name.startsWith(home)) throw refuse(`mirror: ${name} is of another switch: it cannot be watched from here`);
  }
  return [...new Set(ports)];
}

function isVlanId(text: string): boolean {
  return /^[1-9]\d{0,3}$/.test(text) && Number(text) <= vlanIdMax;
}

function isVlanRange(text: string): boolean {
  const ends = text.split("-");
  return ends.length <= 2 && ends.every(isVlanId) && Number(ends[0]) <= Number(ends.at(-1));
}
