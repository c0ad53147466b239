/** How long a busy machine may take for what comes in a moment elsewhere. */
const patienceMs = 60_000;

/** Looks again, giving way to others between, until the condition holds; fails after a minute with what it waited for. */
export async function until(condition: () => boolean | Promise<boolean>, what: string): Promise<void> {
  const end = Date.now() + patienceMs;
  while (!(await condition())) {
    if (Date.now() > end) throw new Error(`waited a minute in vain: ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 1));
  }
}
