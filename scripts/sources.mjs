// Prints the C++ sources below the given folders, one a line: binding.gyp's list, so that a new file needs no edit there.
import { existsSync, readdirSync } from "node:fs";

for (const folder of process.argv.slice(2).filter(existsSync))
  for (const name of readdirSync(folder, { recursive: true }).sort())
    if (name.endsWith(".cc")) console.log(`${folder}/${name}`);
