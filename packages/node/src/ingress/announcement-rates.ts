/** Bounds on the announcements that are read, for each namespace. Those beyond them are dropped; they come again. */

const windowMs = 1_000;
const messagesMax = 2_000;
const bytesMax = 8_388_608;
/** Maximum number of namespaces that are heard in a window. */
const namespacesMax = 4_096;

interface Window {
  messages: number;
  bytes: number;
}

export class AnnouncementRates {
  readonly #windows = new Map<string, Window>();
  #startedMs = 0;

  /** Whether a message may be read. */
  takes(namespace: string, bytes: number, nowMs: number): boolean {
    if (nowMs - this.#startedMs >= windowMs || nowMs < this.#startedMs) {
      this.#windows.clear();
      this.#startedMs = nowMs;
    }
    const window = this.#windows.get(namespace) ?? { messages: 0, bytes: 0 };
    if (window.messages >= messagesMax || window.bytes + bytes > bytesMax) return false;
    if (window.messages === 0 && this.#windows.size >= namespacesMax) return false;
    window.messages++;
    window.bytes += bytes;
    this.#windows.set(namespace, window);
    return true;
  }
}
