#!/usr/bin/env node
const argv = process.argv.slice(2);
if (argv[0] === "daemon") (await import("../switch/launch.js")).launchEarly(argv.slice(1));
const { run } = await import("./run.js");
await run(argv);
