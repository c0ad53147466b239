// The control protocol's messages: encoded, decoded, cut out of a stream.
import test from "ava";
import fc from "fast-check";
import {
  decodeRequest,
  decodeResponse,
  encodeRequest,
  encodeResponse,
  MessageReader,
  type Request,
} from "../../switch/control-protocol.js";
import { emptyRule } from "../../switch/rules.js";
import { payload, controlPort as port, u32 } from "../support/control-messages.js";

test("requests and responses come back as they went in", (t) => {
  const requests: Request[] = [
    { id: 1, call: "hello", body: { version: 1, program: "x" } },
    { id: 2, call: "stats", body: {} },
    {
      id: 3,
      call: "ruleAdd",
      body: { rule: { ...emptyRule, filter: "tcp", hits: 0, logged: 0, bytes: 0 } as never, before: "", save: true },
    },
    { id: 4, call: "trim", body: { before: 2n ** 64n - 1n } },
    { id: 2 ** 32 - 1, call: "macFlush", body: { switch: "vale0", port: "" } },
  ];
  for (const request of requests) t.deepEqual(decodeRequest(payload(encodeRequest(request))), request);
  const ports = { id: 7, more: true, result: "ports" as const, body: { ports: [port("vale0:a"), port("vale0:b")] } };
  t.deepEqual(decodeResponse(payload(encodeResponse(ports))), ports as never);
});

test("64-bit values keep every digit", (t) => {
  fc.assert(
    fc.property(fc.bigInt({ min: 0n, max: 2n ** 64n - 1n }), fc.maxSafeNat(), (before, count) => {
      t.deepEqual(decodeRequest(payload(encodeRequest({ id: 1, call: "trim", body: { before } }))).body, { before });
      const done = { id: 1, more: false, result: "done" as const, body: { name: "", count } };
      t.deepEqual(decodeResponse(payload(encodeResponse(done))).body, done.body);
    }),
    { numRuns: 300 },
  );
});

const unfit: [title: string, body: unknown][] = [
  ["a count that is no integer", { name: "", count: 1.5 }],
  ["a negative count", { name: "", count: -1 }],
  ["a count above 2^53", { name: "", count: 2 ** 53 }],
  ["a text that is none", { name: 3, count: 1 }],
];
for (const [title, body] of unfit)
  test(`not encoded: ${title}`, (t) => {
    t.throws(() => encodeResponse({ id: 1, more: false, result: "done", body }), {
      code: "INTERNAL",
      message: /^control message: /,
    });
  });

test("a count above 2^53 from outside is refused, not rounded", (t) => {
  // Response { done = { count = 2^53 + 1 } }: field 9 of length 9, inside it field 2 as a varint.
  const varint = [0x81, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x10];
  t.throws(() => decodeResponse(Uint8Array.from([0x4a, 9, 0x10, ...varint])), {
    message: "control message: count is 9007199254740993, above 2^53",
  });
});

test("a stream is cut into messages wherever its chunks end", (t) => {
  const messages = [3, 1, 700, 65536, 2].map((length, index) => Buffer.alloc(length, index + 1));
  const stream = Buffer.concat(messages.map((message) => Buffer.concat([u32(message.length), message])));
  fc.assert(
    fc.property(fc.array(fc.integer({ min: 1, max: 70_000 }), { maxLength: 40 }), (cuts) => {
      const reader = new MessageReader();
      const found: Buffer[] = [];
      for (let at = 0, index = 0; at < stream.length; index++) {
        const length = cuts[index] ?? stream.length;
        reader.push(stream.subarray(at, at + length));
        at += length;
        for (let message = reader.next(); message; message = reader.next()) found.push(Buffer.from(message));
      }
      t.deepEqual(found, messages);
      t.is(reader.pendingBytes, 0);
    }),
    { numRuns: 50 },
  );
});
