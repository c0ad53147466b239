// What Wireshark waits for: the wrapper's answers, beside a Node that does nothing.
import { spawnSync } from "node:child_process";
import { join } from "node:path";
import { installExtcap } from "../../cli/extcap-install.js";
import type { Bench } from "./bench.js";
import type { Row } from "./report.js";

const bare = "node -e 0";

export const extcap: Bench = {
  summary: "answers to Wireshark's questions, from start to end, beside a bare Node",
  storeBytes: 0,
  async run({ quick, rounds, folder }) {
    const wrapper = installExtcap(join(folder, "extcap"));
    const tail = ["--extcap-interface", "paste-switch-tail"];
    const ways: [string, string, string[]][] = [
      [bare, process.execPath, ["-e", "0"]],
      ["--extcap-interfaces", wrapper, ["--extcap-interfaces"]],
      ["--extcap-dlts", wrapper, [...tail, "--extcap-dlts"]],
      ["--extcap-config", wrapper, [...tail, "--extcap-config"]],
    ];
    const rows: Row[] = ways.map(([what]) => ({
      bench: "extcap",
      what,
      unit: "ms",
      samples: [],
      ...(what !== bare && { pairedWith: bare }),
    }));
    // The wrapper does without it; the Node beside it shall not pay for it either.
    const { NODE_EXTRA_CA_CERTS: _, ...env } = process.env;
    const turns = quick ? 1 : 5;
    for (let turn = -1; turn < rounds * turns; turn++)
      for (const [i, [, program, args]] of ways.entries()) {
        const start = performance.now();
        const { status } = spawnSync(program, args, { env, stdio: ["ignore", "pipe", "inherit"] });
        if (status !== 0) throw new Error(`${program} ${args.join(" ")} ended with ${status}`);
        if (turn >= 0) rows[i]!.samples.push(performance.now() - start);
      }
    return rows;
  },
};
