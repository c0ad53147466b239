// Regular expressions over bytes, `payload /.../`: text to a program for native/core/search/regex.h. The syntax is JavaScript's,
// without what needs going back or looking around; the question is only whether there is a match, so greedy and lazy are the same.
import { filterError } from "./filter-error.js";

/** As native/core/search/regex.h has it. */
const maxInstructions = 2048;
const maxRepeat = 1000;
const maxDepth = 64;
/** Empty groups repeated over and over make no instructions, so turns are counted, too. */
const maxTurns = 100_000;

const op = { match: 0, set: 1, split: 2, jump: 3, begin: 4, end: 5 } as const;

type Node =
  | { kind: "set"; set: Uint8Array }
  | { kind: "row" | "alternatives"; parts: Node[] }
  | { kind: "repeat"; part: Node; min: number; max: number }
  | { kind: "begin" | "end" };

export interface RegexOptions {
  /** Letters A to Z match either case. */
  ignoreCase?: boolean;
  /** The dot matches line ends, too. */
  dotAll?: boolean;
}

export interface CompiledRegex {
  program: Uint8Array;
  /** Bytes that every match holds, perhaps none: quick to look for. */
  literal: Uint8Array;
}

/** Compiles a pattern that stands at `at` in the filter. Throws FILTER errors with the column of what cannot be. */
export function compileRegex(pattern: string, at: number, options: RegexOptions = {}): CompiledRegex {
  const node = new RegexParser(pattern, at, options).parse();
  return { program: new Emitter(at).program(node), literal: longestLiteral(node) };
}

/** The longest row of single bytes that a match must hold. */
function longestLiteral(root: Node): Uint8Array {
  let longest: number[] = [];
  let row: number[] = [];
  const end = () => {
    if (row.length > longest.length) longest = row;
    row = [];
  };
  const walk = (node: Node): void => {
    if (node.kind === "row") for (const part of node.parts) walk(part);
    else if (node.kind === "set") {
      const byte = onlyByte(node.set);
      if (byte === undefined) end();
      else row.push(byte);
    } else if (node.kind === "repeat" || node.kind === "alternatives") {
      end();
      if (node.kind === "repeat" && node.min > 0) walk(node.part);
      end();
    }
  };
  walk(root);
  end();
  return Uint8Array.from(longest);
}

function onlyByte(set: Uint8Array): number | undefined {
  const index = set.findIndex((byte) => byte !== 0);
  const bits = set[index] ?? 0;
  if (index < 0 || (bits & (bits - 1)) !== 0 || set.some((byte, i) => byte !== 0 && i !== index)) return undefined;
  return index * 8 + Math.log2(bits);
}

const digits = setOf([0x30, 0x39]);
const wordBytes = setOf([0x30, 0x39], [0x41, 0x5a], [0x5f, 0x5f], [0x61, 0x7a]);
const blanks = setOf([0x09, 0x0d], [0x20, 0x20]);
const classes: Readonly<Record<string, Uint8Array>> = {
  ...{ d: digits, D: inverted(digits), w: wordBytes, W: inverted(wordBytes), s: blanks, S: inverted(blanks) },
};
const controls: Readonly<Record<string, number>> = { t: 9, n: 10, v: 11, f: 12, r: 13, 0: 0 };

function setOf(...ranges: readonly (readonly [number, number])[]): Uint8Array {
  const set = new Uint8Array(32);
  for (const [first, last] of ranges)
    for (let byte = first; byte <= last; byte++) set[byte >> 3] = set[byte >> 3]! | (1 << (byte & 7));
  return set;
}

function inverted(set: Uint8Array): Uint8Array {
  return set.map((byte) => ~byte & 0xff);
}

function union(into: Uint8Array, set: Uint8Array): void {
  for (const [index, byte] of set.entries()) into[index] = into[index]! | byte;
}

class RegexParser {
  private index = 0;
  private depth = 0;

  constructor(
    private readonly text: string,
    private readonly at: number,
    private readonly options: RegexOptions,
  ) {}

  parse(): Node {
    const node = this.alternatives();
    if (this.index < this.text.length) throw this.error('")" closes nothing', 'write "\\)" for the character');
    return node;
  }

  private alternatives(): Node {
    if (++this.depth > maxDepth) throw this.error(`groups are nested deeper than ${maxDepth} levels`);
    const parts = [this.row()];
    while (this.take("|")) parts.push(this.row());
    this.depth--;
    return parts.length === 1 ? parts[0]! : { kind: "alternatives", parts };
  }

