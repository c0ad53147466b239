// Ed25519 signatures of manifests (RFC 8032), by node:crypto.
import { createHash, createPrivateKey, createPublicKey, type KeyObject, sign, verify } from "node:crypto";
import { readFile } from "node:fs/promises";
import { PasteError } from "../errors.js";
import type { ManifestSignature } from "./manifest.js";

/** An Ed25519 key in SubjectPublicKeyInfo (RFC 8410): these bytes, then the key. */
const spkiHead = Buffer.from("302a300506032b6570032100", "hex");

/** A private key in PEM. Throws USAGE where there is none, or one of another kind. */
export async function readSigningKey(path: string): Promise<KeyObject> {
  return readKey(path, createPrivateKey, "private", "openssl genpkey -algorithm ed25519 -out KEY.pem");
}

/** A public key in PEM, or the private one, which holds it. */
export async function readPublicKey(path: string): Promise<KeyObject> {
  return readKey(path, createPublicKey, "public", "openssl pkey -in KEY.pem -pubout -out PUB.pem");
}

async function readKey(
  path: string,
  parse: (pem: string) => KeyObject,
  kind: string,
  hint: string,
): Promise<KeyObject> {
  let key: KeyObject;
  let pem = "";
  try {
    pem = await readFile(path, "utf8");
    key = parse(pem);
  } catch (cause) {
    if (/^(-----BEGIN ENCRYPTED|Proc-Type: 4,ENCRYPTED)/m.test(pem))
      throw new PasteError(
        "USAGE",
        `${path}: is under a passphrase, for which nobody is asked: give a copy without (openssl pkey -in ${path} -out KEY.pem)`,
        { cause },
      );
    throw new PasteError("USAGE", `${path}: no ${kind} key in PEM can be read from there: make one with ${hint}`, {
      cause,
    });
  }
  if (key.asymmetricKeyType === "ed25519") return key;
  throw new PasteError(
    "USAGE",
    `${path}: is a key for ${key.asymmetricKeyType}, manifests are signed with Ed25519: ${hint}`,
  );
}

/** 32 bytes as hexadecimal digits. */
export function publicKeyHex(key: KeyObject): string {
  const open = key.type === "private" ? createPublicKey(key) : key;
  return open.export({ type: "spki", format: "der" }).subarray(spkiHead.length).toString("hex");
}

/** As ssh-keygen prints such: SHA-256 over the key's 32 bytes, in base64 without padding. */
export function fingerprint(publicKey: string): string {
  const digest = createHash("sha256").update(Buffer.from(publicKey, "hex")).digest("base64");
  return `SHA256:${digest.replace(/=+$/, "")}`;
}

export function signBytes(bytes: Uint8Array, key: KeyObject): ManifestSignature {
  return {
    algorithm: "Ed25519",
    publicKey: publicKeyHex(key),
    signature: sign(null, bytes, key).toString("hex"),
  };
}

export function signatureHolds(bytes: Uint8Array, { publicKey, signature }: ManifestSignature): boolean {
  const der = Buffer.concat([spkiHead, Buffer.from(publicKey, "hex")]);
  const key = createPublicKey({ key: der, format: "der", type: "spki" });
  return verify(null, bytes, key, Buffer.from(signature, "hex"));
}
