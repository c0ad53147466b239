// The counters in Prometheus' text format (exposition format 0.0.4), for node_exporter's textfile collector or a small server.
import type { DaemonStats } from "../switch/control-protocol.js";

type Labels = Record<string, string>;

class Exposition {
  #lines: string[] = [];

  /** A metric with its samples; names carry unit and, for counters, "_total". */
  add(
    name: string,
    type: "counter" | "gauge",
    help: string,
    samples: [labels: Labels, value: number | bigint][],
  ): void {
    this.#lines.push(`# HELP paste_switch_${name} ${help}`, `# TYPE paste_switch_${name} ${type}`);
    for (const [labels, value] of samples) this.#lines.push(`paste_switch_${name}${labelText(labels)} ${value}`);
  }

  text(): string {
    return `${this.#lines.join("\n")}\n`;
  }
}

function labelText(labels: Labels): string {
  const escaped = (text: string) => text.replace(/\\/g, "\\\\").replace(/"/g, '\\"').replace(/\n/g, "\\n");
  const parts = Object.entries(labels).map(([name, value]) => `${name}="${escaped(value)}"`);
  return parts.length > 0 ? `{${parts.join(",")}}` : "";
}

/** `nowMs`: wall clock, for the age of the oldest record. */
export function prometheusText(stats: DaemonStats, nowMs = Date.now()): string {
  const out = new Exposition();
  const ports = [...stats.ports, { name: "(detached)", counters: stats.detached }];
  const each = (value: (counters: DaemonStats["detached"]) => number): [Labels, number][] =>
    ports.map(({ name, counters }) => [{ port: name }, value(counters)]);
  const reasons = (which: "dropped" | "refused"): [Labels, number][] =>
    ports.flatMap(({ name, counters }) =>
      Object.entries(counters[which]).map(([reason, count]): [Labels, number] => [{ port: name, reason }, count]),
    );
  out.add(
    "received_frames_total",
    "counter",
    "Frames that came in by a port.",
    each((port) => port.receivedFrames),
  );
  out.add(
    "received_bytes_total",
    "counter",
    "Bytes that came in by a port.",
    each((port) => port.receivedBytes),
  );
  out.add(
    "forwarded_frames_total",
    "counter",
    "Frames of which at least one copy was delivered.",
    each((port) => port.forwardedFrames),
  );
  out.add("dropped_frames_total", "counter", "Frames of which no copy was delivered.", reasons("dropped"));
  out.add(
    "delivered_copies_total",
    "counter",
    "Copies delivered to a port.",
    each((port) => port.deliveredCopies),
  );
  out.add("refused_copies_total", "counter", "Copies that a port could not take.", reasons("refused"));
  out.add(
    "port_up",
    "gauge",
    "1 while a client, a source or a device is there, and its interface is up.",
    stats.ports.map(({ name, state }) => [{ port: name }, state === "up" ? 1 : 0]),
  );
  out.add(
    "device_dropped_frames_total",
    "counter",
    "Frames that the device or the kernel dropped before the port could see them.",
    stats.ports
      .filter(({ interface: on }) => on !== "")
      .flatMap(({ name, device }) =>
        Object.entries(device).map(([reason, count]): [Labels, number] => [{ port: name, reason }, count]),
      ),
  );
  out.add("selected_frames_total", "counter", "Frames that a rule selected.", [[{}, stats.selected]]);
  out.add("logged_frames_total", "counter", "Frames that were logged.", [[{}, stats.logged]]);
  out.add(
    "not_logged_frames_total",
    "counter",
    "Frames that a rule selected and that were not logged.",
    Object.entries(stats.notLogged).map(([reason, count]) => [{ reason }, count]),
  );
  out.add("addresses", "gauge", "Addresses that the switches know.", [[{}, stats.macEntries]]);
  out.add("live_taps", "gauge", "Live taps that are open.", [[{}, stats.taps.length]]);
  out.add("uptime_seconds", "gauge", "Time since the daemon started.", [[{}, stats.uptimeMs / 1000]]);
  const { store } = stats;
  if (store) {
    out.add("store_bytes", "gauge", "Size of the store.", [[{ path: stats.storePath }, stats.storeBytes]]);
    out.add("store_free_blocks", "gauge", "Blocks that are free.", [[{}, store.blocksFree]]);
    out.add("store_hollow_blocks", "gauge", "Blocks of a sparse store that the file system has no space for.", [
      [{}, store.blocksHollow],
    ]);
    out.add("store_durable_sequence", "counter", "Newest record that is durable.", [[{}, store.durableSequence]]);
    out.add("store_sync_failed", "gauge", "1 when the medium refused a write.", [[{}, store.syncFailed ? 1 : 0]]);
    out.add("store_index_blocks", "gauge", "Blocks that hold the index.", [[{}, store.blocksIndex]]);
    out.add("store_indexed_frames_total", "counter", "Frames indexed.", [[{}, store.indexedFrames]]);
    out.add("store_index_lag_blocks", "gauge", "Sealed blocks that no index covers.", [[{}, store.indexLagBlocks]]);
    out.add("store_index_lag_seconds", "gauge", "How far the index is behind.", [[{}, store.indexLagNs / 1e9]]);
    out.add("store_index_skipped_blocks_total", "counter", "Blocks overwritten without having been indexed.", [
      [{}, store.indexSkippedBlocks],
    ]);
    out.add("store_index_damaged_blocks_total", "counter", "Index blocks found damaged and made anew.", [
      [{}, store.indexDamaged],
    ]);
    const oldestMs = Number(store.oldestTimeNs / 1_000_000n);
    const age = oldestMs > 0 ? Math.max(0, (nowMs - oldestMs) / 1000) : 0;
    out.add("store_oldest_record_age_seconds", "gauge", "How far back the store reaches.", [[{}, age]]);
  }
  return out.text();
}
