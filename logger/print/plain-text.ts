// Text out of frames, port names and rules, made fit for a terminal: nothing in it may move a cursor or set a title.

const control = /[\p{Cc}\p{Cf}\p{Cs}\p{Zl}\p{Zp}]/gu;

/** Printable ASCII as it is, other bytes as tcpdump shows them: ^A, ^?, M-a. */
export function plainText(bytes: Uint8Array): string {
  let text = "";
  for (const byte of bytes) {
    let rest = byte;
    if (rest >= 0x80) {
      text += "M-";
      rest &= 0x7f;
    }
    text += rest >= 32 && rest < 127 ? String.fromCharCode(rest) : `^${String.fromCharCode(rest ^ 0x40)}`;
  }
  return text;
}

/** Names as their users wrote them, without characters that control a terminal or turn the direction of text. */
export function safeName(name: string): string {
  return name.replace(control, (character) => `\\u${character.codePointAt(0)!.toString(16).padStart(4, "0")}`);
}

/** JSON in one line, in which such characters are escaped, too. */
export function jsonText(value: unknown): string {
  return JSON.stringify(value).replace(control, (character) =>
    Array.from(
      { length: character.length },
      (_, i) => `\\u${character.charCodeAt(i).toString(16).padStart(4, "0")}`,
    ).join(""),
  );
}
