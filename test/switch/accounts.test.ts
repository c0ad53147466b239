// Users and groups by name or number.
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import test, { type ExecutionContext } from "ava";
import { account, groupId } from "../../switch/accounts.js";

function files(t: ExecutionContext): { passwd: string; group: string } {
  const folder = mkdtempSync(join(tmpdir(), "paste-accounts-"));
  t.teardown(() => rmSync(folder, { recursive: true }));
  const [passwd, group] = [join(folder, "passwd"), join(folder, "group")];
  writeFileSync(passwd, "root:x:0:0:root:/root:/bin/sh\nsue:x:1000:1000::/home/sue:/bin/sh\nhalf:x:7\n");
  writeFileSync(group, "root:x:0:\nsue:x:1000:\nwireshark:x:115:me,sue\nkvm:x:116:susan\nlab:x:117:sue\n");
  return { passwd, group };
}

test("a group by name or number", (t) => {
  const { group } = files(t);
  t.is(groupId("wireshark", group), 115);
  t.is(groupId("42", group), 42);
  t.throws(() => groupId("nobody", group), {
    code: "USAGE",
    message: `group "nobody" is not in ${group}: give its number if it comes from elsewhere`,
  });
});

test("a user by name, by number, by both numbers", (t) => {
  const { passwd, group } = files(t);
  const sue = { uid: 1000, gid: 1000, groups: [115, 117] };
  t.deepEqual(account("sue", passwd, group), sue);
  t.deepEqual(account("1000", passwd, group), sue);
  t.deepEqual(account("2000:3000", passwd, group), { uid: 2000, gid: 3000, groups: [] });
  for (const unknown of ["su", "1001", "half", "1000:", "-1:0"])
    t.throws(() => account(unknown, passwd, group), {
      code: "USAGE",
      message: `user "${unknown}" is not in ${passwd}: write UID:GID if it comes from elsewhere`,
    });
});