  private row(): Node {
    const parts: Node[] = [];
    while (this.index < this.text.length && this.text[this.index] !== "|" && this.text[this.index] !== ")")
      parts.push(this.repeated(this.atom()));
    return { kind: "row", parts };
  }

  private repeated(part: Node): Node {
    const start = this.index;
    const bounds = this.bounds();
    if (!bounds) return part;
    const [min, max] = bounds;
    if (part.kind === "begin" || part.kind === "end") throw this.error("nothing to repeat", undefined, start);
    if (min > max) throw this.error(`{${min},${max}} is the wrong way round`, undefined, start);
    if (min > maxRepeat || (max > maxRepeat && max !== Number.POSITIVE_INFINITY))
      throw this.error(`more than ${maxRepeat} repetitions`, undefined, start);
    this.take("?");
    const again = this.index;
    if (this.bounds()) throw this.error("nothing to repeat", undefined, again);
    return { kind: "repeat", part, min, max };
  }

  private bounds(): [number, number] | undefined {
    if (this.take("*")) return [0, Number.POSITIVE_INFINITY];
    if (this.take("+")) return [1, Number.POSITIVE_INFINITY];
    if (this.take("?")) return [0, 1];
    const found = this.matchHere(/\{(\d{1,6})(,(\d{0,6}))?\}/y);
    if (!found) return undefined;
    const min = Number(found[1]);
    if (found[2] === undefined) return [min, min];
    return [min, found[3] ? Number(found[3]) : Number.POSITIVE_INFINITY];
  }

  private atom(): Node {
    const start = this.index;
    const character = String.fromCodePoint(this.text.codePointAt(start)!);
    this.index += character.length;
    switch (character) {
      case "^":
        return { kind: "begin" };
      case "$":
        return { kind: "end" };
      case ".":
        return { kind: "set", set: this.options.dotAll ? setOf([0, 255]) : inverted(setOf([10, 10], [13, 13])) };
      case "(":
        return this.group(start);
      case "[":
        return { kind: "set", set: this.bracket(start) };
      case "\\":
        return { kind: "set", set: this.escaped(start) };
      case "*":
      case "+":
      case "?":
        throw this.error("nothing to repeat", `write "\\${character}" for the character`, start);
      case "{":
        this.index = start;
        if (this.bounds()) throw this.error("nothing to repeat", 'write "\\{" for the character', start);
        this.index = start + 1;
    }
    const bytes = [...Buffer.from(character, "utf8")].map((byte): Node => ({ kind: "set", set: this.byte(byte) }));
    return bytes.length === 1 ? bytes[0]! : { kind: "row", parts: bytes };
  }

  private group(start: number): Node {
    if (this.take("?") && !this.take(":"))
      throw this.error(
        "a group that looks around or has a name",
        'only "(...)" and "(?:...)" are known, which do the same here',
        start,
      );
    const node = this.alternatives();
    if (!this.take(")")) throw this.error('"(" is never closed', 'write "\\(" for the character', start);
    return node;
  }

  private bracket(start: number): Uint8Array {
    const negated = this.take("^");
    const set = new Uint8Array(32);
    for (;;) {
      if (this.index >= this.text.length)
        throw this.error('"[" is never closed', 'write "\\[" for the character', start);
      if (this.take("]")) break;
      const place = this.index;
      const first = this.member();
      if (typeof first === "number" && this.text[this.index] === "-" && this.text[this.index + 1] !== "]") {
        this.index++;
        if (this.index >= this.text.length) continue;
        const last = this.member();
        if (typeof last !== "number") throw this.error("a range needs a byte at each end", undefined, place);
        if (last < first) throw this.error("a range that is the wrong way round", undefined, place);
        for (let byte = first; byte <= last; byte++) union(set, this.byte(byte));
      } else union(set, typeof first === "number" ? this.byte(first) : first);
    }
    return negated ? inverted(set) : set;
  }

  /** A byte, or a class such as `\d`. */
  private member(): number | Uint8Array {
    const start = this.index;
    const character = String.fromCodePoint(this.text.codePointAt(start)!);
    this.index += character.length;
    if (character === "\\") return this.text[this.index] === "b" ? this.backspace() : this.escape(start);
    const code = character.codePointAt(0)!;
    if (code > 0x7f)
      throw this.error(`"${character}" is more than one byte`, "write bytes as \\xNN between brackets", start);
    return code;
  }

  private backspace(): number {
    this.index++;
    return 8;
  }

  private escaped(start: number): Uint8Array {
    const member = this.escape(start);
    return typeof member === "number" ? this.byte(member) : member;
  }

