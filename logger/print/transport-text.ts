// UDP and SCTP as tcpdump prints them; what they carry is left to tshark.
import type { Octets } from "./octets.js";

type Put = (text: string) => void;
export interface Between {
  source: string;
  destination: string;
  fragmented: boolean;
  /** The addresses stand in the line already, before a header in between. */
  named: boolean;
}

const udpHeader = 8;

export function portsText(octets: Octets, at: number, put: Put, ends: Between): void {
  if (ends.named) {
    put(`${octets.u16(at)} > ${octets.u16(at + 2)}: `);
    return;
  }
  if (!octets.has(at, 4)) {
    put(`${ends.source} > ${ends.destination}: `);
    octets.need(at, 4);
  }
  put(`${ends.source}.${octets.u16(at)} > ${ends.destination}.${octets.u16(at + 2)}: `);
}

export function udpText(octets: Octets, at: number, length: number, put: Put, ends: Between): void {
  portsText(octets, at, put, ends);
  if (length < udpHeader) {
    put(`truncated-udp ${length}`);
    return;
  }
  let stated = octets.u16(at + 4);
  if (stated === 0 && length > 65_535) stated = length; // a jumbogram (RFC 2675)
  if (stated < udpHeader) {
    put(`truncated-udplength ${stated}`);
    return;
  }
  octets.need(at, udpHeader);
  const payload = stated - udpHeader;
  const there = Math.min(length - udpHeader, payload);
  put(payload > there && !ends.fragmented ? `UDP, bad length ${payload} > ${there}` : `UDP, length ${payload}`);
}

const chunkNames = [
  "DATA",
  "INIT",
  "INIT ACK",
  "SACK",
  "HB REQ",
  "HB ACK",
  "ABORT",
  "SHUTDOWN",
  "SHUTDOWN ACK",
  "OP ERR",
  "COOKIE ECHO",
  "COOKIE ACK",
  "ECN ECHO",
  "CWR",
  "SHUTDOWN COMPLETE",
];
const sctpHeader = 12;
const chunksMax = 64;

export function sctpText(octets: Octets, at: number, length: number, put: Put, ends: Between): void {
  portsText(octets, at, put, ends);
  put("sctp");
  if (length < sctpHeader) {
    put(` truncated-sctp ${length}`);
    return;
  }
  octets.need(at, sctpHeader);
  let chunk = at + sctpHeader;
  const end = at + length;
  for (let i = 1; chunk + 4 <= end && i <= chunksMax; i++) {
    const type = octets.u8(chunk);
    const size = octets.u16(chunk + 2);
    put(`${i === 1 ? "" : " "} (${i}) [${chunkNames[type] ?? `Unknown chunk type: 0x${type.toString(16)}`}]`);
    if (size < 4) {
      put(` [chunk length ${size}]`);
      return;
    }
    chunkDetails(octets, chunk, type, put);
    chunk += (size + 3) & ~3;
  }
}

const payloadNames = ["unspecified", "IUA", "M2UA", "M3UA", "SUA", "M2PA", "V5UA", "H.248", "BICC/Q.2150.3"];

/** IANA's payload protocol identifiers of SCTP. */
function payloadName(id: number): string {
  return (id > 0 ? payloadNames[id] : undefined) ?? `0x${id.toString(16)}`;
}

function chunkDetails(octets: Octets, at: number, type: number, put: Put): void {
  if (type === 0) {
    const flags = octets.u8(at + 1);
    if (flags & 7) put(` ${flags & 4 ? "(U)" : ""}${flags & 2 ? "(B)" : ""}${flags & 1 ? "(E)" : ""}`);
    put(
      ` [TSN: ${octets.u32(at + 4)}] [SID: ${octets.u16(at + 8)}] [SSEQ ${octets.u16(at + 10)}] [PPID ${payloadName(octets.u32(at + 12))}] `,
    );
  } else if (type === 1 || type === 2) {
    put(
      ` [init tag: ${octets.u32(at + 4)}] [rwnd: ${octets.u32(at + 8)}] [OS: ${octets.u16(at + 12)}] [MIS: ${octets.u16(at + 14)}] [init TSN: ${octets.u32(at + 16)}] `,
    );
  } else if (type === 3) {
    put(
      ` [cum ack ${octets.u32(at + 4)}] [a_rwnd ${octets.u32(at + 8)}] [#gap acks ${octets.u16(at + 12)}] [#dup tsns ${octets.u16(at + 14)}] `,
    );
  }
}
