// What a daemon says without being asked: what nobody asked for and everybody has to know, each once.
import type { EngineStats, PortInfo } from "../native/engine.js";
import { brokerGone } from "../native/host.js";
import type { StoreCounters } from "../native/store.js";

export class Health {
  readonly #say: (text: string) => void;
  /** Ids of ports that ended with an error. */
  #broken = new Set<number>();
  /** Names of ports that are down. */
  #down = new Set<string>();
  #brokerGone = false;
  #failed = false;
  #hollow = false;
  #indexDamaged = 0;
  #indexSkipped = 0;
  #indexBehind = false;

  constructor(say: (text: string) => void) {
    this.#say = say;
  }

  look({ store, ports }: Pick<EngineStats, "store" | "ports">): void {
    this.#sayBroken(ports);
    this.#sayDown(ports);
    if (!this.#brokerGone && brokerGone()) {
      this.#brokerGone = true;
      this.#say(
        "FAILED: the broker that opens devices is gone (killed?): what is attached goes on; restart the daemon to attach devices again",
      );
    }
    if (!store) return;
    this.#sayIndex(store);
    this.#saySpace(store);
    if (this.#failed || !store.syncFailed) return;
    this.#failed = true;
    this.#say(`FAILED: ${store.failure}`);
  }

  #sayBroken(ports: readonly PortInfo[]): void {
    const broken = ports.filter(({ state }) => state.startsWith("error"));
    for (const { name, id, state } of broken)
      if (!this.#broken.has(id)) this.#say(`port ${name} is detached, ${state}`);
    this.#broken = new Set(broken.map(({ id }) => id));
  }

  /** Devices that are away, and those that are back. */
  #sayDown(ports: readonly PortInfo[]): void {
    const down = ports.filter(({ state }) => state === "down");
    for (const { name, detail } of down) if (!this.#down.has(name)) this.#say(`port ${name} is down: ${detail}`);
    const names = new Set(down.map(({ name }) => name));
    for (const { name, state } of ports)
      if (this.#down.has(name) && !names.has(name)) this.#say(`port ${name} is ${state} again`);
    this.#down = names;
  }

  /** A sparse store on a file system that is full, and when it has room again. */
  #saySpace({ blocksHollow, blocksFree, blocksLog, blocksBuffers, blocksIndex }: StoreCounters): void {
    const hollow = blocksHollow > 0;
    if (hollow === this.#hollow) return;
    this.#hollow = hollow;
    const blocks = blocksFree + blocksLog + blocksBuffers + blocksIndex + blocksHollow;
    this.#say(
      hollow
        ? `store: the file system has no space for ${blocksHollow} of its ${blocks} blocks (it is sparse): until there is room it is that much smaller`
        : "store: the file system has space for all of its blocks again",
    );
  }

  /**
   * Damage each time it is found; falling behind once, as long as it lasts. What is indexed anew may be overwritten before: that is the
   * damage, and not the indexer's pace.
   */
  #sayIndex({ indexDamaged, indexSkippedBlocks }: StoreCounters): void {
    const damaged = indexDamaged > this.#indexDamaged;
    if (damaged)
      this.#say(
        `index: ${indexDamaged - this.#indexDamaged} of its blocks damaged and given up; what they covered is indexed anew`,
      );
    const behind = indexSkippedBlocks > this.#indexSkipped && !damaged;
    if (behind && !this.#indexBehind)
      this.#say("index: it does not keep up, or has no room; blocks without an index are read by queries whole");
    this.#indexDamaged = indexDamaged;
    this.#indexSkipped = indexSkippedBlocks;
    this.#indexBehind = behind;
  }
}
