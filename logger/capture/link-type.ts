import { PasteError } from "../errors.js";

/** Values of the LINKTYPE registry (https://www.tcpdump.org/linktypes.html). 12 and 14 are DLT_RAW on some systems. */
export const linkTypes = {
  null: 0,
  ethernet: 1,
  raw12: 12,
  raw14: 14,
  raw: 101,
  loop: 108,
  linuxSll: 113,
  ipv4: 228,
  ipv6: 229,
  linuxSll2: 276,
} as const;

const names = new Map<number, string>([
  [0, "NULL"],
  [1, "EN10MB"],
  [3, "AX25"],
  [6, "IEEE802"],
  [7, "ARCNET_BSD"],
  [8, "SLIP"],
  [9, "PPP"],
  [10, "FDDI"],
  [12, "RAW"],
  [14, "RAW"],
  [50, "PPP_SERIAL"],
  [51, "PPP_ETHER"],
  [100, "ATM_RFC1483"],
  [101, "RAW"],
  [104, "C_HDLC"],
  [105, "IEEE802_11"],
  [107, "FRELAY"],
  [108, "LOOP"],
  [113, "LINUX_SLL"],
  [117, "PFLOG"],
  [119, "IEEE802_11_PRISM"],
  [122, "IP_OVER_FC"],
  [127, "IEEE802_11_RADIO"],
  [143, "DOCSIS"],
  [147, "USER0"],
  [163, "IEEE802_11_AVS"],
  [187, "BLUETOOTH_HCI_H4"],
  [189, "USB_LINUX"],
  [192, "PPI"],
  [195, "IEEE802_15_4"],
  [201, "BLUETOOTH_HCI_H4_WITH_PHDR"],
  [220, "USB_LINUX_MMAPPED"],
  [227, "CAN_SOCKETCAN"],
  [228, "IPV4"],
  [229, "IPV6"],
  [239, "NFLOG"],
  [249, "USBPCAP"],
  [251, "BLUETOOTH_LE_LL"],
  [253, "NETLINK"],
  [254, "BLUETOOTH_LINUX_MONITOR"],
  [276, "LINUX_SLL2"],
]);

/** "LINUX_SLL (113)". */
export function linkTypeName(linkType: number): string {
  return `${names.get(linkType) ?? "unknown"} (${linkType})`;
}

const withoutEthernet = new Set<number>([0, 12, 14, 101, 108, 113, 228, 229, 276]);

/** Whether frames of this link type can be given Ethernet headers. */
export function canSynthesize(linkType: number): boolean {
  return withoutEthernet.has(linkType);
}

/** Throws CAPTURE unless frames of this link type are Ethernet, or are to be given Ethernet headers. */
export function checkLinkType(linkType: number, synthesizeEthernet: boolean, where: string): void {
  if (linkType === linkTypes.ethernet) return;
  if (!canSynthesize(linkType))
    throw new PasteError(
      "CAPTURE",
      `${where}: link type ${linkTypeName(linkType)} is not Ethernet: only captures of Ethernet, or of IP without it, can be read`,
    );
  if (!synthesizeEthernet)
    throw new PasteError(
      "CAPTURE",
      `${where}: link type ${linkTypeName(linkType)} has no Ethernet headers: give --synth-ethernet to have them made`,
    );
}
