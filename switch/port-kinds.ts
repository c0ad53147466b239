// Kinds of ports on devices, as far as a specification of one can be checked without opening anything. The port itself checks
// again when it is made (native/core/ports).
import { PasteError } from "../logger/errors.js";
import { commonOptions, isCommonOption, type OptionPair, optionProblem } from "./port-options.js";

interface KindOption {
  /** What may be written, for messages. */
  what: string;
  fits(value: string): boolean;
}

interface DeviceKind {
  /** How it is written, for messages and help. */
  usage: string;
  /** What stands between "KIND:" and the first comma. */
  device: RegExp;
  /** What it must look like, for messages. */
  what: string;
  options: Record<string, KindOption>;
}

const words = (...list: string[]): KindOption => ({ what: list.join(", "), fits: (value) => list.includes(value) });
const whole = (min: number, max: number): KindOption => ({
  what: `a whole number from ${min} to ${max}`,
  fits: (value) => /^\d{1,10}$/.test(value) && Number(value) >= min && Number(value) <= max,
});
const matching = (pattern: RegExp, what: string): KindOption => ({ what, fits: (value) => pattern.test(value) });

const netns = matching(/^(\/[^,]+|(?!\.{1,2}$)[^/,\s]+)$/, "a name below /run/netns, or a path");
const user = matching(/^(\d{1,10}|[A-Za-z_][A-Za-z0-9_.-]*\$?)$/, "a name or a number");
const onOff = words("on", "off");
const ringSlots = whole(2, 65_535);
const ringCount = whole(1, 4094);

/** Names of interfaces: the kernel takes 15 bytes but "/", ":" and blanks; "," and "@" would end the name here. */
const interfaceName = "(?!\\.{1,2}(?:@|$))[^\\s/:,@=%]{1,15}";

export const deviceKinds: Record<string, DeviceKind> = {
  tap: {
    usage: "tap:IF",
    device: new RegExp(`^${interfaceName}$`),
    what: "the name of a TAP device, at most 15 characters",
    options: {
      queues: whole(1, 64),
      // The longest frame of the switch (9216) less its Ethernet header and a VLAN tag.
      mtu: whole(68, 9198),
      persist: onOff,
      owner: user,
      group: user,
      netns,
      mac: matching(/^[0-9a-f][02468ace](:[0-9a-f]{2}){5}$/i, "a station's address such as 02:00:00:00:00:01"),
      address: matching(/^[0-9a-f.:]+\/\d{1,3}$/i, "an address with its prefix such as 10.0.0.1/24"),
      offload: onOff,
    },
  },
  xdp: {
    usage: "xdp:IF[@QUEUE|@all]",
    device: new RegExp(`^${interfaceName}(@(\\d{1,2}|all))?$`),
    what: "the name of an interface, and a queue if need be: eth0, eth0@1 or eth0@all",
    options: {
      mode: words("auto", "native", "generic"),
      copy: words("auto", "zero", "copy"),
      umem: words("auto", "store", "dram"),
      netns,
    },
  },
  netmap: {
    usage: "netmap:IF",
    device: /^(?=.{1,63}$)(vale\w*:)?[\w.]+([{}]\w+)?(\*|\^\d*|-\d+)?(@\d+|\/[xztrRT]+)*$/,
    what: "a port as netmap names it: eth0, eth0-1, eth0^, eth0@2/x, vale1:x",
    options: {
      extmem: words("auto", "on", "off"),
      share: matching(/^[^\s=]{1,63}$/, "a port as netmap names it, whose memory is used, too"),
      slots: ringSlots,
      "tx-slots": ringSlots,
      "rx-slots": ringSlots,
      rings: ringCount,
      "tx-rings": ringCount,
      "rx-rings": ringCount,
      "host-rings": ringCount,
      "host-tx-rings": ringCount,
      "host-rx-rings": ringCount,
    },
  },
};

/** "tap:t0,queues=2,access=5" in its parts. `text` = the whole specification, for messages. Throws USAGE. */
export function parseDevice(kind: string, rest: string, text: string): { spec: string; pairs: OptionPair[] } {
  const { device: pattern, what, options } = deviceKinds[kind]!;
  const [device = "", ...parts] = rest.split(",");
  const refuse = (problem: string) => new PasteError("USAGE", `port "${text}": ${problem}`);
  if (!pattern.test(device)) throw refuse(`"${device}" is not ${what}`);
  const pairs: OptionPair[] = [];
  const own = new Map<string, string>();
  for (const part of parts) {
    const pair = parseOption(part);
    const [name, value] = pair;
    const option = Object.hasOwn(options, name) ? options[name] : undefined;
    if (!option && !isCommonOption(name)) throw refuse(unknownOption(name, kind));
    if (own.has(name)) throw refuse(`${name} is given twice`);
    if (!option) pairs.push(pair);
    else if (option.fits(value)) own.set(name, value);
    else throw refuse(`${name}=${value}: write ${option.what}`);
    const problem = option ? undefined : optionProblem(pair);
    if (problem) throw refuse(problem);
  }
  return { spec: `${kind}:${device}${[...own].map(([name, value]) => `,${name}=${value}`).join("")}`, pairs };
}

/** "name=value"; a name by itself says "on". */
export function parseOption(part: string): OptionPair {
  const equals = part.indexOf("=");
  return equals < 0 ? [part, "on"] : [part.slice(0, equals), part.slice(equals + 1)];
}

/** `kind` = "" for a port that waits for a program. */
export function unknownOption(name: string, kind: string): string {
  const own = kind === "" ? [] : Object.keys(deviceKinds[kind]!.options);
  const whose = kind === "" ? "a port" : `a ${kind} port`;
  return `${name === "" ? "an empty option" : `unknown option ${name}`}: ${whose} takes ${[...own, ...commonOptions].join(", ")}`;
}
