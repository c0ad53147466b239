// What a learning table means, without buckets: the oracle of mac-table.test.ts.

interface Entry {
  port: number;
  static: boolean;
  stamp: number;
}

/** `ageTicks` 0 = entries never expire. A pair of buckets that is full is the real table's own affair: see `forget`. */
export class MacModel {
  readonly entries = new Map<string, Entry>();
  constructor(
    readonly ageTicks: number,
    readonly capacity: number,
    readonly perPort: number,
  ) {}

  private live(key: string, tick: number): Entry | undefined {
    const entry = this.entries.get(key);
    if (entry && !entry.static && this.ageTicks > 0 && tick - entry.stamp >= this.ageTicks) return undefined;
    return entry;
  }

  lookup(mac: number, fid: number, tick: number): number {
    return this.live(`${mac} ${fid}`, tick)?.port ?? -1;
  }

  /** `real` is what the table said: "full" is believed, since only the table knows its places; the rest is checked. */
  learn(mac: number, fid: number, port: number, tick: number, real: string): string {
    if (mac === 0 || Math.floor(mac / 2 ** 40) % 2 === 1) return "source";
    const key = `${mac} ${fid}`;
    const entry = this.live(key, tick);
    if (entry?.static) return entry.port === port ? "known" : "static";
    if (real === "full") {
      this.entries.delete(key);
      return "full";
    }
    this.entries.set(key, { port, static: false, stamp: tick });
    if (!entry) return "learned";
    return entry.port === port ? "known" : "moved";
  }

  add(mac: number, fid: number, port: number, tick: number): void {
    this.entries.set(`${mac} ${fid}`, { port, static: true, stamp: tick });
  }

  remove(mac: number, fid: number, tick: number): boolean {
    const lived = this.live(`${mac} ${fid}`, tick) !== undefined;
    this.entries.delete(`${mac} ${fid}`);
    return lived;
  }

  removePort(port: number): void {
    for (const [key, entry] of this.entries) if (entry.port === port) this.entries.delete(key);
  }

  flush(port: number | null): void {
    for (const [key, entry] of this.entries)
      if (!entry.static && (port === null || entry.port === port)) this.entries.delete(key);
  }

  /** Live entries as "mac fid port static ageMs", sorted. */
  list(tick: number): string[] {
    return [...this.entries.keys()]
      .filter((key) => this.live(key, tick))
      .map((key) => {
        const entry = this.entries.get(key) as Entry;
        return `${key} ${entry.port} ${entry.static} ${(tick - entry.stamp) * 100}`;
      })
      .sort();
  }
}
