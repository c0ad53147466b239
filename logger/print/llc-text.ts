// 802.2: spanning tree, SNAP, and the rest by its service access points.
import type { Line } from "./ip-text.js";
import { etherPayload, etherType } from "./link-text.js";
import { hexByte, type Octets } from "./octets.js";
import { plainText } from "./plain-text.js";

const llcHeader = 3;
const snapHeader = 8;
const sapNames = new Map<number, string>([
  [0x00, "Null"],
  [0x02, "802.1B I"],
  [0x03, "802.1B G"],
  [0x06, "IP"],
  [0x42, "STP"],
  [0x8e, "ProWay NM"],
  [0xaa, "SNAP"],
  [0xe0, "IPX"],
  [0xf0, "NetBeui"],
  [0xfe, "OSI"],
  [0xff, "Global"],
]);

/** Bytes of the headers that were told; below 0: what follows is not known here. */
export function llcLine(
  line: Line,
  octets: Octets,
  at: number,
  length: number,
  source: string,
  destination: string,
): number {
  line.layer = "llc";
  octets.need(at, llcHeader);
  const [dsap, ssap] = [octets.u8(at), octets.u8(at + 1)];
  const unnumbered = (octets.u8(at + 2) & 3) === 3;
  const control = unnumbered ? octets.u8(at + 2) : (octets.u8(at + 3) << 8) | octets.u8(at + 2);
  if (line.linkHeader) line.text += `${sapsText(dsap, ssap, unnumbered, control)}: `;
  if (dsap === 0xaa && ssap === 0xaa && control === 3)
    return snap(line, octets, at, length, `${source} > ${destination}`);
  if (dsap === 0x42 && ssap === 0x42 && control === 3) {
    stp(line, octets, at + llcHeader, length - llcHeader);
    return llcHeader;
  }
  if (!line.linkHeader) line.text += `${betweenText(dsap, ssap, source, destination)} `;
  line.text += kindText(control, unnumbered, ssap, length);
  if (unnumbered) return -llcHeader;
  return isSupervisory(control) ? llcHeader + 1 : -(llcHeader + 1); // nothing follows a supervisory frame's header
}

function sapsText(dsap: number, ssap: number, unnumbered: boolean, control: number): string {
  const name = (sap: number) => `${sapNames.get(sap & 0xfe) ?? "Unknown"} (0x${hexByte[sap & 0xfe]})`;
  return (
    `LLC, dsap ${name(dsap)} ${dsap & 1 ? "Group" : "Individual"}, ssap ${name(ssap)} ${ssap & 1 ? "Response" : "Command"}, ` +
    `ctrl 0x${control.toString(16).padStart(unnumbered ? 2 : 4, "0")}`
  );
}

/** Without -e: both addresses, and what listens there. */
function betweenText(dsap: number, ssap: number, source: string, destination: string): string {
  const name = (sap: number, which: string) => sapNames.get(sap & 0xfe) ?? `Unknown ${which} 0x${hexByte[sap & 0xfe]}`;
  if ((dsap & 0xfe) === (ssap & 0xfe)) return `${source} > ${destination} ${name(dsap, "DSAP")}`;
  return `${source} ${name(ssap, "SSAP")} > ${destination} ${name(dsap, "DSAP")}`;
}

/** Unnumbered commands and responses, without their poll bit. */
const commands = new Map<number, string>([
  [0x03, "ui"],
  [0x0f, "dm"],
  [0x43, "disc"],
  [0x63, "ua"],
  [0x6f, "sabme"],
  [0x87, "frmr"],
  [0xaf, "xid"],
  [0xe3, "test"],
]);
const supervisory = ["Receiver Ready", "Receiver not Ready", "Reject", "Unknown"];

function isSupervisory(control: number): boolean {
  return (control & 3) === 1;
}

function kindText(control: number, unnumbered: boolean, ssap: number, length: number): string {
  const poll = control & (unnumbered ? 0x10 : 0x100);
  const flags = `Flags [${ssap & 1 ? (poll ? "Final" : "Response") : poll ? "Poll" : "Command"}], length ${length}`;
  if (unnumbered) return `Unnumbered, ${commands.get(control & 0xef) ?? `${hexByte[control & 0xef]}`}, ${flags}`;
  if (isSupervisory(control))
    return `Supervisory, ${supervisory[(control >> 2) & 3]}, rcv seq ${control >> 9}, ${flags}`;
  return `Information, send seq ${(control >> 1) & 0x7f}, rcv seq ${control >> 9}, ${flags}`;
}

