// The command line's words and options.
import { PasteError } from "../logger/errors.js";
import { requirePackage } from "../native/packages.js";

export type { Command } from "commander";
export const { Command: Program, CommanderError, Option } = requirePackage("commander") as typeof import("commander");

/** For options that may be given several times. */
export const repeated = (value: string, previous: string[] = []) => [...previous, value];

/** For -r of commands that read one store: the last one would be read, and nobody told that the others are not. */
export const oneStore = (value: string, previous?: string) => {
  if (previous !== undefined)
    throw new PasteError(
      "USAGE",
      `-r ${previous} -r ${value}: one store at a time here; query and export take several`,
    );
  return value;
};
