/** What recovery gave back: in sequence order, the digest of each frame and its sequence number. */
export interface Recovered {
  digests: Float64Array;
  sequences: BigUint64Array;
}

/** One receiver's frames against the recovered ones. */
export interface Verdict {
  /** Frames that the receiver saw and the rule selected: each of them was acknowledged by being seen. */
  seen: number;
  /** Of these, frames that recovery did not give back. Under strict durability this must be 0. */
  missing: number;
  /** Sequence of the record of the last frame that the receiver saw; 0n when it saw none. */
  lastSequence: bigint;
}

/**
 * Holds what receivers saw against what was recovered, copy by copy: the n-th time a receiver sees some bytes, the n-th record with
 * these bytes must be there. The receivers' own processes collected the digests; the daemon's word is not asked.
 */
export function judge(seen: Float64Array, recovered: Recovered): Verdict {
  const places = new Map<number, number[]>();
  for (let i = 0; i < recovered.digests.length; i++) {
    const list = places.get(recovered.digests[i]!);
    if (list) list.push(i);
    else places.set(recovered.digests[i]!, [i]);
  }
  const used = new Map<number, number>();
  let missing = 0;
  let lastSequence = 0n;
  for (const digest of seen) {
    const nth = used.get(digest) ?? 0;
    used.set(digest, nth + 1);
    const place = places.get(digest)?.[nth];
    if (place === undefined) missing++;
    else if (recovered.sequences[place]! > lastSequence) lastSequence = recovered.sequences[place]!;
  }
  return { seen: seen.length, missing, lastSequence };
}
