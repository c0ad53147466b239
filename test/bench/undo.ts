// What a bench makes beside its process (namespaces, folders, servers) is gone afterwards, however it ends: done, failed or interrupted.
const signals = { SIGHUP: 129, SIGINT: 130, SIGTERM: 143 } as const;
const waiting = new Set<() => void>();

/** `undo` is called once: by the function that this returns, or when a signal ends the process before that. */
export function undoAtEnd(undo: () => void): () => void {
  if (waiting.size === 0) for (const name of Object.keys(signals)) process.on(name, interrupted);
  waiting.add(undo);
  return () => {
    if (!waiting.delete(undo)) return;
    if (waiting.size === 0) for (const name of Object.keys(signals)) process.off(name, interrupted);
    undo();
  };
}

function interrupted(signal: keyof typeof signals): void {
  for (const undo of [...waiting].reverse())
    try {
      undo();
    } catch (error) {
      process.stderr.write(`${(error as Error).message.trim()}\n`);
    }
  process.exit(signals[signal]);
}
