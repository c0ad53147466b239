// 802.2: spanning tree, SNAP, and the rest by its service access points.
import type { Line } from "./ip-text.js";
import { etherPayload } from "./link-text.js";
import type { Octets } from "./octets.js";
import { plainText } from "./plain-text.js";

const llcHeader = 3;
const snapHeader = 8;
const sapNames = new Map<number, string>([
  [0x00, "Null"],
  [0x02, "802.1B I"],
  [0x03, "802.1B G"],
  [0x06, "IP"],
  [0x42, "STP"],
  [0x8e, "PROWAY-LAN-SUPPORT"],
  [0xaa, "SNAP"],
  [0xe0, "NetWare"],
  [0xf0, "NetBIOS"],
  [0xfe, "ISO"],
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
  const put = (text: string) => {
    line.text += text;
  };
  octets.need(at, llcHeader);
  const [dsap, ssap] = [octets.u8(at), octets.u8(at + 1)];
  const controlByte = octets.u8(at + 2);
  const unnumbered = (controlByte & 3) === 3;
  if (dsap === 0xaa && ssap === 0xaa && controlByte === 3) return snap(line, octets, at, length);
  if (dsap === 0x42 && ssap === 0x42 && controlByte === 3) {
    stp(line, octets, at + llcHeader, length - llcHeader);
    return llcHeader;
  }
  if (!line.linkHeader) put(`${source} > ${destination}, 802.3, length ${length}: `);
  put(
    `LLC, dsap ${sapText(dsap)}, ssap ${sapText(ssap)}, ctrl 0x${unnumbered ? octets.hex(at + 2, 1) : octets.hex(at + 2, 2)}`,
  );
  return -llcHeader;
}

function sapText(sap: number): string {
  const name = sapNames.get(sap & 0xfe) ?? "Unknown";
  return `${name} (0x${(sap & 0xfe).toString(16).padStart(2, "0")}) ${sap & 1 ? "Response" : "Individual"}`;
}

function snap(line: Line, octets: Octets, at: number, length: number): number {
  const organisation = octets.u24(at + 3);
  const type = octets.u16(at + 6);
  const inner = at + snapHeader;
  const left = length - snapHeader;
  if (organisation === 0x00000c && type === 0x2000) {
    cdp(line, octets, inner, left);
    return snapHeader;
  }
  if (organisation === 0x00000c && type === 0x010b) {
    stp(line, octets, inner, left);
    return snapHeader;
  }
  if ((organisation === 0 || organisation === 0x0000f8) && type > 1500 && etherPayload(line, octets, inner, left, type))
    return snapHeader;
  line.text += `SNAP, oui 0x${octets.hex(at + 3, 3)}, pid 0x${octets.hex(at + 6, 2)}, length ${left}`;
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
    line.text += `truncated-stp ${length}`;
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
  line.text += `, Flags [${names.join(", ") || "none"}]`;
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
  line.text += `, length ${length}`;
}

function cdpName(octets: Octets, at: number, size: number): string {
  octets.need(at, size);
  return plainText(octets.bytes.subarray(at, at + size));
}
