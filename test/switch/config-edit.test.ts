import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import test from "ava";
import { ConfigEditor } from "../../switch/config-edit.js";
import { parsePortSpec } from "../../switch/port-spec.js";
import { emptyRule } from "../../switch/rules.js";

const before = `# the lab
[store]
path = "lab.store"

# the door
[[port]]
name = "vale0:a"

# what we keep
[[rule]]
name = "web" # both
filter = "tcp port 80"

# the rest
[[rule]]
name = "rest"

[daemon]
threads = 1
`;

const edits: [title: string, edit: (editor: ConfigEditor) => void, after: string][] = [
  [
    "a port goes behind the other ports",
    (editor) => editor.addPort(parsePortSpec("vale0:r=pcap:/x.pcap,loop=0")),
    before.replace(
      'name = "vale0:a"\n',
      'name = "vale0:a"\n\n[[port]]\nname = "vale0:r"\nspec = "pcap:/x.pcap,loop=0"\n',
    ),
  ],
  [
    "a port with everything that can be said of it",
    (editor) => editor.addPort(parsePortSpec("vale0:t=tap:t0,mtu=9000,trunk=10+20-30,native=7")),
    before.replace(
      'name = "vale0:a"\n',
      'name = "vale0:a"\n\n[[port]]\nname = "vale0:t"\nspec = "tap:t0,mtu=9000"\ntrunk = [ 10, "20-30" ]\nnative = 7\n',
    ),
  ],
  [
    "a mirror",
    (editor) => editor.addPort(parsePortSpec("vale0:m,mirror=a+b,mirror-direction=out")),
    before.replace(
      'name = "vale0:a"\n',
      'name = "vale0:a"\n\n[[port]]\nname = "vale0:m"\nmirror = [ "vale0:a", "vale0:b" ]\nmirrorDirection = "out"\n',
    ),
  ],
  [
    "a rule goes behind the other rules",
    (editor) => editor.addRule({ ...emptyRule, name: "r1", filter: 'ether proto 0x0800 and "x"', sample: 3 }, ""),
    before.replace(
      'name = "rest"\n',
      'name = "rest"\n\n[[rule]]\nname = "r1"\nfilter = "ether proto 0x0800 and \\"x\\""\nsample = 3\n',
    ),
  ],
  [
    "a rule goes in front of another and of its comment",
    (editor) =>
      editor.addRule({ ...emptyRule, name: "ssh", filter: "tcp port 22", skip: true, inPorts: ["vale0:*"] }, "rest"),
    before.replace(
      "# the rest\n",
      '[[rule]]\nname = "ssh"\nfilter = "tcp port 22"\nin = [ "vale0:*" ]\nskip = true\n\n# the rest\n',
    ),
  ],
  [
    "a port goes, but not what was written above it",
    (editor) => editor.removePort("vale0:a"),
    before.replace('[[port]]\nname = "vale0:a"\n', ""),
  ],
  [
    "a rule goes, but not what was written above it",
    (editor) => editor.removeRule("web"),
    before.replace('[[rule]]\nname = "web" # both\nfilter = "tcp port 80"\n', ""),
  ],
];

function file(t: { teardown(undo: () => void): void }, text?: string): string {
  const folder = mkdtempSync(join(tmpdir(), "paste-config-"));
  t.teardown(() => rmSync(folder, { recursive: true }));
  const path = join(folder, "lab.toml");
  if (text !== undefined) writeFileSync(path, text);
  return path;
}

for (const [title, edit, after] of edits)
  test(`${title}, and everything else stays`, (t) => {
    const path = file(t, before);
    edit(new ConfigEditor(path));
    t.is(readFileSync(path, "utf8"), after);
  });

test("a missing file is begun", (t) => {
  const path = file(t);
  const editor = new ConfigEditor(path);
  editor.addRule({ ...emptyRule, name: "r1", filter: "icmp" }, "");
  editor.addPort(parsePortSpec("vale0:a"));
  t.is(readFileSync(path, "utf8"), '[[rule]]\nname = "r1"\nfilter = "icmp"\n\n[[port]]\nname = "vale0:a"\n');
});

const refusals: [title: string, text: string, edit: (editor: ConfigEditor) => void, reason: string][] = [
  ["a port that is not there", before, (editor) => editor.removePort("vale0:z"), "port vale0:z does not stand in it"],
  [
    "a rule in front of one that is not there",
    before,
    (editor) => editor.addRule({ ...emptyRule, name: "a" }, "r7"),
    "rule r7 does not stand in it under that name",
  ],
  [
    "rules as a list",
    'rule = [{ name = "a" }]\n',
    (editor) => editor.removeRule("a"),
    "rule a is not written as a [[rule]] table",
  ],
  [
    "adding to rules as a list",
    'rule = [{ name = "a" }]\n',
    (editor) => editor.addRule({ ...emptyRule, name: "b" }, ""),
    "it is written in a way that cannot be changed safely",
  ],
  ["a file that broke meanwhile", "[[rule\n", (editor) => editor.removeRule("a"), "it is no valid TOML any more"],
];
for (const [title, text, edit, reason] of refusals)
  test(`refused, and the file stays: ${title}`, (t) => {
    const path = file(t, text);
    t.throws(() => edit(new ConfigEditor(path)), {
      message: `the change is at work, but not saved in ${path}: ${reason}; edit the file by hand`,
    });
    t.is(readFileSync(path, "utf8"), text);
  });
