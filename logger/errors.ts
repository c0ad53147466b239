/** Every way a call of this package can fail, by a stable name that programs may compare. */
export const errorCodes = [
  "USAGE", // an argument, option or configuration value is wrong
  "FILTER", // a filter does not parse or compile
  "CAPTURE", // a capture file is damaged, truncated or of an unsupported kind
  "STORE", // a store is foreign, damaged, newer, busy or too small
  "PORT", // a port cannot be opened, named or used
  "CONTROL", // the daemon cannot be reached or answered with an error
  "PRIVILEGE", // the operating system refused: a permission or a capability is missing
  "RESOURCE", // no space, no memory, no descriptors
  "INTERNAL", // a promise of this package was broken: a fault to report
] as const;
export type ErrorCode = (typeof errorCodes)[number];

/** The one error class: `code` says which kind, `message` says what was wrong, where, and what to do, in one line. */
export class PasteError extends Error {
  readonly code: ErrorCode;
  constructor(code: ErrorCode, message: string, options?: ErrorOptions) {
    super(message, options);
    this.name = "PasteError";
    this.code = code;
  }
}

/** Why bytes could not be written, and what to do; without the name of the place. */
export function writeProblem({ code, message }: NodeJS.ErrnoException): string {
  if (code === "EFBIG") return "no file may be larger here: raise the limit (ulimit -f), or write elsewhere";
  const full = code === "ENOSPC" || code === "EDQUOT";
  return full ? "the disk is full: make room, or choose another place" : `writing failed (${code ?? message})`;
}
