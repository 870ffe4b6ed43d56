/** Certificates of an authority that lives for one test. */
import { execFileSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

/** Paths of a certificate and its key. */
export interface Certificate {
  cert: string;
  key: string;
}

const newKey = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"];

/** An authority in a folder of its own, made by openssl; disposing of it removes the folder. */
export class TestAuthority implements Disposable {
  readonly folder = mkdtempSync(join(tmpdir(), "nex-certificates-"));
  readonly ca = join(this.folder, "ca.pem");

  constructor() {
    this.#openssl(
      "req",
      "-x509",
      ...newKey,
      "-keyout",
      "ca.key",
      "-out",
      "ca.pem",
      "-days",
      "2",
      "-subj",
      "/CN=ca",
    );
  }

  /** @param names As openssl has them: `IP:127.0.0.1`, `DNS:localhost`. */
  issue(name: string, names: string): Certificate {
    writeFileSync(join(this.folder, `${name}.ext`), `subjectAltName=${names}\n`);
    this.#openssl("req", ...newKey, "-keyout", `${name}.key`, "-out", `${name}.csr`, "-subj", `/CN=${name}`);
    this.#openssl(
      ...["x509", "-req", "-in", `${name}.csr`, "-CA", "ca.pem", "-CAkey", "ca.key", "-CAcreateserial"],
      ...["-days", "2", "-extfile", `${name}.ext`, "-out", `${name}.pem`],
    );
    return { cert: join(this.folder, `${name}.pem`), key: join(this.folder, `${name}.key`) };
  }

  /** The content of the authority's certificate. */
  get caText(): string {
    return readFileSync(this.ca, "utf8");
  }

  #openssl(...args: string[]): void {
    execFileSync("openssl", args, { cwd: this.folder, stdio: "pipe" });
  }

  [Symbol.dispose](): void {
    rmSync(this.folder, { recursive: true, force: true });
  }
}

/** Can certificates be made here? */
export function hasOpenssl(): boolean {
  try {
    execFileSync("openssl", ["version"], { stdio: "pipe" });
    return true;
  } catch {
    return false;
  }
}
