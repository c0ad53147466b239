// The ports bench's forwarder without a switch, in a process of its own, which ends it: options come as JSON on the command line.
import { benchRawForwarder } from "../../native/index.js";

await benchRawForwarder(JSON.parse(process.argv[2]!), () => process.stdout.write("ready\n"));
