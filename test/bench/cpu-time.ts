// Processor time of a process's threads, in ns, as the scheduler counts it.
import { readdirSync, readFileSync } from "node:fs";

/** The sum over the threads of `pid` whose name begins with `prefix`. Threads that are gone count nothing. */
export function cpuTimeNs(pid: number, prefix: string): number {
  let sum = 0;
  for (const thread of readdirSync(`/proc/${pid}/task`)) {
    const folder = `/proc/${pid}/task/${thread}`;
    try {
      if (readFileSync(`${folder}/comm`, "utf8").startsWith(prefix))
        sum += Number(readFileSync(`${folder}/schedstat`, "utf8").split(" ")[0]);
    } catch {
      // it ended meanwhile
    }
  }
  return sum;
}
