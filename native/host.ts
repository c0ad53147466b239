// What a daemon needs of the operating system and Node does not offer: a file lock that dies with its process, a datagram to
// systemd, who is at the other end of a socket, whether its broker lives, and becoming another program.
import { closeSync, constants, ftruncateSync, openSync, writeSync } from "node:fs";
import type { Socket } from "node:net";
import { PasteError } from "../logger/errors.js";
import { native } from "./engine.js";
import { loadAddon } from "./load.js";

interface HostAddon {
  tryLock(fd: number): boolean;
  sendDatagram(path: string, text: string): boolean;
  peerUser(fd: number): number;
  brokerGone(): boolean;
  hasFileCapabilities(path: string): boolean;
  becomeProgram(path: string, args: readonly string[]): never;
}
const addon = () => loadAddon("paste_switch") as unknown as HostAddon;

export interface FileLock {
  /** Replaces what the file says (who holds it), for people. */
  write(text: string): void;
  release(): void;
}

/**
 * Locks a file, which is made when it is missing and never removed: who had opened it before it was, and who makes it anew, would both hold a lock.
 * Undefined: another process holds the lock.
 */
export function lockFile(path: string): FileLock | undefined {
  let fd: number;
  try {
    fd = openSync(path, constants.O_RDWR | constants.O_CREAT | constants.O_NOFOLLOW, 0o600);
  } catch (error) {
    const code = (error as NodeJS.ErrnoException).code;
    const denied = code === "EACCES" || code === "EPERM" || code === "EROFS";
    throw new PasteError(
      denied ? "PRIVILEGE" : "RESOURCE",
      `cannot open the lock ${path} (${code}): use --control to put it elsewhere`,
      {
        cause: error,
      },
    );
  }
  let locked = false;
  try {
    locked = native(() => addon().tryLock(fd));
  } finally {
    if (!locked) closeSync(fd);
  }
  if (!locked) return undefined;
  return {
    write(text) {
      ftruncateSync(fd, 0);
      writeSync(fd, text, 0);
    },
    release: () => closeSync(fd),
  };
}

/** Tells systemd about this service (sd_notify(3)), such as "READY=1". False when there is no systemd to tell. */
export function notifySystemd(text: string, socket = process.env.NOTIFY_SOCKET): boolean {
  return socket ? native(() => addon().sendDatagram(socket, text)) : false;
}

/** Who connected a unix socket, by the kernel's word; undefined when it does not say. */
export function peerUser(socket: Socket): number | undefined {
  // The one way to a socket's descriptor that Node has.
  const fd = (socket as unknown as { _handle?: { fd?: number } })._handle?.fd;
  const uid = fd === undefined || fd < 0 ? -1 : native(() => addon().peerUser(fd));
  return uid < 0 ? undefined : uid;
}

/** Whether the launcher left a broker for this process that has ended since. */
export const brokerGone = (): boolean => native(() => addon().brokerGone());

/** Whether setcap(8) gave capabilities to a file. */
export const hasFileCapabilities = (path: string): boolean => native(() => addon().hasFileCapabilities(path));

/** Replaces this process by another program: same id, same environment and standard streams. Throws RESOURCE when it cannot. */
export function becomeProgram(path: string, args: readonly string[]): never {
  return native(() => addon().becomeProgram(path, args));
}
