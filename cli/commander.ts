// The command line's words and options.
import { requirePackage } from "../native/packages.js";

export type { Command } from "commander";
export const { Command: Program, CommanderError, Option } = requirePackage("commander") as typeof import("commander");

/** For options that may be given several times. */
export const repeated = (value: string, previous: string[] = []) => [...previous, value];
