#!/usr/bin/env node
import { Command } from "commander";

const program = new Command("paste-switch");
await program.parseAsync();
