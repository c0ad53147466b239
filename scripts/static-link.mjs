// Prints the linker's options for the launcher: wholly static where this system has the libraries for it (a program with file
// capabilities should load nothing), else at least without libstdc++.
import { spawnSync } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

const folder = mkdtempSync(join(tmpdir(), "paste-switch-link-"));
const source = join(folder, "try.cc");
writeFileSync(source, "#include <string>\nint main(int n, char** w) { return std::string(w[n - 1]).empty(); }\n");
const [cxx, ...args] = (process.env.CXX ?? "g++").trim().split(/\s+/);
const links = (options) =>
  spawnSync(cxx, [...args, source, "-o", join(folder, "try"), ...options], { stdio: "ignore" }).status === 0;
const found = [["-static"], ["-static-libstdc++", "-static-libgcc"], []].find(links) ?? [];
rmSync(folder, { recursive: true });
for (const option of found) console.log(option);
