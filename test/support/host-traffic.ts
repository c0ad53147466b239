// What hosts in namespaces of their own say to each other, and how a frame of theirs is judged.
import { wordSum } from "./checksums.js";
import type { Namespace } from "./namespaces.js";

/**
 * Pings until three answers are there, ten seconds at most; fails when they are not. `more` goes behind ping's options and
 * overrides them. Without a deadline (-w) ping would give up on a late answer after two round trips, and still exit 0.
 */
export async function ping(from: { ns: Namespace }, to: string, ...more: string[]): Promise<Pings> {
  const said = await from.ns.run("ping", "-c", "3", "-i", "0.05", "-w", "10", ...more, to);
  const [, sent, received] = /(\d+) packets transmitted, (\d+) received/.exec(said)!;
  return { sent: Number(sent), received: Number(received) };
}
export interface Pings {
  /** Requests; more than answers when one was still on its way. */
  sent: number;
  received: number;
}

/** Sends `bytes` of noise over TCP to `address`, which is `to`'s; both ends tell the hash of what they had: [sent, got]. */
export async function transfer(
  from: Namespace,
  to: Namespace,
  address: string,
  bytes: number,
): Promise<[string, string]> {
  const sink = `require("net").createServer(s=>{const h=require("crypto").createHash("sha256");
    s.on("data",d=>h.update(d));s.on("end",()=>{s.end(h.digest("hex"))})}).listen(5000,()=>console.log("listening"))`;
  const source = `const b=Buffer.alloc(${bytes});let x=1;for(let i=0;i<b.length;i++){x=(x*1103515245+12345)>>>0;b[i]=x>>>16}
    const s=require("net").connect(5000,process.argv[1]);let got="";s.on("data",d=>got+=d);s.on("end",()=>
    console.log(require("crypto").createHash("sha256").update(b).digest("hex"),got));s.end(b)`;
  const server = to.start(process.execPath, "-e", sink);
  await new Promise((resolve) => server.stdout!.once("data", resolve));
  const [sent, got] = (await from.run(process.execPath, "-e", source, address)).trim().split(" ");
  server.kill("SIGKILL");
  return [sent!, got!];
}

/** Sends `count` UDP datagrams of `bytes` to `address` and gets each back; how many came. */
export async function echoes(
  from: Namespace,
  to: Namespace,
  address: string,
  count: number,
  bytes: number,
): Promise<number> {
  const type = address.includes(":") ? "udp6" : "udp4";
  const echo = `const s=require("dgram").createSocket("${type}");s.on("message",(m,r)=>s.send(m,r.port,r.address));
    s.bind(5001,()=>console.log("listening"))`;
  const ask = `const s=require("dgram").createSocket("${type}");let n=0;const go=()=>s.send(Buffer.alloc(${bytes},n),5001,process.argv[1]);
    setTimeout(()=>{console.log(n);process.exit()},60000).unref();
    s.on("message",()=>{if(++n===${count}){console.log(n);process.exit()}go()});go()`;
  const server = to.start(process.execPath, "-e", echo);
  await new Promise((resolve) => server.stdout!.once("data", resolve));
  const got = Number(await from.run(process.execPath, "-e", ask, address));
  server.kill("SIGKILL");
  return got;
}

/** IPv4 header's and TCP's or UDP's checksums of an untagged Ethernet frame are right. */
export function checksumsRight(frame: Buffer): boolean {
  const ip = frame.subarray(14, 14 + frame.readUInt16BE(16));
  const header = (ip[0]! & 15) * 4;
  const segment = ip.subarray(header);
  const pseudo = wordSum(ip.subarray(12, 20), ip[9]! + segment.length);
  return wordSum(ip.subarray(0, header)) === 0xffff && wordSum(segment, pseudo) === 0xffff;
}

export const isTcp = (frame: Buffer): boolean => frame.readUInt16BE(12) === 0x0800 && frame[23] === 6;

/** An ARP request (RFC 826) of 10.77.0.99 for `target`; in VLAN 7 if it is tagged. */
export function arpRequest(target: string, tagged: boolean): Buffer {
  const bytes = Buffer.alloc(tagged ? 64 : 60);
  bytes.fill(0xff, 0, 6);
  bytes.set([2, 0x77, 0, 0, 1, 1], 6);
  let at = 12;
  if (tagged) at = bytes.writeUInt32BE(0x8100_0007, at);
  bytes.set([8, 6, 0, 1, 8, 0, 6, 4, 0, 1, 2, 0x77, 0, 0, 1, 1, 10, 77, 0, 99], at);
  bytes.set(target.split(".").map(Number), at + 26);
  return bytes;
}
