// TOML as configurations are written in it.
import { requirePackage } from "../native/packages.js";

export const { parse, stringify, TomlError } = requirePackage("smol-toml") as typeof import("smol-toml");
