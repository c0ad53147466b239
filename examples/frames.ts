// A frame to play with: Ethernet, IPv4, UDP and a text.

/** The address of host `n`, 0 to 255. */
export function hostMac(n: number): Buffer {
  return Buffer.from([0x02, 0, 0, 0, 0, n]);
}

/** A UDP datagram from 10.0.0.`from` to 10.0.0.`to` in an Ethernet frame of at least 60 bytes. */
export function udpFrame(from: number, to: number, port: number, text: string): Buffer {
  const payload = Buffer.from(text);
  const frame = Buffer.alloc(Math.max(60, 14 + 20 + 8 + payload.length));
  hostMac(to).copy(frame, 0);
  hostMac(from).copy(frame, 6);
  frame.writeUInt16BE(0x0800, 12);
  const ip = frame.subarray(14, 34);
  ip[0] = 0x45;
  ip.writeUInt16BE(20 + 8 + payload.length, 2);
  ip[8] = 64;
  ip[9] = 17;
  ip.set([10, 0, 0, from], 12);
  ip.set([10, 0, 0, to], 16);
  let sum = 0;
  for (let at = 0; at < 20; at += 2) sum += ip.readUInt16BE(at);
  while (sum > 0xffff) sum = (sum & 0xffff) + (sum >>> 16);
  ip.writeUInt16BE(~sum & 0xffff, 10);
  const udp = frame.subarray(34);
  udp.writeUInt16BE(port, 0);
  udp.writeUInt16BE(port, 2);
  udp.writeUInt16BE(8 + payload.length, 4); // a checksum of 0 says: none
  payload.copy(udp, 8);
  return frame;
}

/** The text of a frame that udpFrame() made. */
export function textOf(frame: Uint8Array): string {
  const length = Buffer.from(frame).readUInt16BE(38) - 8;
  return Buffer.from(frame.subarray(42, 42 + length)).toString();
}
