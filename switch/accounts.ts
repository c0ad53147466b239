// Users and groups by name or number, from /etc/passwd and /etc/group: nothing here asks a directory service.
import { readFileSync } from "node:fs";
import { PasteError } from "../logger/errors.js";

export interface Account {
  uid: number;
  gid: number;
  /** Ids of the other groups that the user is a member of. */
  groups: number[];
}

/** The id of a group by name or number. Throws USAGE. */
export function groupId(group: string, file = "/etc/group"): number {
  if (/^\d+$/.test(group)) return Number(group);
  for (const [name, , gid] of entries(file)) if (name === group && gid) return Number(gid);
  throw new PasteError("USAGE", `group "${group}" is not in ${file}: give its number if it comes from elsewhere`);
}

/** A user by name, number, or "UID:GID". Throws USAGE. */
export function account(user: string, passwd = "/etc/passwd", group = "/etc/group"): Account {
  const numbers = /^(\d+):(\d+)$/.exec(user);
  if (numbers) return { uid: Number(numbers[1]), gid: Number(numbers[2]), groups: [] };
  for (const [name, , uid, gid] of entries(passwd)) {
    if ((name !== user && uid !== user) || !uid || !gid) continue;
    const groups = entries(group).filter(([, , id, members]) => id && members?.split(",").includes(name!));
    return { uid: Number(uid), gid: Number(gid), groups: groups.map(([, , id]) => Number(id)) };
  }
  throw new PasteError("USAGE", `user "${user}" is not in ${passwd}: write UID:GID if it comes from elsewhere`);
}

const entries = (file: string) => {
  const lines = readFileSync(file, "utf8").split("\n");
  return lines.map((line) => line.split(":"));
};