  /** What follows a backslash: a byte or a class. */
  private escape(start: number): number | Uint8Array {
    const hex = this.matchHere(/x([0-9a-fA-F]{2})/y);
    if (hex) return Number.parseInt(hex[1]!, 16);
    const character = this.text[this.index++] ?? "";
    const set = classes[character];
    if (set) return set;
    if (character === "0" && /\d/.test(this.text[this.index] ?? ""))
      throw this.error("an octal number", "write bytes as \\xNN", start);
    const control = controls[character];
    if (control !== undefined) return control;
    if (/^[^A-Za-z0-9]$/.test(character) && character.charCodeAt(0) < 0x80) return character.charCodeAt(0);
    if (/^[1-9]$/.test(character))
      throw this.error(`"\\${character}" asks for what a group matched`, "that cannot be searched in one pass", start);
    if (character === "b" || character === "B")
      throw this.error(`"\\${character}" is not known`, "write \\W or the bytes that may stand beside a word", start);
    throw this.error(`unknown "\\${character}"`, "bytes are written \\xNN, \\n, \\r, \\t", start);
  }

  private byte(byte: number): Uint8Array {
    const set = setOf([byte, byte]);
    const lower = byte | 0x20;
    if (this.options.ignoreCase && lower >= 0x61 && lower <= 0x7a) union(set, setOf([byte ^ 0x20, byte ^ 0x20]));
    return set;
  }

  private take(text: string): boolean {
    if (this.text[this.index] !== text) return false;
    this.index++;
    return true;
  }

  private matchHere(form: RegExp): RegExpExecArray | undefined {
    form.lastIndex = this.index;
    const found = form.exec(this.text);
    if (found) this.index += found[0].length;
    return found ?? undefined;
  }

  private error(problem: string, hint?: string, index = this.index): Error {
    return filterError(this.at + index, `regular expression: ${problem}`, hint);
  }
}

class Emitter {
  private readonly code: [number, number, number][] = [];
  private readonly sets = new Map<string, number>();
  private turns = 0;

  constructor(private readonly at: number) {}

  /** u32 sets, 32 bytes each, then instructions of three u32. */
  program(node: Node): Uint8Array {
    this.emit(node);
    this.add(op.match);
    const sets = Buffer.from([...this.sets.keys()].join(""), "latin1");
    const bytes = Buffer.alloc(4 + sets.length + this.code.length * 12);
    bytes.writeUInt32LE(this.sets.size);
    sets.copy(bytes, 4);
    for (const [index, words] of this.code.entries())
      for (const [word, value] of words.entries()) bytes.writeUInt32LE(value, 4 + sets.length + index * 12 + word * 4);
    return new Uint8Array(bytes);
  }

  private emit(node: Node): void {
    if (++this.turns > maxTurns) throw this.tooLong();
    switch (node.kind) {
      case "set": {
        const key = Buffer.from(node.set).toString("latin1");
        if (!this.sets.has(key)) this.sets.set(key, this.sets.size);
        this.add(op.set, this.sets.get(key)!);
        break;
      }
      case "begin":
      case "end":
        this.add(op[node.kind]);
        break;
      case "row":
        for (const part of node.parts) this.emit(part);
        break;
      case "alternatives":
        this.alternatives(node.parts);
        break;
      case "repeat":
        this.repeat(node);
    }
  }

  private alternatives(parts: readonly Node[]): void {
    const ends: number[] = [];
    for (const [index, part] of parts.entries()) {
      if (index === parts.length - 1) {
        this.emit(part);
        break;
      }
      const split = this.add(op.split);
      this.code[split]![1] = this.code.length;
      this.emit(part);
      ends.push(this.add(op.jump));
      this.code[split]![2] = this.code.length;
    }
    for (const end of ends) this.code[end]![1] = this.code.length;
  }

  private repeat({ part, min, max }: Extract<Node, { kind: "repeat" }>): void {
    for (let turn = 0; turn < min; turn++) this.emit(part);
    if (max === Number.POSITIVE_INFINITY) {
      const split = this.add(op.split, this.code.length + 1);
      this.emit(part);
      this.add(op.jump, split);
      this.code[split]![2] = this.code.length;
      return;
    }
    const splits: number[] = [];
    for (let turn = min; turn < max; turn++) {
      splits.push(this.add(op.split, this.code.length + 1));
      this.emit(part);
    }
    for (const split of splits) this.code[split]![2] = this.code.length;
  }

  private add(operation: number, x = 0, y = 0): number {
    if (this.code.length === maxInstructions) throw this.tooLong();
    return this.code.push([operation, x, y]) - 1;
  }

  private tooLong(): Error {
    return filterError(
      this.at,
      "regular expression: it is too large",
      `its repetitions written out, at most ${maxInstructions} steps`,
    );
  }
}
