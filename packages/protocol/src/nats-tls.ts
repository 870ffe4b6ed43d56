/** TLS of a connection to NATS. */
import { X509Certificate } from "node:crypto";
import type { TlsOptions } from "@nats-io/nats-core";
import { NexError } from "./errors.ts";

/** What TLS needs; contents in PEM, never paths. */
export interface NatsTls {
  /** Our certificate, with its chain; it goes with a key. */
  cert?: string;
  key?: string;
  /** Certificates of the authorities to trust, instead of the usual ones. */
  ca?: string;
  /** The handshake comes before the server's greeting; the server must be set up so. */
  first?: boolean;
}

type Connect = TlsOptions & { checkServerIdentity?: (host: string, peer: { raw: Uint8Array }) => unknown };

/**
 * The options of a connection that must have TLS, or `undefined` where it is left to the server.
 *
 * @param servers URLs; one that begins with `tls://` asks for TLS.
 */
export function tlsOptions(servers: readonly string[], tls: NatsTls | undefined): TlsOptions | undefined {
  if (tls === undefined && !servers.some((url) => /^tls:\/\//i.test(url))) return undefined;
  const { cert, key, ca, first } = tls ?? {};
  const addresses = servers.map(addressOf);
  const options: Connect = {
    ...(cert === undefined ? {} : { cert }),
    ...(key === undefined ? {} : { key }),
    ...(ca === undefined ? {} : { ca }),
    ...(first === true ? { handshakeFirst: true } : {}),
  };
  const known = addresses.filter((address) => address !== undefined);
  // The NATS client hands no address on, so that Node would compare the certificate with the name "localhost".
  if (known.length > 0 && known.length === addresses.length) {
    options.checkServerIdentity = (_host, { raw }) => checkAddress(new X509Certificate(raw), known);
  }
  return options;
}

/** The IP address in a URL, if there is one instead of a name. */
function addressOf(url: string): string | undefined {
  const host = url.replace(/^[a-z][a-z0-9+.-]*:\/\//i, "").replace(/^.*@/, "");
  return /^\[([0-9a-f:.]+)\]/i.exec(host)?.[1] ?? /^\d+\.\d+\.\d+\.\d+(?=$|[:/])/.exec(host)?.[0];
}

function checkAddress(certificate: X509Certificate, addresses: readonly string[]): NexError | undefined {
  if (addresses.some((address) => certificate.checkIP(address) !== undefined)) return undefined;
  const names = certificate.subjectAltName ?? "no name at all";
  return new NexError(
    "connection_failed",
    `its certificate is for ${names}, and not for ${addresses.join(", ")}`,
  );
}

/** What to say of a failure that is about certificates, and what to do; `undefined` for any other. */
export function tlsFailure(
  cause: unknown,
  tls: TlsOptions | undefined,
): { reason: string; advice: string } | undefined {
  const { code, message } = causeOf(cause);
  if (/UNABLE_TO_(?:VERIFY|GET)|SELF_SIGNED|CERT_UNTRUSTED/.test(code)) {
    return {
      reason: "its certificate is not of an authority that is trusted here",
      advice: "Name the file with the authority's certificate by --tlsca, or set NODE_USE_SYSTEM_CA=1",
    };
  }
  if (/^CERT_HAS_EXPIRED|^CERT_NOT_YET_VALID/.test(code)) {
    return { reason: message, advice: "Renew the server's certificate, or set this clock right" };
  }
  // After TLS 1.3's handshake the server hangs up without a word that the NATS client hands on.
  if (message === "timeout" && tls !== undefined && !("cert" in tls)) {
    return {
      reason: "no answer in time",
      advice: "A server that asks for certificates hangs up so: give one by --tlscert and --tlskey",
    };
  }
  if (/does not support 'tls'|wrong version number/i.test(message)) {
    return {
      reason: /wrong version/i.test(message)
        ? "it does not begin with TLS, as --tlsfirst asks"
        : "it does not offer TLS",
      advice: "Use a nats:// URL, without --tlscert, --tlsca and --tlsfirst",
    };
  }
  return undefined;
}

function causeOf(cause: unknown): { code: string; message: string } {
  if (!(cause instanceof Error)) return { code: "", message: String(cause) };
  const code = "code" in cause && typeof cause.code === "string" ? cause.code : "";
  return { code, message: cause.message };
}
