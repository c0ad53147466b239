// Where the keys and tables of a TOML text stand. The parser gives positions for faults of syntax only; messages about
// values, and changes to a file that must keep its comments, need the lines of the rest. Reads valid TOML only.

export interface TomlTable {
  /** ["store"] or, for the second [[port]], ["port", 1]. */
  path: (string | number)[];
  /** Line of its header, from 1. */
  line: number;
  /** The line behind its last key (comments and blank lines behind that belong to what follows). */
  end: number;
}

export interface TomlLines {
  tables: TomlTable[];
  /** Line of the key at this path, or of the nearest table around it; 1 when there is none. */
  lineOf(path: readonly (string | number | symbol)[]): number;
}

export function scanToml(text: string): TomlLines {
  const lines = text.split("\n");
  const tables: TomlTable[] = [];
  const known = new Map<string, number>();
  const counts = new Map<string, number>();
  let table: TomlTable = { path: [], line: 1, end: 1 };
  let open: OpenValue = { quote: "", depth: 0 };
  lines.forEach((line, index) => {
    const number = index + 1;
    if (open.quote !== "" || open.depth > 0) {
      open = readValue(line, 0, open);
      table.end = number + 1;
      return;
    }
    const head = /^\s*(\[\[?)/.exec(line);
    if (head) {
      const names = readKey(line, head[0].length).names;
      table = { path: names, line: number, end: number + 1 };
      if (head[1] === "[[") {
        const key = JSON.stringify(names);
        const count = counts.get(key) ?? 0;
        counts.set(key, count + 1);
        table.path = [...names, count];
      }
      tables.push(table);
      known.set(JSON.stringify(table.path), number);
    } else if (/^\s*[^\s#]/.test(line)) {
      const { names, end } = readKey(line, 0);
      for (let depth = 1; depth <= names.length; depth++) {
        const key = JSON.stringify([...table.path, ...names.slice(0, depth)]);
        if (!known.has(key)) known.set(key, number);
      }
      open = readValue(line, end, { quote: "", depth: 0 });
      table.end = number + 1;
    }
  });
  const lineOf = (path: readonly (string | number | symbol)[]): number => {
    for (let depth = path.length; depth > 0; depth--) {
      const line = known.get(JSON.stringify(path.slice(0, depth)));
      if (line !== undefined) return line;
    }
    return 1;
  };
  return { tables, lineOf };
}

/** A value that goes on in the next line: inside a multi-line string, or inside brackets. */
interface OpenValue {
  quote: "" | '"""' | "'''";
  depth: number;
}

/** Reads a dotted key, bare or quoted, from `at`; `end` is behind the `=` or `]` that ends it. */
function readKey(line: string, at: number): { names: string[]; end: number } {
  const names: string[] = [];
  const part = /\s*(?:"((?:[^"\\]|\\.)*)"|'([^']*)'|([A-Za-z0-9_-]+))\s*([.=\]])/y;
  part.lastIndex = at;
  for (let match = part.exec(line); match; match = part.exec(line)) {
    names.push(match[1] ?? match[2] ?? match[3]!);
    if (match[4] !== ".") break;
  }
  return { names, end: part.lastIndex || line.length };
}

function readValue(line: string, from: number, open: OpenValue): OpenValue {
  let { quote, depth } = open;
  for (let at = from; at < line.length; at++) {
    if (quote !== "") {
      if (quote === '"""' && line[at] === "\\") at++;
      else if (line.startsWith(quote, at)) {
        at += 2;
        quote = "";
      }
      continue;
    }
    const char = line[at];
    if (char === "#") break;
    if (line.startsWith('"""', at) || line.startsWith("'''", at)) {
      quote = line.slice(at, at + 3) as OpenValue["quote"];
      at += 2;
    } else if (char === '"' || char === "'") at = stringEnd(line, at);
    else if (char === "[" || char === "{") depth++;
    else if (char === "]" || char === "}") depth--;
  }
  return { quote, depth };
}

/** Index of the quote that ends the one-line string which starts at `at`. */
function stringEnd(line: string, at: number): number {
  const quote = line[at];
  for (let end = at + 1; end < line.length; end++) {
    if (quote === '"' && line[end] === "\\") end++;
    else if (line[end] === quote) return end;
  }
  return line.length;
}
