const wordSize = 2 ** 32;
const nsPerSecond = 1_000_000_000;
const int64Max = 2n ** 63n - 1n;
const int64Min = -(2n ** 63n);

/** How an interface of a pcapng file counts time: units of 10^-exponent or 2^-exponent seconds, from an offset. */
export interface TimeScale {
  /** From units to nanoseconds when that is exact in doubles and there is no offset; 0 asks for the general way. */
  readonly factor: number;
  readonly base: 2n | 10n;
  readonly exponent: bigint;
  readonly offsetSeconds: bigint;
}

/** The scale that if_tsresol (one byte) and if_tsoffset (seconds) of a pcapng interface mean. */
export function timeScale(resolution: number, offsetSeconds: bigint): TimeScale {
  const exponent = resolution & 0x7f;
  const binary = (resolution & 0x80) !== 0;
  // 3 to 9: the low word times the factor stays below 2^53. Coarser and finer ones are rare.
  const simple = !binary && offsetSeconds === 0n && exponent >= 3 && exponent <= 9;
  return {
    factor: simple ? 10 ** (9 - exponent) : 0,
    base: binary ? 2n : 10n,
    exponent: BigInt(exponent),
    offsetSeconds,
  };
}

/** A time in nanoseconds as two 32-bit words of a signed 64-bit number, for loops in which a BigInt would cost too much. */
export class TimeWords {
  high = 0;
  low = 0;
  /** Whether the last time set was beyond what 64 bits hold (years 1677 to 2262), and stands at the end of that range. */
  saturated = false;

  /** Sets a time of classic pcap: unsigned 32-bit seconds, and a fraction that may wrongly exceed a second. */
  setSeconds(seconds: number, nanoseconds: number): void {
    const whole = seconds + Math.floor(nanoseconds / nsPerSecond);
    const product = Math.imul(whole, nsPerSecond) >>> 0;
    // The double product is off by less than 2^10, which rounding to a multiple of 2^32 takes away.
    this.high = Math.round((whole * nsPerSecond - product) / wordSize);
    this.low = product + (nanoseconds % nsPerSecond);
    if (this.low >= wordSize) {
      this.low -= wordSize;
      this.high++;
    }
    this.saturated = false;
  }

  /** Sets a time of pcapng: 64-bit units in two words. Fractions of a nanosecond are cut off. */
  setUnits(high: number, low: number, scale: TimeScale): void {
    if (scale.factor === 0) {
      this.#setGeneral(high, low, scale);
      return;
    }
    const product = low * scale.factor;
    this.low = product % wordSize;
    this.high = high * scale.factor + Math.floor(product / wordSize);
    this.saturated = this.high >= 0x80000000;
    if (!this.saturated) return;
    this.high = 0x7fffffff;
    this.low = 0xffffffff;
  }

  #setGeneral(high: number, low: number, scale: TimeScale): void {
    const units = (BigInt(high) << 32n) | BigInt(low);
    const time = (units * 1_000_000_000n) / scale.base ** scale.exponent + scale.offsetSeconds * 1_000_000_000n;
    const held = time > int64Max ? int64Max : time < int64Min ? int64Min : time;
    this.saturated = held !== time;
    const bits = BigInt.asUintN(64, held);
    this.high = Number(bits >> 32n);
    this.low = Number(bits & 0xffffffffn);
  }
}
