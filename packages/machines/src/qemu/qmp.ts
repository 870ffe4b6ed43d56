/** Client of QEMU's control protocol. */
import type { Socket } from "node:net";
import { MachineError } from "../errors.ts";
import { connectTo } from "../microvm/attachment.ts";

const lineBytesMax = 1_048_576;
/** Maximum wait between creation of the socket and `listen`, in ms. */
const listenTimeoutMs = 5_000;

interface Answer {
  return?: unknown;
  error?: { desc?: unknown };
}

/**
 * Control socket of one QEMU process (QEMU Machine Protocol). Sends one command at a time, as a line of JSON. Lines
 * with neither `return` nor `error` are events.
 */
export class Qmp implements Disposable {
  readonly #socket: Socket;
  readonly #answers: Answer[] = [];
  #text = "";
  #wake: () => void = () => undefined;

  private constructor(socket: Socket) {
    this.#socket = socket;
    socket.setEncoding("utf8");
    socket.on("error", () => undefined);
    socket.on("data", (part: string) => this.#take(part));
    socket.once("close", () => this.#wake());
  }

  /** @throws MachineError `boot_failed` */
  static async open(path: string, timeoutMs: number): Promise<Qmp> {
    const signal = AbortSignal.timeout(Math.min(timeoutMs, listenTimeoutMs));
    const socket = await connectTo(path, signal).catch((cause: unknown) => {
      throw new MachineError("boot_failed", "QEMU does not accept commands", { cause });
    });
    const qmp = new Qmp(socket);
    await qmp.ask("qmp_capabilities", {}, timeoutMs);
    return qmp;
  }

  /** @throws MachineError `boot_failed` with QEMU's error. */
  async ask(execute: string, given: Record<string, unknown>, timeoutMs: number): Promise<unknown> {
    this.#socket.write(`${JSON.stringify({ execute, arguments: given })}\n`);
    const deadline = performance.now() + timeoutMs;
    while (this.#answers.length === 0 && !this.#socket.destroyed && performance.now() < deadline) {
      const { promise, resolve } = Promise.withResolvers<void>();
      this.#wake = resolve;
      const timer = setTimeout(resolve, Math.max(deadline - performance.now(), 0));
      await promise;
      clearTimeout(timer);
    }
    const answer = this.#answers.shift();
    if (answer === undefined) throw new MachineError("boot_failed", `QEMU does not answer "${execute}"`);
    if (answer.error === undefined) return answer.return;
    throw new MachineError("boot_failed", `QEMU refuses "${execute}": ${String(answer.error.desc)}`);
  }

  [Symbol.dispose](): void {
    this.#socket.destroy();
  }

  #take(part: string): void {
    const lines = (this.#text + part).split("\n");
    this.#text = lines.pop() ?? "";
    if (this.#text.length > lineBytesMax) this.#socket.destroy();
    for (const line of lines) {
      const told = parse(line);
      if (told !== undefined && ("return" in told || "error" in told)) this.#answers.push(told);
    }
    this.#wake();
  }
}

function parse(line: string): Answer | undefined {
  try {
    return JSON.parse(line) as Answer;
  } catch {
    return undefined;
  }
}
