// Plans for index runs, and what they mean: a naive evaluation on the values of one record.
export type Plan =
  | { op: "all" | "none" }
  | { op: "range"; field: number; low: Buffer; high: Buffer; tunnels?: boolean }
  | { op: "and" | "or"; of: Plan[] }
  | { op: "name"; test: number };

/** By field, in hexadecimal of the field's width. */
export type Values = Map<number, Set<string>>;

/** Bytes of a field's values (native/core/index/expression.h). */
export const fieldBytes = [0, 6, 6, 2, 2, 16, 16, 1, 2, 2, 2, 8, 4, 4, 4, 1, 2, 1, 1];

const ops = { all: 0, none: 1, range: 2, and: 3, or: 4, name: 5 } as const;

export function planBytes(plan: Plan): Buffer {
  const node = Buffer.alloc(40);
  node[0] = ops[plan.op];
  const before: Buffer[] = [];
  if (plan.op === "range") {
    node[1] = plan.field | (plan.tunnels ? 0x80 : 0);
    plan.low.copy(node, 24 - plan.low.length);
    plan.high.copy(node, 40 - plan.high.length);
  } else if (plan.op === "name") {
    node.writeUInt32LE(plan.test, 4);
  } else if ("of" in plan) {
    node.writeUInt32LE(plan.of.length, 4);
    before.push(...plan.of.map(planBytes));
  }
  return Buffer.concat([...before, node]);
}

export function planHolds(plan: Plan, values: Values, names: (test: number) => boolean): boolean {
  switch (plan.op) {
    case "all":
      return true;
    case "none":
      return false;
    case "and":
      return plan.of.every((part) => planHolds(part, values, names));
    case "or":
      return plan.of.some((part) => planHolds(part, values, names));
    case "name":
      return names(plan.test);
    case "range": {
      const [low, high] = [plan.low.toString("hex"), plan.high.toString("hex")];
      return [...(values.get(plan.field) ?? [])].some((value) => low <= value && value <= high);
    }
  }
}
