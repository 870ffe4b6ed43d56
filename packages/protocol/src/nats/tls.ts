/** TLS of connections to NATS. */
import { X509Certificate } from "node:crypto";
import type { TlsOptions } from "@nats-io/nats-core";
import { NexError } from "../errors.ts";

/** TLS material, as PEM content rather than paths. */
export interface NatsTls {
  /** Client certificate with its chain; requires `key`. */
  cert?: string;
  key?: string;
  /** Certificates of trusted authorities, instead of the default ones. */
  ca?: string;
  /** Perform the TLS handshake before the server's INFO. The server must be configured for it. */
  first?: boolean;
}

type Connect = TlsOptions & { checkServerIdentity?: (host: string, peer: { raw: Uint8Array }) => unknown };

/**
 * TLS options of a connection that requires TLS; `undefined` if the server decides.
 *
 * @param servers URLs; `tls://` requires TLS.
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
  // The NATS client passes no host for an IP address, so Node would check the certificate against "localhost".
  if (known.length > 0 && known.length === addresses.length) {
    options.checkServerIdentity = (_host, { raw }) => checkAddress(new X509Certificate(raw), known);
  }
  return options;
}

/** IP address in a URL; `undefined` if the host is a name. */
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

/** Reason and advice for a failure related to certificates; `undefined` for any other failure. */
export function tlsFailure(
  cause: unknown,
  tls: TlsOptions | undefined,
): { reason: string; advice: string } | undefined {
  const { code, message } = causeOf(cause);
  if (/UNABLE_TO_(?:VERIFY|GET)|SELF_SIGNED|CERT_UNTRUSTED/.test(code)) {
    return {
      reason: "its certificate is not signed by an authority that is trusted here",
      advice: "Pass the authority's certificate with --tlsca, or set NODE_USE_SYSTEM_CA=1",
    };
  }
  if (/^CERT_HAS_EXPIRED|^CERT_NOT_YET_VALID/.test(code)) {
    return { reason: message, advice: "Renew the server's certificate, or correct this machine's clock" };
  }
  // After the TLS 1.3 handshake, the server closes the connection without an error that the NATS client reports.
  if (message === "timeout" && tls !== undefined && !("cert" in tls)) {
    return {
      reason: "no answer in time",
      advice: "The server may require a client certificate: pass one with --tlscert and --tlskey",
    };
  }
  if (/does not support 'tls'|wrong version number/i.test(message)) {
    return {
      reason: /wrong version/i.test(message)
        ? "it does not start with TLS, as --tlsfirst requires"
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
