// Where things lie in an Ethernet frame, and how `vlan`, `mpls` and `pppoes` move what follows them in the text. Tests of
// the link layer's type are here, because what a type test is depends on what it follows.
import { both, type Condition, compare, either, masked, not } from "./condition.js";
import { filterError } from "./filter-error.js";
import type { LoadSize } from "./instruction.js";
import type { Value, ValueTable } from "./values.js";
import { etherType, sap } from "./words.js";

/** Type fields up to here are lengths: an 802.2 header follows (IEEE 802.3 section 3.2.6). */
const maxLength = 1500;

/** PPP protocol numbers (RFC 1661, IANA) of the types that have one of their own; others are compared as they are. */
const pppTypes: ReadonlyMap<number, number> = new Map([
  [etherType.ip, 0x0021],
  [etherType.ip6, 0x0057],
  [etherType.decnet, 0x0027],
  [etherType.atalk, 0x0029],
  [sap.iso, 0x0023],
  [sap.stp, 0x0031],
  [sap.ipx, 0x002b],
]);
const pppMpls = 0x0281;

export class FrameLayout {
  private headerAt = 0;
  private typeAt = 12;
  private payloadAt = 14;
  private labels = 0;
  private insidePpp = false;

  constructor(private readonly values: ValueTable) {}

  /** Bytes of the link header, which `ether[0]` starts at. */
  header(at: number, size: LoadSize, index?: Value): Value {
    return this.values.bytes(size, this.headerAt + at, index);
  }

  /** Bytes of the network header. */
  network(at: number, size: LoadSize, index?: Value): Value {
    return this.values.bytes(size, this.payloadAt + this.labels * 4 + at, index);
  }

  /** Bytes behind an 802.2 header. */
  osi(at: number): Value {
    return this.values.bytes(1, this.payloadAt + 3 + this.labels * 4 + at);
  }

  /** Bytes of an 802.2 header. */
  llc(at: number, size: LoadSize): Value {
    return this.values.bytes(size, this.payloadAt + at);
  }

  /** The IPv4 header's length, for loads behind it. */
  ipHeaderLength(): Value {
    return this.values.headerLength(this.payloadAt + this.labels * 4);
  }

  get insideMpls(): boolean {
    return this.labels > 0;
  }

  /** Whether Ethernet addresses can be tested here; after `pppoes` they cannot. */
  get hasEthernetHeader(): boolean {
    return !this.insidePpp;
  }

  /** The frame carries this ether type or, below 1536, this 802.2 service access point. */
  type(type: number, at: number): Condition {
    const { values } = this;
    if (this.labels > 0) return this.typeInsideMpls(type, at);
    if (this.insidePpp) return compare(values, this.typeField(), "equal", pppTypes.get(type) ?? type);
    const isLlc = not(compare(values, this.typeField(), "greater", maxLength));
    switch (type) {
      case sap.iso:
      case sap.ip:
      case sap.netbeui:
        return both(isLlc, compare(values, this.llc(0, 2), "equal", (type << 8) | type));
      case sap.ipx:
        return either(this.typeIs(etherType.ipx), both(isLlc, this.ipxOverLlc()));
      case etherType.atalk:
        return either(this.typeIs(type), both(isLlc, this.snap(0x080007, type)));
      case etherType.aarp:
        return either(this.typeIs(type), both(isLlc, this.snap(0, type)));
      default:
        if (type > maxLength) return this.typeIs(type);
        return both(isLlc, compare(values, values.bytes(1, this.typeAt + 2), "equal", type));
    }
  }

  /** An 802.3 frame with an 802.2 header that is not Novell's raw 802.3. */
  anyLlc(): Condition {
    const isLlc = not(compare(this.values, this.typeField(), "greater", maxLength));
    return both(isLlc, not(compare(this.values, this.llc(0, 2), "equal", 0xffff)));
  }

  /** A VLAN tag (802.1Q, 802.1ad or the older 0x9100), of VLAN `id` if given; moves what follows behind the tag. */
  vlan(id: number | undefined, at: number): Condition {
    if (this.labels > 0) throw filterError(at, '"vlan" after "mpls"', "tags inside MPLS cannot be found");
    if (this.insidePpp) throw filterError(at, '"vlan" after "pppoes"', "PPP frames have no tags");
    const tags = either(this.typeIs(etherType.vlan), this.typeIs(etherType.providerVlan));
    let tagged = either(tags, this.typeIs(etherType.oldQinQ));
    if (id !== undefined) tagged = both(tagged, masked(this.values, this.network(0, 2), 0xfff, id));
    this.payloadAt += 4;
    this.typeAt += 4;
    return tagged;
  }

  /** An MPLS label (RFC 3032); moves the network header behind it. */
  mpls(id: number | undefined, at: number): Condition {
    let labelled: Condition;
    if (this.labels > 0) labelled = masked(this.values, this.network(-2, 1), 0x01, 0);
    else
      labelled = this.insidePpp
        ? compare(this.values, this.typeField(), "equal", pppMpls)
        : this.type(etherType.mpls, at);
    if (id !== undefined)
      labelled = both(labelled, masked(this.values, this.network(0, 4), 0xfffff000, (id << 12) >>> 0));
    this.labels++;
    return labelled;
  }

  /** A PPPoE session frame (RFC 2516); moves what follows to the PPP frame inside. */
  pppoes(id: number | undefined, at: number): Condition {
    let session = this.type(etherType.pppoes, at);
    if (id !== undefined) session = both(session, masked(this.values, this.network(0, 4), 0xffff, id));
    this.headerAt = this.payloadAt + this.labels * 4 + 6;
    this.typeAt = this.headerAt;
    this.payloadAt = this.headerAt + 2;
    this.insidePpp = true;
    return session;
  }

  private typeField(): Value {
    return this.values.bytes(2, this.typeAt);
  }

  private typeIs(type: number): Condition {
    return compare(this.values, this.typeField(), "equal", type);
  }

  /** Behind the last label only the IP version can tell what follows. */
  private typeInsideMpls(type: number, at: number): Condition {
    if (type !== etherType.ip && type !== etherType.ip6)
      throw filterError(at, 'this protocol cannot be tested after "mpls"', "only IPv4 and IPv6 can");
    const bottom = masked(this.values, this.network(-2, 1), 0x01, 0x01);
    return both(bottom, masked(this.values, this.network(0, 1), 0xf0, type === etherType.ip ? 0x40 : 0x60));
  }

  private ipxOverLlc(): Condition {
    const bySap = compare(this.values, this.llc(0, 1), "equal", sap.ipx);
    const raw = compare(this.values, this.llc(0, 2), "equal", 0xffff);
    return either(this.snap(0, etherType.ipx), either(bySap, raw));
  }

  /** A SNAP header (IEEE 802) with this organisation and type; its last four bytes are looked at first. */
  private snap(organisation: number, type: number): Condition {
    const last = compare(this.values, this.llc(4, 4), "equal", (((organisation & 0xffff) << 16) | type) >>> 0);
    const first = compare(this.values, this.llc(0, 4), "equal", (0xaaaa0300 | (organisation >> 16)) >>> 0);
    return both(last, first);
  }
}
