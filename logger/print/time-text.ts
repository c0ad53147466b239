// Times of packets as tcpdump's -t options print them; local time, or UTC.

/**
 * "clock": 14:30:01.000001; "none": nothing (-t); "seconds": since 1970 (-tt); "since-previous" (-ttt); "date": with the day (-tttt);
 * "since-first" (-ttttt).
 */
export type TimeStyle = "clock" | "none" | "seconds" | "since-previous" | "date" | "since-first";

export interface TimeTextOptions {
  style?: TimeStyle;
  utc?: boolean;
  /** Nine digits instead of six. */
  nanoseconds?: boolean;
}

const second = 1_000_000_000n;
const pad = (value: number | bigint, digits: number) => String(value).padStart(digits, "0");

/** Remembers the first and the previous packet's time, and the text of the second that was shown last. */
export class TimeText {
  readonly #style: TimeStyle;
  readonly #utc: boolean;
  readonly #nanoseconds: boolean;
  #first: bigint | undefined;
  #previous: bigint | undefined;
  #shownSecond = -1n;
  #shownText = "";

  constructor(options: TimeTextOptions = {}) {
    this.#style = options.style ?? "clock";
    this.#utc = options.utc ?? false;
    this.#nanoseconds = options.nanoseconds ?? false;
  }

  /** With a blank behind it; "" for "none". */
  text(ns: bigint): string {
    switch (this.#style) {
      case "none":
        return "";
      case "seconds":
        return `${this.#seconds(ns)} `;
      case "since-previous": {
        const base = this.#previous ?? ns;
        this.#previous = ns;
        return `${this.#delta(ns - base)} `;
      }
      case "since-first":
        this.#first ??= ns;
        return `${this.#delta(ns - this.#first)} `;
      default:
        return `${this.#wallClock(ns)} `;
    }
  }

  #fraction(ns: bigint): string {
    const rest = ns % second;
    return this.#nanoseconds ? pad(rest, 9) : pad(rest / 1000n, 6);
  }
  #seconds(ns: bigint): string {
    return `${ns / second}.${this.#fraction(ns)}`;
  }
  /** Times may run backwards; then it begins with a minus. */
  #delta(ns: bigint): string {
    const length = ns < 0n ? -ns : ns;
    const whole = length / second;
    const clock = `${pad(whole / 3600n, 2)}:${pad((whole / 60n) % 60n, 2)}:${pad(whole % 60n, 2)}`;
    return `${ns < 0n ? "-" : " "}${clock}.${this.#fraction(length)}`;
  }
  #wallClock(ns: bigint): string {
    const whole = ns / second;
    if (whole !== this.#shownSecond) {
      this.#shownSecond = whole;
      this.#shownText = this.#secondText(new Date(Number(whole) * 1000));
    }
    return `${this.#shownText}.${this.#fraction(ns)}`;
  }
  #secondText(date: Date): string {
    const utc = this.#utc;
    const clock = utc
      ? `${pad(date.getUTCHours(), 2)}:${pad(date.getUTCMinutes(), 2)}:${pad(date.getUTCSeconds(), 2)}`
      : `${pad(date.getHours(), 2)}:${pad(date.getMinutes(), 2)}:${pad(date.getSeconds(), 2)}`;
    if (this.#style !== "date") return clock;
    const day = utc
      ? `${date.getUTCFullYear()}-${pad(date.getUTCMonth() + 1, 2)}-${pad(date.getUTCDate(), 2)}`
      : `${date.getFullYear()}-${pad(date.getMonth() + 1, 2)}-${pad(date.getDate(), 2)}`;
    return `${day} ${clock}`;
  }
}
