/** Which end of a packet a word is about. */
export type Direction = "src" | "dst" | "src or dst" | "src and dst";
