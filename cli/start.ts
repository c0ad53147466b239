// What runs first, of modules and of bundles: a daemon may become another program before more is loaded, which would be for nothing.

/** Runs one command line and sets the process's exit status. */
export async function start(argv: readonly string[]): Promise<void> {
  if (argv[0] === "daemon") (await import("../switch/launch.js")).launchEarly(argv.slice(1));
  const { run } = await import("./run.js");
  await run(argv);
}
