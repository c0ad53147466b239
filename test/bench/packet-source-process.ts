// The sender of the ports bench, in a process and a network namespace of its own: options come as JSON on the command line.
import { benchPacketSource } from "../../native/index.js";

process.stdout.write(JSON.stringify(await benchPacketSource(JSON.parse(process.argv[2]!))));
