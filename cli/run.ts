// From arguments to an exit status: 0 done, 1 the job failed, 2 wrong usage. Errors are one line on stderr; a reader that
// closes the pipe early is no error; stacks are for --debug or PASTE_SWITCH_DEBUG=1 only.

import { PasteError, writeProblem } from "../logger/errors.js";
import { standardOutput } from "../logger/standard-output.js";
import { packageVersion } from "../switch/version.js";
import { type Command, CommanderError, Program } from "./commander.js";
import { commands } from "./commands.js";

const after = `
Filters are pcap-filter(7) and need no quotes, except for what your shell would take for itself.
--name N chooses a daemon, "default" unless said; --control SOCK or PASTE_SWITCH_CONTROL point at its socket.
--debug, or PASTE_SWITCH_DEBUG=1, shows where an error came from.
Exits 0 when it is done, 1 when it failed or found something wrong, 2 when the command line, a filter or a configuration is wrong.

Examples:
  paste-switch daemon --store /dev/shm/lab.store --size 1G --log 'tcp port 80'
  paste-switch port add vale0:a
  paste-switch stats --watch
  paste-switch help rule`;

/** Runs one command line and sets the process's exit status. */
export async function run(argv: readonly string[]): Promise<void> {
  const end = argv.indexOf("--");
  const options = end < 0 ? argv : argv.slice(0, end);
  const debug = options.includes("--debug") || process.env.PASTE_SWITCH_DEBUG === "1";
  const rest = argv.filter((argument, index) => argument !== "--debug" || (end >= 0 && index > end));

  const called = rest.find((argument) => Object.hasOwn(commands, argument));

  // Both streams can be closed by their reader at any time, also after the command is done.
  for (const [name, stream] of Object.entries({
    "standard output": standardOutput(),
    "standard error": process.stderr,
  }))
    stream.on("error", (error: NodeJS.ErrnoException) => {
      if (error.code === "EPIPE") process.exit(0);
      // Who listens as well says it with what was written so far.
      if (stream.listenerCount("error") > 1) return;
      const problem = new PasteError("RESOURCE", `${name}: ${writeProblem(error)}`, { cause: error });
      process.exitCode = fail(problem, debug, called);
    });
  process.on("uncaughtException", (error) => process.exit(fail(error, debug, called)));
  process.on("unhandledRejection", (error) => process.exit(fail(error, debug, called)));

  try {
    const program = await build(called);
    await program.parseAsync(rest, { from: "user" });
  } catch (error) {
    process.exitCode = fail(error, debug, called);
  }
}

/** The program with all commands named, and the one that is called defined. */
async function build(called: string | undefined): Promise<Command> {
  const program = new Program("paste-switch")
    .description("A VALE-style Ethernet switch in user space that remembers the frames its rules select.")
    .version(packageVersion(), "-V, --version", "print the version")
    .usage("COMMAND [options]")
    .helpOption("-h, --help", "print help")
    .helpCommand(false)
    .addHelpText("after", after)
    .exitOverride()
    .showSuggestionAfterError()
    // Errors are printed by fail(); commander would print them in its own form.
    .configureOutput({ outputError: () => {} });
  for (const [name, entry] of Object.entries(commands)) {
    const command = program
      .command(name)
      .summary(entry.summary)
      .description(upperFirst(`${entry.summary}.`));
    if (name === called) (await entry.load()).define(command);
    if (command.commands.length > 0) command.helpCommand("help [command]", "print a command's help");
  }
  // Commander's own help command knows one word, and prints the help of `mac` for `help mac list`.
  program
    .command("help")
    .summary("print a command's help")
    .argument("[command...]")
    .helpOption(false)
    .action((words: string[]) => {
      let found: Command = program;
      for (const [index, word] of words.entries()) {
        const next = found.commands.find((command) => command.name() === word);
        if (next === undefined) return program.error(`error: unknown command '${words.slice(0, index + 1).join(" ")}'`);
        found = next;
      }
      found.help();
    });
  return program;
}

/** Says what went wrong and gives the exit status. */
function fail(error: unknown, debug: boolean, called: string | undefined): number {
  if (error instanceof CommanderError) {
    if (error.exitCode === 0) return 0;
    // Where a subcommand was left out, help has been printed already.
    if (error.code !== "commander.help" && error.message !== "") complain(usageText(error.message, called));
    return 2;
  }
  if ((error as NodeJS.ErrnoException | undefined)?.code === "EPIPE") return 0;
  const message = error instanceof Error ? error.message : String(error);
  const fault = error instanceof PasteError ? error.code === "INTERNAL" : !isPlainError(error);
  complain(
    fault ? `${message}: this is a fault of paste-switch, please report it (--debug shows where it happened)` : message,
  );
  if (debug && error instanceof Error) process.stderr.write(`${error.stack ?? ""}\n`);
  return error instanceof PasteError && (error.code === "USAGE" || error.code === "FILTER") ? 2 : 1;
}

/** Errors of the operating system say what is wrong by themselves. */
function isPlainError(error: unknown): boolean {
  return error instanceof Error && (error as NodeJS.ErrnoException).syscall !== undefined;
}

function complain(text: string): void {
  process.stderr.write(`paste-switch: ${text.replace(/\s*\n\s*/g, " ")}\n`);
}

/** "error: unknown option '--x'\n(Did you mean --y?)" in our form, with what may help. */
function usageText(message: string, called: string | undefined): string {
  const text = message.replace(/^error: /, "").replace(/\.$/, "");
  let hint = "";
  if (/unknown option '-[^A-Za-z-]/.test(text)) hint = "; a filter with such a word goes behind --";
  if (/too many arguments for 'daemon'/.test(text)) hint = "; --log takes its filter in quotes";
  return `${text}${hint}: see \`paste-switch ${called === undefined ? "--help" : `help ${called}`}\``;
}

function upperFirst(text: string): string {
  return text.charAt(0).toUpperCase() + text.slice(1);
}
