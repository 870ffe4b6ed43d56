/** Client of a Firecracker's API socket. */
import { request } from "node:http";
import { MachineError } from "../errors.ts";
import { holdsWithin } from "../host/wait.ts";
import { byShortPath } from "../microvm/attachment.ts";
import { jailNames } from "./layout.ts";

const answerBytesMax = 65_536;

/**
 * API socket of one Firecracker, in the root of its jail (firecracker, src/firecracker/swagger/firecracker.yaml,
 * 1.12).
 */
export class FirecrackerApi {
  readonly #root: string;
  readonly #timeoutMs: number;

  constructor(root: string, timeoutMs: number) {
    this.#root = root;
    this.#timeoutMs = timeoutMs;
  }

  /** Waits until the API answers. @returns whether it answered before `gone` held or the timeout. */
  async ready(gone: () => boolean): Promise<boolean> {
    let answers = false;
    const look = async (): Promise<boolean> => {
      answers = await this.#send("GET", "/version", undefined).then(
        () => true,
        () => false,
      );
      return answers || gone();
    };
    await holdsWithin(look, this.#timeoutMs, 10);
    return answers;
  }

  /** @throws MachineError `boot_failed` with what Firecracker says. */
  async put(path: string, body: Record<string, unknown>): Promise<void> {
    await this.#send("PUT", path, body);
  }

  /** @throws MachineError `boot_failed` with what Firecracker says. */
  async patch(path: string, body: Record<string, unknown>): Promise<void> {
    await this.#send("PATCH", path, body);
  }

  async #send(method: string, path: string, body: Record<string, unknown> | undefined): Promise<void> {
    const action = `${method} ${path}`;
    try {
      const { status, text } = await byShortPath(this.#root, (here) =>
        this.#exchange({ socketPath: `${here}/${jailNames.api}`, method, path }, body),
      );
      if (status >= 200 && status < 300) return;
      throw new MachineError("boot_failed", `Firecracker refuses ${action}: ${faultOf(text) ?? status}`);
    } catch (cause) {
      if (cause instanceof MachineError) throw cause;
      const why = cause instanceof Error ? cause.message : String(cause);
      throw new MachineError("boot_failed", `Firecracker does not answer ${action}: ${why}`, { cause });
    }
  }

  #exchange(
    target: { socketPath: string; method: string; path: string },
    body: Record<string, unknown> | undefined,
  ): Promise<{ status: number; text: string }> {
    const text = body === undefined ? "" : JSON.stringify(body);
    const headers = { "Content-Type": "application/json", "Content-Length": Buffer.byteLength(text) };
    return new Promise((resolve, reject) => {
      const sent = request({ ...target, headers, agent: false, timeout: this.#timeoutMs }, (answer) => {
        let told = "";
        answer.setEncoding("utf8");
        answer.on("data", (part: string) => {
          told = (told + part).slice(0, answerBytesMax);
        });
        answer.once("error", reject);
        answer.once("end", () => resolve({ status: answer.statusCode ?? 0, text: told }));
      });
      sent.once("timeout", () => sent.destroy(new Error(`it took more than ${this.#timeoutMs} ms`)));
      sent.once("error", reject);
      sent.end(text);
    });
  }
}

function faultOf(text: string): string | undefined {
  try {
    const { fault_message: fault } = JSON.parse(text) as { fault_message?: unknown };
    return typeof fault === "string" ? fault.trim() : undefined;
  } catch {
    return undefined;
  }
}