const organisations = new Map<number, string>([
  [0x000000, "Ethernet"],
  [0x0000f8, "Cisco bridged"],
  [0x00000c, "Cisco"],
]);
const ciscoTypes = new Map<number, string>([
  [0x010b, "PVST"],
  [0x2000, "CDP"],
  [0x2004, "DTP"],
]);

function snap(line: Line, octets: Octets, at: number, length: number, ends: string): number {
  const organisation = octets.u24(at + 3);
  const type = octets.u16(at + 6);
  const inner = at + snapHeader;
  const left = length - snapHeader;
  const name = `oui ${organisations.get(organisation) ?? "Unknown"} (0x${octets.hex(at + 3, 3)})`;
  const cisco = organisation === 0x00000c;
  const what =
    organisation === 0
      ? etherType(type)
      : `pid ${(cisco && ciscoTypes.get(type)) || "Unknown"} (0x${octets.hex(at + 6, 2)})`;
  if (line.linkHeader) line.text += `${name}, ${what}, length ${left}: `;
  if (cisco && type === 0x2000) {
    cdp(line, octets, inner, left);
    return snapHeader;
  }
  if (cisco && type === 0x010b) {
    stp(line, octets, inner, left);
    return snapHeader;
  }
  const known = organisation === 0 || organisation === 0x0000f8;
  if (known && type > 1500 && etherPayload(line, octets, inner, left, type)) return snapHeader;
  if (!line.linkHeader) line.text += `${ends} SNAP, ${name}, ${what}, length ${left}: `;
  return -snapHeader;
}

const stpFlags = ["Topology change", "Proposal", "", "", "Learn", "Forward", "Agreement", "Topology change ACK"];
const stpTypes = new Map<number, string>([
  [0x00, "Config"],
  [0x02, "Rapid STP"],
  [0x80, "Topology Change"],
]);
const stpVersions = ["802.1d", "", "802.1w", "802.1s", "802.1aq"];

function stp(line: Line, octets: Octets, at: number, length: number): void {
  line.layer = "stp";
  if (length < 4) {
    line.text += " (invalid)";
    return;
  }
  octets.need(at, 4);
  const version = octets.u8(at + 2);
  const type = octets.u8(at + 3);
  line.text += `STP ${stpVersions[version] || `Unknown STP protocol (0x${version.toString(16).padStart(2, "0")})`}`;
  if (type === 0x80) {
    line.text += ", Topology Change";
    return;
  }
  line.text += `, ${stpTypes.get(type) ?? `Unknown STP type (0x${type.toString(16).padStart(2, "0")})`}`;
  const flags = octets.u8(at + 4);
  const names = stpFlags.filter((name, bit) => name !== "" && flags & (1 << bit));
  const common = version >= 3 && type === 0x02;
  line.text += `, ${common ? "CIST " : ""}Flags [${names.join(", ") || "none"}]`;
  if (common) {
    line.text += `, length ${length}`;
    return;
  }
  line.text += `, bridge-id ${octets.hex(at + 17, 2)}.${octets.mac(at + 19)}.${octets.hex(at + 25, 2)}, length ${length}`;
}

const cdpTlvsMax = 64;

function cdp(line: Line, octets: Octets, at: number, length: number): void {
  line.layer = "cdp";
  octets.need(at, 4);
  line.text += `CDPv${octets.u8(at)}, ttl: ${octets.u8(at + 1)}s`;
  let tlv = at + 4;
  for (let i = 0; i < cdpTlvsMax && tlv + 4 <= at + length; i++) {
    const [type, size] = [octets.u16(tlv), octets.u16(tlv + 2)];
    if (size < 4) break;
    if (type === 1) line.text += `, Device-ID '${cdpName(octets, tlv + 4, size - 4)}'`;
    tlv += size;
  }
}

function cdpName(octets: Octets, at: number, size: number): string {
  octets.need(at, size);
  return plainText(octets.bytes.subarray(at, at + size));
}
