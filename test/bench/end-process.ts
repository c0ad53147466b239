// One end of the processes bench, in a process of its own: it runs what its parent sends, and answers with the result.
import { benchSink, benchSource, type EndOptions, type EndResult } from "../../native/index.js";

export interface EndCommand {
  end: "source" | "sink";
  options: EndOptions;
}

export type EndAnswer = { result: EndResult } | { failed: string };

process.on("message", async ({ end, options }: EndCommand) => {
  let answer: EndAnswer;
  try {
    answer = { result: await (end === "source" ? benchSource(options) : benchSink(options)) };
  } catch (error) {
    answer = { failed: (error as Error).message };
  }
  process.send?.(answer, () => process.disconnect());
});
