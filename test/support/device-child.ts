// The process behind DeviceProcess: does what it is told over its channel, and holds what it opened until it ends.
import { devicesAddon } from "./native-devices.js";

const addon = devicesAddon();
const devices = addon.processDevices();

process.on("message", ({ method, args }: { method: string; args: unknown[] }) => {
  const bytes = (value: unknown) =>
    value !== null && typeof value === "object" && "data" in value ? Buffer.from(value.data as number[]) : value;
  try {
    const owner = (method in devices ? devices : addon) as unknown as Record<string, (...args: unknown[]) => unknown>;
    process.send!({ result: owner[method]!(...args.map(bytes)) });
  } catch (error) {
    process.send!({ error: (error as Error).message });
  }
});
process.on("disconnect", () => process.exit(0));
